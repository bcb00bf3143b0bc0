"""The library for Arduino: compilers take it as a whole, and its sketches do what the C bundle does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import beeps
import exported_bundles as bundles
import pytest
from flatbuffer_models import small_conv_model

from rena_kws import api
from rena_kws.cli.main import main
from rena_kws.errors import ModelError
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit import generate

HOST = Path(__file__).parent / "arduino_host"
C_FLAGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")
CPP_FLAGS = ("-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic")
CALLS = "-finstrument-functions"  # that is how time goes by on the board of host.cpp
SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
M4 = ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16")
CORES = (
    pytest.param(("-mcpu=cortex-m0plus",), id="cortex-m0plus"),
    pytest.param((*M4, "-mfloat-abi=hard"), id="cortex-m4, hard floats"),
    pytest.param((*M4, "-mfloat-abi=softfp"), id="cortex-m4, as the Nano 33 BLE", marks=pytest.mark.slow),
)
Tool = Callable[[str], str]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.export("arduino", tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def c_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.export("c", tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "said.raw"
    path.write_bytes(beeps.said().astype("<i2").tobytes())
    return path


def compile_sketch(library: Path, sketch: str, work: Path, cc: Sequence[str], cpp: Sequence[str]) -> list[str]:
    """Every source of the library and of the sketch, as Arduino's builder compiles them → objects in `work`."""
    folder = library / "examples" / sketch
    sources = [*sorted((library / "src").glob("*.c")), *sorted(folder.glob("*.c"))]
    for source in sources:
        bundles.run([*cc, f"-I{library / 'src'}", "-c", source, "-o", f"{source.stem}.o"], work)
    includes = (f"-I{HOST}", f"-I{library / 'src'}", f"-I{folder}", "-include", "Arduino.h")
    bundles.run([*cpp, *includes, "-x", "c++", "-c", folder / f"{sketch}.ino", "-o", "sketch.o"], work)
    return [f"{source.stem}.o" for source in sources] + ["sketch.o"]


def build(library: Path, sketch: str, work: Path, compiler: str, tool: Tool) -> Path:
    """The sketch as a program for this computer."""
    zig = (sys.executable, "-m", "ziglang")
    cc, cpp = ((*zig, "cc"), (*zig, "c++")) if compiler == "zig" else ((tool("gcc"),), (tool("g++"),))
    flags = ("-O1", "-fno-sanitize=all") if compiler == "zig" else ("-O1", *SANITIZE)
    objects = compile_sketch(library, sketch, work, [*cc, *C_FLAGS, *flags, CALLS], [*cpp, *CPP_FLAGS, *flags, CALLS])
    sanitize = () if compiler == "zig" else SANITIZE
    bundles.run([tool("g++"), *CPP_FLAGS, *sanitize, f"-I{HOST}", HOST / "host.cpp", *objects, "-o", "board"], work)
    return work / "board"


@pytest.mark.parametrize("compiler", ["gcc", "zig"])
def test_the_sketch_hears_what_the_c_bundle_does(
    library: Path, c_bundle: Path, sound: Path, compiler: str, tool: Tool, tmp_path: Path
) -> None:
    """The microphone interrupts the sketch and the network wherever they are."""
    board = build(library, "ear_listen", tmp_path, compiler, tool)
    printed = bundles.run([board, "5000"], tmp_path, {"SOUND": str(sound)}).splitlines()
    events = bundles.heard(c_bundle, beeps.said())
    assert printed == ["listening", *map(line_of, events)]
    lost = bundles.run([board, "1000"], tmp_path, {"SOUND": str(sound)})
    assert "samples lost" in lost, "the network takes five times longer"
    with pytest.raises(AssertionError, match="3: the microphone does not start"):
        bundles.run([board, "5000"], tmp_path, {"SOUND": str(tmp_path / "none")})


def line_of(event: bundles.Event) -> str:
    return f"{event.position / 16_000:.2f} s  {event.score:.2f}  {beeps.LABELS[event.label]}"


@pytest.mark.slow
def test_the_harness_answers_as_that_of_the_c_bundle(library: Path, c_bundle: Path, tool: Tool, tmp_path: Path) -> None:
    board = build(library, "ear_board", tmp_path, "gcc", tool)
    answers = bundles.without_times(bundles.run([board], tmp_path, said=bundles.COMMANDS))
    assert answers == bundles.answers_of_c(c_bundle, tool("make"))


@pytest.mark.parametrize("core", CORES)
def test_the_cross_compiler_builds_both_sketches(
    library: Path, core: Sequence[str], tool: Tool, tmp_path: Path
) -> None:
    flags = (*core, "-mthumb", "-Os", "-ffunction-sections")
    cc = [tool("arm-none-eabi-gcc"), *C_FLAGS, *flags]
    cpp = [tool("arm-none-eabi-g++"), *CPP_FLAGS, *flags, "-fno-exceptions", "-fno-rtti"]
    for sketch in ("ear_listen", "ear_board"):
        work = tmp_path / sketch
        work.mkdir()
        objects = compile_sketch(library, sketch, work, cc, cpp)
        bundles.run([*cpp, f"-I{HOST}", "-c", HOST / "host.cpp"], work)
        bundles.run([*cc, "--specs=nosys.specs", "host.o", *objects, "-o", "board.elf"], work)  # without libstdc++


