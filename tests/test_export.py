"""Bundles: the C builds without a warning everywhere and does on the host what it did on the chip."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from few_levels import LEVELS, with_levels
from flatbuffer_models import small_conv_model

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.decisions import DecisionSettings
from rena_kws.errors import ModelError, RenaError, RunFolderError
from rena_kws.export.base import merged
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit import generate
from rena_kws.frontend.settings import FrontEnd

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
Tool = Callable[[str], str]


@pytest.fixture(scope="module")
def model() -> ConvertedModel:
    return small_conv_model()


@pytest.fixture
def bundle(model: ConvertedModel, tmp_path: Path) -> Path:
    return api.export(model, "c", tmp_path / "bundle", "doorbell")


def make_test(folder: Path, make: str, compiler: str) -> subprocess.CompletedProcess[str]:
    flags = f"CFLAGS=-O2 {' '.join(STRICT)}"
    command = [make, "-C", str(folder), "clean", "test", f"CC={compiler}", flags]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_host_test_passes(bundle: Path, compiler: str, tool: Tool) -> None:
    done = make_test(bundle, tool("make"), tool(compiler))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 vectors, 0 values differ" in done.stdout


def test_the_host_test_notices_a_changed_weight(bundle: Path, tool: Tool) -> None:
    source = bundle / "doorbell.c"
    pattern = r"(static const int8_t \w+\[\d*\] = \{\s*)(-?\d+)"
    text, count = re.subn(pattern, lambda m: m[1] + str(-int(m[2]) or 99), source.read_text())
    assert count > 0
    source.write_text(text)
    done = make_test(bundle, tool("make"), tool("gcc"))
    assert done.returncode != 0
    assert "on the chip" in done.stdout


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m33"])
def test_the_cross_compiler_has_nothing_to_say(bundle: Path, core: str, tool: Tool) -> None:
    sources = [str(path) for path in bundle.glob("doorbell*.c")]
    command = [tool("arm-none-eabi-gcc"), f"-mcpu={core}", "-mthumb", "-O2", *STRICT, "-c", *sources]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle)
    assert done.returncode == 0, done.stderr


def test_cmake_builds_and_tests(bundle: Path, tool: Tool) -> None:
    cmake = tool("cmake")
    for command in ([cmake, "-B", "build"], [cmake, "--build", "build"], [cmake, "--build", "build", "-t", "test"]):
        done = subprocess.run(command, capture_output=True, text=True, cwd=bundle)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def speaking(tmp_path: Path) -> Path:
    """A bundle of a network for sound, with its manifest."""
    front_end = FrontEnd(clip_ms=170, mel_bands=20, coefficients=6)
    model = small_conv_model(input_scale=0.3)
    folder = tmp_path / "file"
    api.export(model, "tflite", folder, "bell")
    manifest = Manifest.of(model, ("yes", "no", "up", "_silence_", "_unknown_"), front_end.as_json(), {})
    manifest = manifest.deciding(DecisionSettings(threshold=0.5, smoothed_results=3)).named("bell.tflite")
    (folder / "manifest.json").write_text(manifest.as_text())
    return api.export(folder / "bell.tflite", "c", tmp_path / "bundle", "bell")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_front_end_in_a_bundle_makes_the_features_of_training(speaking: Path, compiler: str, tool: Tool) -> None:
    done = make_test(speaking, tool("make"), tool(compiler))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 sounds, 0 features are not those of training" in done.stdout
    assert "0 values differ" in done.stdout
    assert "2 streams, 0 results are not those of their clips" in done.stdout
    assert "features are not" in sanitized(speaking, tool("make"), tool(compiler))


def test_a_bundle_listens_as_its_manifest_says(speaking: Path, tool: Tool) -> None:
    settings = (speaking / "bell_stream_settings.h").read_text()
    assert "#define BELL_SMOOTHED_RESULTS 3\n" in settings
    assert "#define BELL_THRESHOLD_MILLIONTHS 500000\n" in settings
    assert "#define BELL_IS_KEYWORD {1, 1, 1, 0, 0}\n" in settings
    readme = (speaking / "README.md").read_text()
    assert "they were chosen on streams" in readme and "% of the processor" in readme
    example = [tool("gcc"), *STRICT, "-O1", "-c", "bell_example.c"]
    done = subprocess.run(example, capture_output=True, text=True, cwd=speaking)
    assert done.returncode == 0, done.stderr


STALLING_STREAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include "bell_stream.h"

void microphone_received(const int16_t *samples, size_t n);
void detected(const char *word, float probability);
void sound_lost(uint32_t samples);

static int16_t next = 1;
static uint32_t lost;

static void deliver(int pieces)
{
    while (pieces-- > 0) {
        int16_t piece[100];
        for (int i = 0; i < 100; i++) piece[i] = next++;
        microphone_received(piece, 100);
    }
}

void detected(const char *word, float probability) { (void)word; (void)probability; }
void sound_lost(uint32_t samples) { lost += samples; }

void bell_stream_init(bell_stream *stream, void *arena, bell_on_event on_event, void *user)
{
    (void)stream; (void)arena; (void)on_event; (void)user;
}

/* A network that once, in its third turn, takes longer than sound for the ring does to come. */
void bell_stream_push(bell_stream *stream, const int16_t *samples, size_t n)
{
    static int turn, last, heard;
    (void)stream;
    turn++;
    deliver(turn == 3 ? 200 : turn < 50);
    for (size_t i = 0; i < n; i++) {
        if (samples[i] <= last) {
            printf("%d after %d\n", samples[i], last);
            exit(1);
        }
        last = samples[i];
        heard++;
    }
    if (turn > 50 && n == 0) {
        printf("%d heard, %u lost of %d\n", heard, (unsigned)lost, next - 1);
        exit(lost == 0 || heard + (int)lost != next - 1);
    }
}
"""


