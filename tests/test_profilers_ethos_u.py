"""The Ethos-U's estimate: Vela's own figures, marked as what they are, for our models and against plain sense."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.cli.main import main
from rena_kws.devices import catalogue
from rena_kws.errors import CandidateError, ModelError, UnavailableError
from rena_kws.profilers.ethos_u.profiler import EthosUProfiler

Reference = Callable[..., Path]
NPUS = [name for name in catalogue.names() if catalogue.get(name).kind == "npu"]


def test_a_bigger_npu_of_a_family_is_faster(reference: Reference) -> None:
    model = reference("models", "kws_ref_model.tflite")
    found = {name: api.profile(model, name) for name in ("ethos-u55-32", "ethos-u55-128", "ethos-u65-256")}
    assert all(measurement.how == "estimated" for measurement in found.values())
    assert all(not measurement.samples_ms and not measurement.outputs.size for measurement in found.values())
    cycles = [measurement.cycles or 0 for measurement in found.values()]
    assert cycles == sorted(cycles, reverse=True)
    one = found["ethos-u55-128"]
    # 128 multiply-accumulates a cycle at most; the weights are compressed, but not to a tenth.
    assert (one.cycles or 0) > 2_656_768 / 128
    assert 2_400 < (one.flash_bytes or 0) < 60_000 and (one.ram_bytes or 0) >= 8_000
    assert one.latency_ms == pytest.approx((one.cycles or 0) / 500e3)  # the clock that Vela assumes


def test_every_npu_of_the_catalogue_is_known_to_vela(reference: Reference) -> None:
    model = reference("models", "ad_ref_model.tflite")
    assert len(NPUS) == 11
    for name in NPUS:
        assert api.profile(model, name).latency_ms > 0


def test_figures_say_that_they_are_estimates(reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(reference("models", "kws_ref_model.tflite"))
    assert main(["profile", model, "--device", "ethos-u55-128"]) == 0
    text = capsys.readouterr().out
    assert text.count("(estimated)") == 4 and "measured" not in text and "emulated" not in text
    assert main(["profile", model, "--device", "ethos-u55-128", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["how"] == "estimated"


def test_what_vela_cannot_use_is_refused_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    device = catalogue.get("ethos-u55-128")
    with pytest.raises(ModelError, match=r"int8 \.tflite"):
        EthosUProfiler().profile(ConvertedModel("onnx", b"x"), device)
    with pytest.raises((ModelError, CandidateError)) as caught:
        EthosUProfiler().profile(ConvertedModel("tflite", b"\x1c\0\0\0TFL3" + bytes(40)), device)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pip install ethos-u-vela"):
        EthosUProfiler().profile(ConvertedModel("tflite", b"x"), device)