def test_the_sources_are_those_of_the_c_bundle(library: Path, c_bundle: Path, tool: Tool) -> None:
    for path in [*(library / "src").iterdir(), *(library / "extras" / "test").glob("test*")]:
        assert path.read_bytes() == (c_bundle / path.name).read_bytes()
    assert Manifest.beside(library) == Manifest.beside(c_bundle)
    assert "0 values differ" in bundles.run([tool("make"), "test"], library / "extras" / "test")


def test_the_layout_is_that_of_the_specification(library: Path) -> None:
    properties = dict(line.split("=", 1) for line in (library / "library.properties").read_text().splitlines())
    assert properties["name"] == "ear" and properties["version"].count(".") == 2
    assert "low, high" in properties["paragraph"]
    assert all(properties[field] for field in ("author", "maintainer", "sentence", "category", "url", "architectures"))
    assert all((library / "src" / header).is_file() for header in properties["includes"].split(","))
    assert all(path.is_file() for path in (library / "src").iterdir()), "all in the root of src"
    for sketch in (library / "examples").iterdir():
        assert (sketch / f"{sketch.name}.ino").is_file()
    keywords = [line.split("\t") for line in (library / "keywords.txt").read_text().splitlines()]
    assert ["ear_stream", "KEYWORD1"] in keywords and ["ear_stream_push", "KEYWORD2"] in keywords
    assert ["EAR_STREAM_ARENA_BYTES", "LITERAL1"] in keywords
    assert len({word for word, _ in keywords}) == len(keywords)
    assert (library / "LICENSE").read_text().startswith("MIT No Attribution")


def test_without_a_manifest_or_harness_there_is_no_sketch(tmp_path: Path) -> None:
    library = api.export(small_conv_model(), "arduino", tmp_path / "bare", "doorbell")
    assert not (library / "examples").exists()
    assert "without a manifest that says" in (library / "README.md").read_text()
    assert "includes=doorbell.h\n" in (library / "library.properties").read_text()


@pytest.mark.parametrize("name", ["PDM", "arduino", "string"])
def test_a_name_that_hides_a_header_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"name '{name}': .* taken for <{name.lower()}\.h>"):
        api.export(small_conv_model(), "arduino", tmp_path / "library", name)
    assert not (tmp_path / "library").exists()


def test_the_command_line_writes_it_for_a_goal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "small.tflite"
    model.write_bytes(small_conv_model().data)
    command = ["export", str(model), "--format", "arduino", "--name", "bell", "--optimize", "size"]
    out = tmp_path / "bell"
    assert main([*command, "--out", str(out)]) == 0
    assert "library.properties" in (told := capsys.readouterr().out) and "src/" in told
    for file, text in generate(small_conv_model(), "bell", "size").sources.items():
        assert (out / "src" / file).read_text() == text
    assert main([*command, "--out", str(out), "--json"]) == 0
    assert "src/bell.c" in json.loads(capsys.readouterr().out)["files"]
    assert main(["export", str(model), "--format", "arduno", "--out", str(out)]) == 2
    assert "did you mean 'arduino'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_builder_of_arduino_takes_it(library: Path, sound: Path, tool: Tool, tmp_path: Path) -> None:
    """It finds the libraries that a sketch includes, and writes prototypes for the sketch's functions."""
    sketch = library / "examples" / "ear_listen" / "ear_listen.ino"
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / "ear").symlink_to(library)
    core = tmp_path / "hardware" / "this" / "computer"
    (core / "cores" / "host").mkdir(parents=True)
    (core / "libraries" / "PDM").mkdir(parents=True)
    for file in ("Arduino.h", "host.cpp"):
        (core / "cores" / "host" / file).symlink_to(HOST / file)
    (core / "libraries" / "PDM" / "PDM.h").symlink_to(HOST / "PDM.h")
    for file in ("boards.txt", "platform.txt"):
        (core / file).symlink_to(HOST / file)
    builder = os.path.realpath(tool("arduino-builder"))
    ctags = tool("arduino-ctags")
    tmp_path.joinpath("build").mkdir()
    bundles.run(
        [
            *(builder, "-compile", "-fqbn", "this:computer:board", "-hardware", tmp_path / "hardware"),
            *("-tools", tmp_path, "-libraries", tmp_path / "libraries", "-build-path", tmp_path / "build"),
            *("-prefs", f"tools.ctags.cmd.path={ctags}", "-prefs", f"host.path={HOST}", sketch),
        ],
        tmp_path,
    )
    printed = bundles.run([tmp_path / "build" / "ear_listen.ino.elf", "5000"], tmp_path, {"SOUND": str(sound)})
    assert len(printed.splitlines()) == 6