def test_the_example_drops_and_tells_of_sound_that_its_ring_cannot_hold(speaking: Path, tool: Tool) -> None:
    (speaking / "stalling.c").write_text(STALLING_STREAM)
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [tool("gcc"), *STRICT, *sanitizers, "bell_example.c", "stalling.c", "-o", "example"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=speaking)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["./example"], capture_output=True, text=True, cwd=speaking, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_front_end_in_integers_makes_them_too(speaking: Path, compiler: str, tool: Tool) -> None:
    header = speaking / "bell_front_end.h"
    header.write_text("#define BELL_FRONT_END_FIXED 1\n" + header.read_text())
    done = make_test(speaking, tool("make"), tool(compiler))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 sounds, 0 features are not those of training" in done.stdout
    assert "features are not" in sanitized(speaking, tool("make"), tool(compiler))


def test_the_host_test_notices_another_front_end(speaking: Path, tool: Tool) -> None:
    tables = speaking / "bell_front_end.c"
    tables.write_text(tables.read_text().replace(".log_floor = ", ".log_floor = 10.0f + "))
    assert make_test(speaking, tool("make"), tool("gcc")).returncode != 0


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m33"])
def test_the_cross_compiler_has_nothing_to_say_of_the_front_end(speaking: Path, core: str, tool: Tool) -> None:
    floats = ["-mfloat-abi=hard"] if core == "cortex-m4" else []
    sources = [str(path) for path in speaking.glob("bell*.c")]
    command = [tool("arm-none-eabi-gcc"), f"-mcpu={core}", "-mthumb", *floats, "-O2", *STRICT, "-c", *sources]
    done = subprocess.run(command, capture_output=True, text=True, cwd=speaking)
    assert done.returncode == 0, done.stderr


def test_a_compiler_for_aarch64_takes_every_source(speaking: Path) -> None:
    sources = sorted(path.name for path in speaking.glob("*.c"))
    assert {"bell_features.c", "bell_stream.c", "bell_example.c", "test.c"} <= set(sources)
    for source in sources:  # one at a time: zig links what it compiles together
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", *STRICT, "-O2", "-c", source]
        done = subprocess.run(command, capture_output=True, text=True, cwd=speaking)
        assert done.returncode == 0, done.stderr


def test_a_bundle_without_a_front_end_says_why(bundle: Path) -> None:
    assert (bundle / "README.md").read_text().count("without a manifest that says") == 2
    assert not list(bundle.glob("*front_end*")) and not list(bundle.glob("*stream*"))


def test_the_sources_are_those_that_are_profiled(bundle: Path, model: ConvertedModel) -> None:
    for name, text in generate(model, "doorbell").sources.items():
        assert (bundle / name).read_text() == text


def test_the_files_of_an_earlier_bundle_are_replaced_and_nothing_else(model: ConvertedModel, tmp_path: Path) -> None:
    def held(folder: Path) -> set[str]:
        return {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if not path.is_dir() or not any(path.iterdir())
        }

    bundle, fresh = tmp_path / "bundle", tmp_path / "fresh"
    api.export(model, "c", bundle, "doorbell", harness=True)
    (bundle / "board").mkdir()
    (bundle / "board" / "main.c").write_text("mine")
    (bundle / "Makefile").write_text("damaged")
    api.export(model, "c", bundle, "bell")
    api.export(model, "c", fresh, "bell")
    assert held(bundle) == held(fresh) | {"board/main.c"}
    assert all((bundle / name).read_bytes() == (fresh / name).read_bytes() for name in held(fresh))
    (bundle / "chime.h").write_text("mine")
    with pytest.raises(RunFolderError, match=r"chime\.h is not the bundle's"):
        api.export(model, "c", bundle, "chime")
    assert held(bundle) == held(fresh) | {"board/main.c", "chime.h"}


