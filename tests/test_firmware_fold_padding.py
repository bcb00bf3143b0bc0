"""Paddings that convolutions do themselves: the same numbers as TensorFlow Lite Micro's, in less memory and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bounded_firmware import BoundedFirmware
from flatbuffer_models import ModelBuilder
from host_firmware import MicroInterpreter, assert_equal_to_micro
from hypothesis import given
from hypothesis import strategies as st
from test_firmware_ops import ACTIVATIONS, SCALES, ZERO_POINTS, Draw, draw_weights, limits, output_scale, values

from rena_kws.artifacts import ConvertedModel
from rena_kws.devices import catalogue
from rena_kws.firmware import fusion
from rena_kws.firmware.emit import generate
from rena_kws.firmware.fold_padding import fold_padding
from rena_kws.firmware.graph import read_graph
from rena_kws.profilers.cortex_m.profiler import CortexMProfiler

pytest.importorskip("tflite_micro")


def padded_convolution(draw: Draw, model: ModelBuilder) -> tuple[int, int]:
    """A PAD of columns, as wide as the window allows, and a convolution that reads it → the image and the output."""
    depthwise = draw(st.booleans())
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.sampled_from([(1, 1), (2, 2)] if depthwise else [(1, 1), (2, 2), (1, 2), (2, 1)]))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 3))) if stride == (1, 1) else (1, 1)
    reach = [(kernel[i] - 1) * dilation[i] + 1 for i in (0, 1)]
    scale = draw(SCALES)
    zero_point = draw(ZERO_POINTS)
    height, width = reach[0] + draw(st.integers(0, 5)), draw(st.integers((reach[1] + 2) // 3, reach[1] + 6))
    depth = draw(st.integers(1, 8))
    x = model.tensor((1, height, width, depth), scale=scale, zero_point=zero_point)
    left = draw(st.integers(0, reach[1] - 1))
    right = draw(st.integers(max(0, reach[1] - width - left), reach[1] - 1))
    padded = model.tensor((1, height, width + left + right, depth), scale=scale, zero_point=zero_point)
    amounts = model.tensor((4, 2), data=np.array([[0, 0], [0, 0], [left, right], [0, 0]]), dtype="int32")
    if draw(st.booleans()):
        value = model.tensor((1,), data=np.array([zero_point]), scale=scale, zero_point=zero_point)
        model.op("PADV2", [x, amounts, value], [padded], "PadV2Options")
    else:
        model.op("PAD", [x, amounts], [padded], "PadOptions")
    output = [(size - reach[i]) // stride[i] + 1 for i, size in enumerate((height, width + left + right))]
    multiplier, channels = draw(st.integers(1, 2)), draw(st.integers(1, 7))
    shape, axis = ((1, *kernel, depth * multiplier), 3) if depthwise else ((channels, *kernel, depth), 0)
    weights, scales, bias = draw_weights(draw, model, shape, axis, scale)
    y = model.tensor(
        (1, *output, shape[axis]), scale=output_scale(draw, scale * max(scales)), zero_point=draw(ZERO_POINTS)
    )
    options = {"padding": 1, "strideH": stride[0], "strideW": stride[1], "fusedActivationFunction": draw(ACTIVATIONS)}
    options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    inputs = [padded, weights] if bias < 0 else [padded, weights, bias]
    if depthwise:
        model.op("DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", depthMultiplier=multiplier, **options)
    else:
        model.op("CONV_2D", inputs, [y], "Conv2DOptions", **options)
    return x, y


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@limits(5)
@given(data=st.data())
def test_a_folded_padding_is_bit_exact(compiled: Path, tool: Callable[[str], str], data: st.DataObject) -> None:
    check(data, 4, lambda image, inputs: assert_equal_to_micro(image, compiled, tool("gcc"), inputs))


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
@limits(60)
@given(data=st.data())
def test_machine_code_is_bit_exact_and_stays_in_its_memory(core: str, data: st.DataObject) -> None:
    def on_core(image: bytes, inputs: list[list[np.ndarray]]) -> None:
        bounded, micro = BoundedFirmware(image, core), MicroInterpreter(image)
        for batch in inputs:
            for ours, theirs in zip(bounded(batch), micro(batch, len(bounded.firmware.outputs)), strict=True):
                np.testing.assert_array_equal(ours, theirs)

    check(data, 2, on_core)


def check(data: st.DataObject, batches: int, compare: Callable[[bytes, list[list[np.ndarray]]], None]) -> None:
    """Several convolutions beside each other; none of their paddings is left."""
    model = ModelBuilder()
    pairs = [padded_convolution(data.draw, model) for _ in range(data.draw(st.integers(1, 5)))]
    image = model.build([x for x, _ in pairs], [y for _, y in pairs])
    graph = fold_padding(read_graph(ConvertedModel("tflite", image)))
    assert len(graph.ops) == len(pairs) and not any(op.name.startswith("PAD") for op in graph.ops)
    inputs = [[values(data.draw, model.shape(x)) for x, _ in pairs] for _ in range(batches)]
    compare(image, inputs)


def one_padding(amounts: list[list[int]], kernel: int = 3, value: int | None = None, shown: bool = False) -> list[str]:
    """The operators that are left of a PAD, a convolution and, where the PAD is `shown`, its output."""
    model = ModelBuilder()
    shape = [1, 8, 6, 2]
    x = model.tensor(shape, scale=0.1, zero_point=5)
    sizes = [size + sum(amount) for size, amount in zip(shape, amounts, strict=True)]
    padded = model.tensor(sizes, scale=0.1, zero_point=5)
    rows = model.tensor((4, 2), data=np.array(amounts), dtype="int32")
    if value is None:
        model.op("PAD", [x, rows], [padded], "PadOptions")
    else:
        constant = model.tensor((1,), data=np.array([value]), scale=0.1, zero_point=5)
        model.op("PADV2", [x, rows, constant], [padded], "PadV2Options")
    depth = sizes[3]
    weights = model.tensor((4, kernel, kernel, depth), scale=[0.1] * 4, data=np.ones((4, kernel, kernel, depth), int))
    y = model.tensor((sizes[0], sizes[1] - kernel + 1, sizes[2] - kernel + 1, 4), scale=0.1)
    model.op("CONV_2D", [padded, weights, -1], [y], "Conv2DOptions", padding=1, strideH=1, strideW=1)
    image = model.build([x], [y, padded] if shown else [y])
    return [op.name for op in fold_padding(read_graph(ConvertedModel("tflite", image))).ops]


def test_what_a_convolution_cannot_pad_is_left_alone() -> None:
    columns = [[0, 0], [0, 0], [1, 2], [0, 0]]
    assert one_padding(columns) == one_padding(columns, value=5) == ["CONV_2D"]
    assert one_padding(columns, value=4) == ["PADV2", "CONV_2D"]
    assert one_padding(columns, shown=True) == ["PAD", "CONV_2D"]
    assert one_padding([[0, 0], [1, 0], [1, 2], [0, 0]]) == ["PAD", "CONV_2D"]
    assert one_padding([[0, 0], [0, 0], [1, 2], [0, 1]]) == ["PAD", "CONV_2D"]
    assert one_padding([[0, 0], [0, 0], [3, 0], [0, 0]]) == ["PAD", "CONV_2D"]  # a window of nothing but padding
    assert one_padding([[0, 0], [0, 0], [1, 0], [0, 0]], kernel=1) == ["PAD", "CONV_2D"]


def test_without_it_a_network_is_smaller_and_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelBuilder()
    random = np.random.default_rng(0)
    x = end = model.tensor((1, 24, 10, 8), scale=0.05, zero_point=-128)
    amounts = model.tensor((4, 2), data=np.array([[0, 0], [0, 0], [1, 1], [0, 0]]), dtype="int32")
    for height in (22, 20):
        padded = model.tensor((1, height + 2, 12, 8), scale=0.05, zero_point=-128)
        model.op("PAD", [end, amounts], [padded], "PadOptions")
        weights = model.tensor((8, 3, 3, 8), scale=[0.01] * 8, data=random.integers(-127, 128, (8, 3, 3, 8)))
        end = model.tensor((1, height, 10, 8), scale=0.05, zero_point=-128)
        model.op("CONV_2D", [padded, weights, -1], [end], "Conv2DOptions", padding=1, strideH=1, strideW=1)
    network = ConvertedModel("tflite", model.build([x], [end]))
    device = catalogue.get("cortex-m4")
    clip = random.integers(-128, 128, (1, 24, 10, 8), dtype=np.int8)
    folded = CortexMProfiler().profile_firmware(generate(network, "kws"), device, clip)
    monkeypatch.setattr(fusion, "fold_padding", lambda graph: graph)
    plain = CortexMProfiler().profile_firmware(generate(network, "kws"), device, clip)
    np.testing.assert_array_equal(folded.outputs, plain.outputs)
    assert folded.ram_bytes is not None and plain.ram_bytes is not None and folded.ram_bytes < 0.95 * plain.ram_bytes
    assert folded.cycles is not None and plain.cycles is not None and folded.cycles < plain.cycles
