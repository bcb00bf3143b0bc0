"""The doctor tries things out: what works, what is lacking, what is broken, and what mends it."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from rena_kws import doctor
from rena_kws.artifacts import Measurement
from rena_kws.cli.main import main
from rena_kws.devices import catalogue
from rena_kws.doctor import Finding, examine
from rena_kws.errors import UnavailableError
from rena_kws.profilers.serial_board import usb


def finding(part: str) -> Finding:
    (found,) = (each for each in examine() if each.part == part)
    return found


def test_on_a_machine_that_can_run_these_tests_the_base_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    for part in ("Python", "packages", "cache", "compiler", "emulated Cortex-M", "this CPU"):
        assert report[part]["state"] == "works", report[part]
    assert "(emulated)" in report["emulated Cortex-M"]["seen"] and "(measured)" in report["this CPU"]["seen"]


@pytest.fixture
def only_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_CHECKS", {"GPU": doctor._CHECKS["GPU"]})


@pytest.mark.usefixtures("only_gpu", "swiftshader")
def test_a_network_runs_on_the_gpu_and_a_software_adapter_is_told() -> None:
    found = finding("GPU")
    assert found.state == "works", found
    assert "SwiftShader" in found.seen and "outputs right (measured); a software adapter" in found.seen


@pytest.mark.usefixtures("only_gpu", "no_gpu")
def test_without_a_gpu_the_doctor_names_the_remedy() -> None:
    found = finding("GPU")
    assert found.state == "lacking" and "apt-get install" in found.seen, found


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the slow checks out where they are not what is tested."""
    kept = ("packages", "cache", "emulated Cortex-M", "boards on USB")
    monkeypatch.setattr(doctor, "_CHECKS", {name: check for name, check in doctor._CHECKS.items() if name in kept})


@pytest.mark.usefixtures("only")
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.version

    def version(name: str) -> str:
        if name == "pyserial":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", version)
    assert finding("packages") == Finding("packages", "lacking", "without pyserial", "pip install 'rena-kws'")


@pytest.mark.usefixtures("only")
def test_what_fails_is_broken_and_the_rest_is_examined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def profile(*_: object) -> Measurement:
        raise UnavailableError("the emulator has no licence to run")

    monkeypatch.setattr("rena_kws.api.profile", profile)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "broken   emulated Cortex-M    the emulator has no licence to run\n" in out
    assert "pip install --force-reinstall 'rena-kws'\n" in out and "boards on USB" in out


@pytest.mark.usefixtures("only")
def test_wrong_outputs_are_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Measurement("cortex-m4", "emulated", 1.0, np.array([[1, 2, 3, 4]], np.int8))
    monkeypatch.setattr("rena_kws.api.profile", lambda *_: wrong)
    assert finding("emulated Cortex-M").state == "broken"


@pytest.mark.usefixtures("only")
def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENA_KWS_CACHE", "/dev/null/cache")
    found = finding("cache")
    assert found.state == "broken" and "RENA_KWS_CACHE" in found.mend


@pytest.mark.usefixtures("only")
def test_a_limit_of_the_cache_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENA_KWS_CACHE_MB", "much")
    found = finding("cache")
    assert found.state == "broken" and found.mend == "unset RENA_KWS_CACHE_MB"


@pytest.mark.usefixtures("only")
def test_a_board_that_may_not_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usb, "boards_on_usb", lambda: [catalogue.get("serial:/dev/null")])
    assert finding("boards on USB").state == "works"
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    found = finding("boards on USB")
    assert found.state == "broken" and "dialout" in found.mend