@pytest.mark.parametrize("file", ["thesis.txt", "manifest.json", "weights.npz"])
def test_any_other_folder_stays_as_it_is(model: ConvertedModel, tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("years of work")
    with pytest.raises(RunFolderError, match="name another folder with --out"):
        api.export(model, "c", tmp_path, "doorbell")
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("layout", ["c", "arduino", "zephyr"])
@pytest.mark.parametrize("name", ["test", "Test_Vectors", "clean"])
def test_a_name_of_the_bundles_own_build_is_refused(
    name: str, layout: str, model: ConvertedModel, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"name '{name}': the build of a bundle has it for something else"):
        api.export(model, layout, tmp_path / "bundle", name)
    assert not (tmp_path / "bundle").exists()


def test_no_file_of_a_bundle_hides_another() -> None:
    assert merged({"src/a.c": "1"}, {"a.c": "2"}, {"a.c": "2"}) == {"src/a.c": "1", "a.c": "2"}
    for file in ("test.c", "Test.c"):
        with pytest.raises(ModelError, match=f"two files of the bundle would be {file}"):
            merged({"test.c": "1"}, {file: "2"})


def test_a_model_file_keeps_its_manifest(model: ConvertedModel, tmp_path: Path) -> None:
    api.export(model, "tflite", tmp_path / "file", "bell")
    manifest = Manifest.beside(tmp_path / "file" / "bell.tflite")
    assert manifest is not None
    assert manifest.sha256 == model.sha256
    assert (tmp_path / "file" / "bell.tflite").read_bytes() == model.data
    assert Manifest.beside(tmp_path / "file" / "other.tflite") is None


DAMAGED = ["", "{}", "[]", '{"schema_version": 99, "labels": []}', '{"schema_version": 1, "labels": 3}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_manifest_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        Manifest.beside(tmp_path)
    assert "\n" not in str(caught.value)


def test_export_does_not_convert(model: ConvertedModel, tmp_path: Path) -> None:
    with pytest.raises(RenaError, match="wants the onnx format"):
        api.export(model, "onnx", tmp_path / "o")


def test_profile_and_bundle_agree_on_the_test_vectors(bundle: Path, model: ConvertedModel) -> None:
    text = (bundle / "test_vectors.h").read_text()
    bodies = re.findall(r"= \{(.*?)\n\};", text, re.DOTALL)
    inputs, outputs = (np.array([int(value) for value in re.findall(r"-?\d+", body)], np.int8) for body in bodies)
    measurement = api.profile(model, "cortex-m0plus", inputs.reshape(8, 8, 6, 1))  # a core without DSP
    np.testing.assert_array_equal(measurement.outputs.ravel(), outputs)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sanitizers_have_nothing_to_say(bundle: Path, compiler: str, tool: Tool) -> None:
    assert "0 values differ" in sanitized(bundle, tool("make"), tool(compiler))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
def test_sanitizers_have_nothing_to_say_of_the_reference_models(
    name: str, reference: Callable[..., Path], tool: Tool, tmp_path: Path
) -> None:
    bundle = api.export(reference("models", f"{name}_ref_model.tflite"), "c", tmp_path / name)
    assert "0 values differ" in sanitized(bundle, tool("make"), tool("gcc"))


@pytest.mark.slow
@pytest.mark.parametrize("levels", LEVELS)
def test_sanitizers_have_nothing_to_say_of_packed_weights(
    levels: str, reference: Callable[..., Path], tool: Tool, tmp_path: Path
) -> None:
    data = with_levels(reference("models", "kws_ref_model.tflite").read_bytes(), levels)
    bundle = api.export(ConvertedModel("tflite", data), "c", tmp_path / levels, optimize="size")
    assert any("bit.c" in path.name or "levels.c" in path.name for path in bundle.iterdir())
    assert "0 values differ" in sanitized(bundle, tool("make"), tool("gcc"))


def sanitized(folder: Path, make: str, compiler: str) -> str:
    """What the host test prints when addresses and undefined behaviour are watched; the first finding ends it."""
    flags = "CFLAGS=-g -O1 -std=c99 -fsanitize=address,undefined -fno-sanitize-recover=all"
    done = subprocess.run([make, "-C", str(folder), "test", f"CC={compiler}", flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
