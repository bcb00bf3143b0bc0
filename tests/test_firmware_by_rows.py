"""Operators that run together by bands of rows: equal to TensorFlow Lite Micro for chains of every kind, within their
memory, and chosen so that the arena is as small as any division of the network could make it."""

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
        data = self.random.integers(-127, 128, shape)
        return self.model.tensor(shape, scale=[0.01] * shape[axis], axis=axis, data=data)

    def convolution(self) -> None:
        depth = self.model.shape(self.end)[3]
        pixelwise = self.draw(st.booleans())
        kernel, options, output = ((1, 1), {"padding": 0, "strideH": 1, "strideW": 1}, None) if pixelwise else self._window(True)
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
    """The model with a part of its chain as one step, in bands of some height."""
    plain = one_by_one(read_graph(ConvertedModel("tflite", data)))
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
    assert_equal_to_micro(model, folder, compiler, chain.values(3), firmware)


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
