"""Operators that run together by bands of rows: equal to TensorFlow Lite Micro for chains of every kind, within their
memory, and chosen so that the arena is about as small as any division of the network could make it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded_firmware import BoundedFirmware
from flatbuffer_models import ModelBuilder
from host_firmware import MicroInterpreter, assert_equal_to_micro
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.firmware.by_rows import MAX_STAGES, chains, fuse, schedule
from rena_kws.firmware.emit import firmware_of, generate
from rena_kws.firmware.fusion import BAND_ROWS, Program, one_by_one, program, together
from rena_kws.firmware.graph import Op, read_graph
from rena_kws.firmware.window import Window

Draw = Callable[[st.SearchStrategy[Any]], Any]
ALL_LEVELS = np.arange(-127, 128)
FEW_LEVELS = (np.array([-127, 0, 127]), np.rint(np.arange(-7, 8) * 127 / 7).astype(int))
"""Weights that are packed in 2 bits, and in 4."""
ZERO_POINTS = st.one_of(st.sampled_from([-128, -128, 0]), st.integers(-128, 127))


class Chain:
    """A model of operators in a row, all drawn; images of batch one."""

    def __init__(self, draw: Draw, height: int = 14) -> None:
        self.draw, self.model = draw, ModelBuilder()
        self.random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
        shape = (1, draw(st.integers(1, height)), draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 3, 4, 8])))
        self.end = self._tensor(shape)
        self.inputs = [self.end]

    def _tensor(self, shape: Sequence[int], scale: float = 0.05, zero_point: int | None = None) -> int:
        zero_point = self.draw(ZERO_POINTS) if zero_point is None else zero_point
        self.scale, self.zero_point = scale, zero_point
        return self.model.tensor(shape, scale=scale, zero_point=zero_point)

    def _window(self, dilated: bool) -> tuple[tuple[int, int], dict[str, int], tuple[int, int]]:
        """(kernel, options, output) over the image at the chain's end."""
        image = self.model.shape(self.end)[1:3]
        padding = self.draw(st.sampled_from([0, 0, 1]))
        stride = self.draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2), (3, 2)]))
        dilation = self.draw(st.sampled_from([(1, 1), (2, 1), (2, 3)])) if dilated and stride == (1, 1) else (1, 1)
        kernel = self.draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
        if padding == 1:
            kernel = tuple(min(kernel[i], (image[i] - 1) // dilation[i] + 1) for i in (0, 1))
        options = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
        if dilated:
            options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
        covered = image if padding == 0 else [image[i] - (kernel[i] - 1) * dilation[i] for i in (0, 1)]
        return kernel, options, (-(-covered[0] // stride[0]), -(-covered[1] // stride[1]))

    def _weights(self, shape: tuple[int, ...], axis: int) -> int:
        data = self.random.choice(self.draw(st.sampled_from([ALL_LEVELS, ALL_LEVELS, *FEW_LEVELS])), shape)
        return self.model.tensor(shape, scale=[0.01] * shape[axis], axis=axis, data=data)

    def convolution(self) -> None:
        depth = self.model.shape(self.end)[3]
        pixelwise = self.draw(st.booleans())
        kernel, options, output = (
            ((1, 1), {"padding": 0, "strideH": 1, "strideW": 1}, None) if pixelwise else self._window(True)
        )
        channels = self.draw(st.sampled_from([1, 3, 4, 8]))
        weights, scale = self._weights((channels, *kernel, depth), 0), self.scale
        out = self._tensor((1, *(output or self.model.shape(self.end)[1:3]), channels), scale * 0.5 * np.sqrt(depth))
        options |= {"fusedActivationFunction": self.draw(st.sampled_from([0, 1]))}
        self.model.op("CONV_2D", [self.end, weights, -1], [out], "Conv2DOptions", **options)
        self.end = out

    def depthwise(self) -> None:
        depth, multiplier = self.model.shape(self.end)[3], self.draw(st.sampled_from([1, 1, 2]))
        kernel, options, output = self._window(True)
        if self.draw(st.booleans()) and options["padding"] == 0:
            kernel = (3, 3)
        weights, scale = self._weights((1, *kernel, depth * multiplier), 3), self.scale
        out = self._tensor((1, *output, depth * multiplier), scale)
        options |= {"depthMultiplier": multiplier}
        self.model.op("DEPTHWISE_CONV_2D", [self.end, weights], [out], "DepthwiseConv2DOptions", **options)
        self.end = out

    def pool(self) -> None:
        kernel, options, output = self._window(False)
        out = self._tensor((1, *output, self.model.shape(self.end)[3]), self.scale, self.zero_point)
        options |= {"filterHeight": kernel[0], "filterWidth": kernel[1]}
        name = self.draw(st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
        self.model.op(name, [self.end], [out], "Pool2DOptions", **options)
        self.end = out

    def sum(self) -> None:
        """With the chain's input where it has the shape, else with a constant or an input of its own."""
        shape, scale, zero_point = self.model.shape(self.end), self.scale, self.zero_point
        if shape == self.model.shape(self.inputs[0]) and self.inputs[0] != self.end:
            other = self.inputs[0]
        elif self.draw(st.booleans()):
            data = self.random.integers(-128, 128, shape)
            other = self.model.tensor(shape, scale=scale, zero_point=3, data=data)
        else:
            other = self.model.tensor(shape, scale=scale, zero_point=zero_point)
            self.inputs.append(other)
        operands = [self.end, other] if self.draw(st.booleans()) else [other, self.end]
        out = self._tensor(shape, scale * 2)
        self.model.op("ADD", operands, [out], "AddOptions")
        self.end = out

    def grow(self, most: int = MAX_STAGES) -> None:
        kinds = [self.convolution, self.convolution, self.depthwise, self.pool, self.sum]
        for _ in range(self.draw(st.integers(2, most))):
            self.draw(st.sampled_from(kinds))()

    def build(self) -> bytes:
        return self.model.build(self.inputs, [self.end])

    def values(self, count: int) -> list[list[NDArray[np.int8]]]:
        shapes = [self.model.shape(index) for index in self.inputs]
        return [[self.random.integers(-128, 128, shape, np.int8) for shape in shapes] for _ in range(count)]


def fused(data: bytes, draw: Draw) -> Program:
    """The model with a part of its chain as one step, in bands of some height, its weights packed or not."""
    plain = one_by_one(read_graph(ConvertedModel("tflite", data)), draw(st.sampled_from(["size", "speed"])))
    found = chains(plain.graph, plain.calls)
    assume(found)  # a kernel over the whole image is a dense layer, which ends a chain
    chain = found[0]
    first = draw(st.integers(0, len(chain) - 2))
    ops = chain[first : draw(st.integers(first + 2, len(chain)))]
    call, _ = fuse(plain.graph, ops, plain.calls, draw(st.integers(1, 5)))
    return together(plain, [(ops, call)])


def limits(examples: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, suppress_health_check=checks, derandomize=True, phases=[Phase.explicit, Phase.generate]
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


def check_on_host(data: st.DataObject, folder: Path, compiler: str) -> None:
    pytest.importorskip("tflite_micro")
    chain = Chain(data.draw)
    chain.grow()
    model = chain.build()
    firmware = firmware_of(fused(model, data.draw), "kws_model")
    assert_equal_to_micro(model, folder, compiler, chain.values(3), firmware=firmware)


@limits(12)
@given(data=st.data())
def test_chains_are_bit_exact(compiled: Path, tool: Callable[[str], str], data: st.DataObject) -> None:
    check_on_host(data, compiled, tool("gcc"))


@pytest.mark.slow
@limits(400)
@given(data=st.data())
def test_chains_are_bit_exact_over_many(compiled: Path, tool: Callable[[str], str], data: st.DataObject) -> None:
    check_on_host(data, compiled, tool("gcc"))


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
@limits(60)
@given(data=st.data())
def test_machine_code_of_chains_is_bit_exact_and_stays_in_its_memory(core: str, data: st.DataObject) -> None:
    pytest.importorskip("tflite_micro")
    chain = Chain(data.draw)
    chain.grow()
    model = chain.build()
    bounded, micro = BoundedFirmware(fused(model, data.draw), core), MicroInterpreter(model)
    for values in chain.values(2):
        np.testing.assert_array_equal(bounded(values)[0], micro(values, 1)[0])


def taps(window: Window, row: int) -> set[int]:
    """The image's rows that an output row reads, one by one."""
    first = row * window.stride[0] - window.pad[0]
    return {row for row in range(first, first + window.size[0]) if 0 <= row < window.image[0]}


@given(data=st.data())
def test_the_schedule_holds_every_row_that_is_read_and_no_more_than_that(data: st.DataObject) -> None:
    """Against sets of rows: each is computed once, in order, is there when it is read, and the buffer is no longer."""
    height, windows = data.draw(st.integers(2, 20)), []
    for _ in range(data.draw(st.integers(2, MAX_STAGES))):
        stride = data.draw(st.integers(1, 3))
        size = data.draw(st.integers(stride, 6))  # no row is skipped
        same = size > height or data.draw(st.booleans())
        out = -(-(height if same else height - size + 1) // stride)
        pad = max(0, (out - 1) * stride + size - height) // 2
        windows.append(Window((size, 1), (stride, 1), (1, 1), (height, 1), (out, 1), (pad, 0)))
        height = out
    band_rows = data.draw(st.integers(1, 4))
    plan = schedule(windows, band_rows)
    last = len(windows) - 1
    done, most = [0] * len(windows), [0] * len(windows)
    bands: list[list[tuple[int, int]]] = [[] for _ in windows]
    while done[last] < windows[last].output[0]:
        goal = [0] * last + [min(done[last] + band_rows, windows[last].output[0])]
        for i in range(last, 0, -1):
            goal[i - 1] = max([done[i - 1], *(row + 1 for y in range(goal[i]) for row in taps(windows[i], y))])
        for i in range(last + 1):
            if i < last:
                later = [row for y in range(done[i + 1], windows[i + 1].output[0]) for row in taps(windows[i + 1], y)]
                most[i] = max(most[i], goal[i] - min([done[i], *later]))
            if goal[i] > done[i]:
                bands[i].append((done[i], goal[i]))
                done[i] = goal[i]
    assert [list(stage) for stage in plan.bands] == bands
    assert list(plan.held_rows[:-1]) == most[:-1]


def divisions(ops: Sequence[Op]) -> Iterator[list[Sequence[Op]]]:
    """Every way to cut a chain into neighbouring parts of at most `MAX_STAGES`."""
    if not ops:
        yield []
    for size in range(1, min(MAX_STAGES, len(ops)) + 1):
        for rest in divisions(ops[size:]):
            yield [ops[:size], *rest]


def least_arena(plain: Program) -> int:
    """Of every division of every chain with every height of the bands."""
    best = plain.memory.arena_bytes
    for parts in itertools.product(*(divisions(chain) for chain in chains(plain.graph, plain.calls))):
        fused_parts = [ops for division in parts for ops in division if len(ops) > 1]
        heights = [
            [rows for rows in BAND_ROWS if rows < plain.graph.tensors[ops[-1].outputs[0]].shape[1]]
            for ops in fused_parts
        ]
        for rows in itertools.product(*heights):
            steps = [
                (ops, fuse(plain.graph, ops, plain.calls, band)[0]) for ops, band in zip(fused_parts, rows, strict=True)
            ]
            best = min(best, together(plain, steps).memory.arena_bytes)
    return best


@limits(40)
@given(data=st.data())
def test_no_division_of_a_network_needs_a_smaller_arena(data: st.DataObject) -> None:
    chain = Chain(data.draw)
    chain.grow()
    graph = read_graph(ConvertedModel("tflite", chain.build()))
    found = program(graph, "size").memory.arena_bytes
    least = least_arena(one_by_one(graph, "size"))
    # Steps are chosen by what is alive during each; alignment and the order of placing may cost a little beside that.
    assert least <= found <= 1.1 * least + 32


def test_speed_fuses_nothing() -> None:
    """A model whose first image is the largest: fused unless speed is all."""
    model = ModelBuilder()
    x = model.tensor((1, 24, 24, 1), scale=0.05)
    weights = model.tensor((8, 3, 3, 1), scale=[0.01] * 8, axis=0, data=np.ones((8, 3, 3, 1), int))
    y = model.tensor((1, 24, 24, 8), scale=0.05)
    model.op("CONV_2D", [x, weights, -1], [y], "Conv2DOptions", padding=0, strideH=1, strideW=1)
    z = model.tensor((1, 6, 6, 8), scale=0.05)
    sizes = {"filterHeight": 4, "filterWidth": 4, "strideH": 4, "strideW": 4}
    model.op("MAX_POOL_2D", [y], [z], "Pool2DOptions", padding=1, **sizes)
    data = ConvertedModel("tflite", model.build([x], [z]))
    fast, small = (generate(data, optimize=optimize) for optimize in ("speed", "size"))
    assert [layer.op for layer in fast.layers] == ["CONV_2D", "MAX_POOL_2D"]
    assert [layer.op for layer in small.layers] == ["CONV_2D + MAX_POOL_2D"]
    assert small.arena_bytes < 0.5 * fast.arena_bytes
