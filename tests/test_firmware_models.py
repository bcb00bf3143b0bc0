"""The three MLPerf Tiny models, end to end on this computer: every output element equals TensorFlow Lite Micro's."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from host_firmware import HostFirmware, MicroInterpreter, assert_equal_to_micro

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.devices import catalogue
from rena_kws.firmware.emit import generate
from rena_kws.firmware.toolchain import GccToolchain, ZigToolchain
from rena_kws.profilers.cortex_m.profiler import CortexMProfiler

pytest.importorskip("tflite_micro")

Reference = Callable[..., Path]
Tool = Callable[[str], str]


def test_keyword_model_on_all_recordings(reference: Reference, tool: Tool, tmp_path: Path) -> None:
    data = reference("models", "kws_ref_model.tflite").read_bytes()
    firmware = generate(ConvertedModel("tflite", data))
    host, micro = HostFirmware(firmware, tmp_path, tool("gcc")), MicroInterpreter(data)
    shape = firmware.inputs[0].shape
    with reference("datasets", "kws01", "y_labels.csv").open(encoding="utf-8", newline="") as file:
        labels = {name: int(label) for name, _, label in csv.reader(file)}
    differing = correct = 0
    for name, label in labels.items():
        x = np.fromfile(reference("datasets", "kws01", name), np.int8).reshape(shape)
        ours, theirs = host([x])[0], micro([x], 1)[0]
        differing += not np.array_equal(ours, theirs)
        correct += int(ours.argmax()) == label
    assert len(labels) == 500
    assert differing == 0
    assert correct == 449, "89.8 % of these 500, as TensorFlow Lite Micro has it"


@pytest.mark.parametrize("name", ["ic", "ad"])
def test_image_and_anomaly_model_on_random_inputs(name: str, reference: Reference, tool: Tool, tmp_path: Path) -> None:
    data = reference("models", f"{name}_ref_model.tflite").read_bytes()
    shape = generate(ConvertedModel("tflite", data)).inputs[0].shape
    random = np.random.default_rng(7)
    inputs = [[random.integers(-128, 128, shape, dtype=np.int8)] for _ in range(100)]
    assert_equal_to_micro(data, tmp_path, tool("gcc"), inputs)


@pytest.mark.parametrize(("name", "arena_bytes"), [("kws", 22_820), ("ic", 54_996), ("ad", 2_580)])
def test_arena_is_smaller_than_that_of_tensorflow_lite_micro(name: str, arena_bytes: int, reference: Reference) -> None:
    """The figures of TensorFlow Lite Micro include its runtime structures, which generated code does not have."""
    firmware = generate(ConvertedModel("tflite", reference("models", f"{name}_ref_model.tflite").read_bytes()))
    assert firmware.arena_bytes < arena_bytes


@pytest.mark.parametrize(("name", "macs"), [("kws", 2_656_768), ("ic", 12_501_632), ("ad", 264_192)])
def test_multiply_accumulates_are_those_of_the_benchmark(name: str, macs: int, reference: Reference) -> None:
    firmware = generate(ConvertedModel("tflite", reference("models", f"{name}_ref_model.tflite").read_bytes()))
    assert sum(layer.macs for layer in firmware.layers) == macs


@pytest.mark.slow
def test_keyword_model_on_all_recordings_on_the_emulated_board(reference: Reference) -> None:
    model = reference("models", "kws_ref_model.tflite")
    with reference("datasets", "kws01", "y_labels.csv").open(encoding="utf-8", newline="") as file:
        labels = {name: int(label) for name, _, label in csv.reader(file)}
    clips = np.stack([np.fromfile(reference("datasets", "kws01", name), np.int8) for name in labels])
    found = api.profile(model, "nucleo-l4r5zi", clips).outputs.reshape(len(clips), -1)
    micro = MicroInterpreter(model.read_bytes())
    expected = np.stack([micro([clip.reshape(1, 49, 10, 1)], 1)[0].ravel() for clip in clips])
    np.testing.assert_array_equal(found, expected)
    assert np.sum(found.argmax(axis=1) == list(labels.values())) == 449


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
def test_a_thousand_random_inputs_on_the_emulated_core(name: str, reference: Reference) -> None:
    model = reference("models", f"{name}_ref_model.tflite")
    shape = generate(ConvertedModel("tflite", model.read_bytes())).inputs[0].shape
    inputs = np.random.default_rng(11).integers(-128, 128, (1000, *shape[1:]), np.int8)
    found = api.profile(model, "cortex-m4", inputs).outputs
    micro = MicroInterpreter(model.read_bytes())
    differing = sum(not np.array_equal(micro([x[None]], 1)[0], y[None]) for x, y in zip(inputs, found, strict=True))
    assert differing == 0


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cortex-m0plus", "cortex-m4"])
@pytest.mark.parametrize("optimize", ["speed", "size"])
def test_gcc_computes_what_clang_computes(
    device: str, optimize: Literal["speed", "size"], reference: Reference, tool: Tool
) -> None:
    tool("arm-none-eabi-gcc")
    model = ConvertedModel("tflite", reference("models", "kws_ref_model.tflite").read_bytes())
    inputs = np.random.default_rng(5).integers(-128, 128, (8, 49, 10, 1), np.int8)
    profilers = [CortexMProfiler(toolchain=kind(), optimize=optimize) for kind in (GccToolchain, ZigToolchain)]
    gcc, clang = (profiler.profile(model, catalogue.get(device), inputs).outputs for profiler in profilers)
    np.testing.assert_array_equal(gcc, clang)
