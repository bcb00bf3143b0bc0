"""The module for Zephyr: CMake builds its applications, with Kconfig as Zephyr reads it; they hear what C bundles do.

Zephyr itself is `zephyr_host`: what the applications use of its build, kernel and drivers, for this computer.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import beeps
import exported_bundles as bundles
import pytest
from flatbuffer_models import small_conv_model

from rena_kws import api
from rena_kws.errors import ModelError
from rena_kws.export.manifest import Manifest

HOST = Path(__file__).parent / "zephyr_host"
Tool = Callable[[str], str]


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.export("zephyr", tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="module")
def c_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.export("c", tmp_path_factory.mktemp("bundle"))


def build(application: Path, work: Path, cmake: str, *options: str) -> Path:
    """The application as a program for this computer."""
    configure = [cmake, "-S", application, "-B", work, f"-DZephyr_DIR={HOST}", f"-DPYTHON={sys.executable}", *options]
    bundles.run(configure, application)
    bundles.run([cmake, "--build", work], application)
    return work / "zephyr"


def test_the_application_hears_what_the_c_bundle_does(module: Path, c_bundle: Path, tool: Tool, tmp_path: Path) -> None:
    sound = tmp_path / "said.raw"
    sound.write_bytes(beeps.said().astype("<i2").tobytes())
    flags = "-DCMAKE_C_FLAGS=-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    listen = build(module / "samples" / "listen", tmp_path / "build", tool("cmake"), flags)
    events = [line_of(event) for event in bundles.heard(c_bundle, beeps.said())]
    *printed, lost, last = bundles.run([listen], tmp_path, {"SOUND": str(sound)}).splitlines()
    assert printed == events
    assert lost.startswith("sound is lost: error") and last.startswith("the microphone stopped: error")
    stopped = bundles.run([listen], tmp_path, {"SOUND": str(sound), "STOPS_AFTER": "30"}).splitlines()
    assert [line for line in stopped if line != lost] == [*events, last]
    assert 0 < stopped.index(lost) < len(events), "and what comes then is heard"


def line_of(event: bundles.Event) -> str:
    hundredths = event.position * 100 // 16_000
    percent = (round(event.score * bundles.FULL_SCORE) * 200 // bundles.FULL_SCORE + 1) // 2
    return (
        f"{hundredths // 100}.{hundredths % 100:02d} s  {percent // 100}.{percent % 100:02d}  "
        f"{beeps.LABELS[event.label]}"
    )


@pytest.mark.slow
def test_the_harness_answers_as_that_of_the_c_bundle(module: Path, c_bundle: Path, tool: Tool, tmp_path: Path) -> None:
    board = build(module / "samples" / "board", tmp_path / "build", tool("cmake"))
    answers = bundles.without_times(bundles.run([board], tmp_path, said=bundles.COMMANDS))
    assert answers == bundles.answers_of_c(c_bundle, tool("make"))


def test_an_application_elsewhere_has_it_by_its_configuration(module: Path, tool: Tool, tmp_path: Path) -> None:
    """As the README tells: the module by ZEPHYR_EXTRA_MODULES, the sources by CONFIG_EAR."""
    application = tmp_path / "application"
    (application / "src").mkdir(parents=True)
    (application / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20.0)\nfind_package(Zephyr REQUIRED)\nproject(mine LANGUAGES C)\n"
        "target_sources(app PRIVATE src/main.c)\n"
    )
    (application / "src" / "main.c").write_text(
        "#include <ear.h>\n_Alignas(EAR_ARENA_ALIGNMENT) static unsigned char arena[EAR_ARENA_BYTES];\n"
        "int main(void)\n{\n    ear_run(arena);\n    return 0;\n}\n"
    )
    (application / "prj.conf").write_text("CONFIG_EAR=y\n")
    program = build(application, tmp_path / "with", tool("cmake"), f"-DZEPHYR_EXTRA_MODULES={module}")
    bundles.run([program], tmp_path)
    (application / "prj.conf").write_text("")
    with pytest.raises(AssertionError, match=r"ear\.h"):
        build(application, tmp_path / "without", tool("cmake"), f"-DZEPHYR_EXTRA_MODULES={module}")


@pytest.mark.parametrize("setting", ["CONFIG_EARS=y", "CONFIG_AUDIO=n"])
def test_a_wrong_setting_ends_the_build(module: Path, setting: str, tool: Tool, tmp_path: Path) -> None:
    """That is: the settings of the applications above are right."""
    application = Path(shutil.copytree(module, tmp_path / "module")) / "samples" / "listen"
    settings = application / "prj.conf"
    settings.write_text(settings.read_text() + setting + "\n")
    with pytest.raises(AssertionError, match="their configuration are wrong"):
        build(application, tmp_path / "build", tool("cmake"))


def test_the_sources_are_those_of_the_c_bundle(module: Path, c_bundle: Path, tool: Tool) -> None:
    for path in [*(module / "src").iterdir(), *(module / "tests" / "host").glob("test*")]:
        assert path.read_bytes() == (c_bundle / path.name).read_bytes()
    assert Manifest.beside(module) == Manifest.beside(c_bundle)
    assert "0 values differ" in bundles.run([tool("make"), "test"], module / "tests" / "host")
    assert bundles.heard(module, beeps.said()) == bundles.heard(c_bundle, beeps.said())


def test_without_a_manifest_or_harness_there_is_no_application(tmp_path: Path) -> None:
    module = api.export(small_conv_model(), "zephyr", tmp_path / "bare", "doorbell")
    assert not (module / "samples").exists()
    assert (module / "zephyr" / "module.yml").read_text() == "name: doorbell\nbuild:\n  cmake: .\n  kconfig: Kconfig\n"
    assert "CONFIG_DOORBELL=y" in (module / "README.md").read_text()


@pytest.mark.parametrize("name", ["audio", "Serial"])
def test_a_name_that_zephyr_has_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"name '{name}': CONFIG_{name.upper()} is Zephyr's own"):
        api.export(small_conv_model(), "zephyr", tmp_path / "module", name)
