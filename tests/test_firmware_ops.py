"""Every operator, over random shapes, strides, paddings, scales and extreme values: equal to TensorFlow Lite Micro.

One example is a graph of several independent operators, since compiling is what takes the time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded_firmware import BoundedFirmware
from flatbuffer_models import ModelBuilder
from host_firmware import MicroInterpreter, assert_equal_to_micro
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.firmware.emit import generate

pytest.importorskip("tflite_micro")

ACTIVATIONS = st.sampled_from([0, 1, 2, 3])  # NONE, RELU, RELU_N1_TO_1, RELU6
ZERO_POINTS = st.one_of(st.sampled_from([-128, -128, 0, 127]), st.integers(-128, 127))
SCALES = st.floats(1e-3, 0.5).map(lambda x: float(np.float32(x)))
Draw = Callable[[st.SearchStrategy[Any]], Any]
Case = Callable[[Draw, ModelBuilder], tuple[list[int], int]]
"""Adds one operator to a model; its computed inputs and its output."""


def values(draw: Draw, shape: tuple[int, ...], low: int = -128) -> NDArray[np.int8]:
    """Random int8 values, or only the two extremes."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    if draw(st.booleans()):
        return random.choice(np.array([low, 127], np.int8), shape)
    return random.integers(low, 128, shape, dtype=np.int8)


def window_output(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    return -(-size // stride) if padding == 0 else (size - (kernel - 1) * dilation - 1) // stride + 1


def draw_window(draw: Draw, dilated: bool) -> tuple[tuple[int, int], tuple[int, int], dict[str, int], tuple[int, int]]:
    """(kernel, image, options, output), each by (height, width); VALID windows fit into the image."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) if dilated and stride == (1, 1) else (1, 1)
    padding = draw(st.sampled_from([0, 1]))
    reach = [(kernel[i] - 1) * dilation[i] + 1 for i in (0, 1)]
    least = reach if padding == 1 else [1, 1]
    image = draw(st.tuples(st.integers(least[0], least[0] + 6), st.integers(least[1], least[1] + 6)))
    output = tuple(window_output(image[i], kernel[i], stride[i], dilation[i], padding) for i in (0, 1))
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
    if dilated:
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    return kernel, image, options, (output[0], output[1])


Values = Callable[[Draw, tuple[int, ...], int], NDArray[np.int8]]
"""Weights of a shape, not below a value."""


def draw_weights(
    draw: Draw, model: ModelBuilder, shape: tuple[int, ...], axis: int, x_scale: float, levels: Values = values
) -> tuple[int, list[float], int]:
    """(weights, their scales, the bias or -1); the bias is sometimes left out and sometimes large."""
    channels = shape[axis]
    per_channel = draw(st.booleans())
    scales = [draw(SCALES) for _ in range(channels if per_channel else 1)]
    weights = model.tensor(shape, scale=scales, axis=axis, data=levels(draw, shape, -127))
    if draw(st.integers(0, 3)) == 0:
        return weights, scales, -1
    largest = draw(st.sampled_from([1, 1000, 1 << 20]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    bias = random.integers(-largest, largest + 1, channels)
    return weights, scales, model.tensor((channels,), scale=[x_scale * s for s in scales], data=bias, dtype="int32")


def output_scale(draw: Draw, product: float) -> float:
    """A scale for sums of products: from one that saturates nearly always to one that rounds nearly all away."""
    return float(np.float32(product * 2.0 ** draw(st.floats(-2, 14))))


def convolution(draw: Draw, model: ModelBuilder, levels: Values = values) -> tuple[list[int], int]:
    kernel, image, options, output = draw_window(draw, dilated=True)
    batches, depth, channels = draw(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 7)))
    scale = draw(SCALES)
    x = model.tensor((batches, *image, depth), scale=scale, zero_point=draw(ZERO_POINTS))
    weights, scales, bias = draw_weights(draw, model, (channels, *kernel, depth), 0, scale, levels)
    y_scale = output_scale(draw, scale * max(scales))
    y = model.tensor((batches, *output, channels), scale=y_scale, zero_point=draw(ZERO_POINTS))
    activation = draw(ACTIVATIONS)
    model.op("CONV_2D", [x, weights, bias], [y], "Conv2DOptions", fusedActivationFunction=activation, **options)
    return [x], y


def depthwise(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    kernel, image, options, output = draw_window(draw, dilated=True)
    batches, depth, multiplier = draw(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 3)))
    scale = draw(SCALES)
    x = model.tensor((batches, *image, depth), scale=scale, zero_point=draw(ZERO_POINTS))
    weights, scales, bias = draw_weights(draw, model, (1, *kernel, depth * multiplier), axis=3, x_scale=scale)
    y_scale = output_scale(draw, scale * max(scales))
    y = model.tensor((batches, *output, depth * multiplier), scale=y_scale, zero_point=draw(ZERO_POINTS))
    options |= {"fusedActivationFunction": draw(ACTIVATIONS), "depthMultiplier": multiplier}
    inputs = [x, weights] if bias < 0 else [x, weights, bias]  # the reference crashes on -1 here
    model.op("DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", **options)
    return [x], y


def fully_connected(draw: Draw, model: ModelBuilder, levels: Values = values) -> tuple[list[int], int]:
    rows, depth, channels = draw(st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 9)))
    scale = draw(SCALES)
    x = model.tensor((rows, depth), scale=scale, zero_point=draw(ZERO_POINTS))
    weights, scales, bias = draw_weights(draw, model, (channels, depth), 0, scale, levels)
    y_scale = output_scale(draw, scale * max(scales))
    y = model.tensor((rows, channels), scale=y_scale, zero_point=draw(ZERO_POINTS))
    activation = draw(ACTIVATIONS)
    inputs = [x, weights, bias]
    model.op("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions", fusedActivationFunction=activation)
    return [x], y


def pool(name: str, draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    kernel, image, options, output = draw_window(draw, dilated=False)
    batches, depth = draw(st.tuples(st.integers(1, 2), st.integers(1, 9)))
    quantization = {"scale": draw(SCALES), "zero_point": draw(ZERO_POINTS)}
    x = model.tensor((batches, *image, depth), **quantization)
    y = model.tensor((batches, *output, depth), **quantization)
    options |= {"filterHeight": kernel[0], "filterWidth": kernel[1], "fusedActivationFunction": draw(ACTIVATIONS)}
    model.op(name, [x], [y], "Pool2DOptions", **options)
    return [x], y


def mean(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 12), st.integers(1, 7), st.integers(1, 9)))
    axes = draw(st.sampled_from([[1, 2], [2, 1], [1], [2], [3], [-1], [2, 3], [1, 2, 3]]))
    keep = draw(st.booleans())
    reduced = {axis % 4 for axis in axes}
    y_shape = [1 if i in reduced else size for i, size in enumerate(shape) if keep or i not in reduced]
    scale, zero_point = draw(SCALES), draw(ZERO_POINTS)
    x = model.tensor(shape, scale=scale, zero_point=zero_point)
    if draw(st.booleans()):
        scale, zero_point = float(np.float32(scale * draw(st.floats(0.1, 4)))), draw(ZERO_POINTS)
    y = model.tensor(y_shape, scale=scale, zero_point=zero_point)
    axis = model.tensor((len(axes),), data=np.array(axes), dtype="int32")
    model.op("MEAN", [x, axis], [y], "ReducerOptions", keepDims=keep)
    return [x], y


def arithmetic(name: str, draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    shape = draw(st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9)))
    other = draw(st.sampled_from([shape, (1, 1, 1, shape[3])]))
    scales = draw(SCALES), draw(SCALES)
    x = model.tensor(shape, scale=scales[0], zero_point=draw(ZERO_POINTS))
    constant = draw(st.booleans())
    data = values(draw, other) if constant else None
    second = model.tensor(other, scale=scales[1], zero_point=draw(ZERO_POINTS), data=data)
    unit = max(scales) if name == "ADD" else scales[0] * scales[1]
    y_scale = float(np.float32(unit * 2.0 ** draw(st.floats(-3, 9))))
    y = model.tensor(shape, scale=y_scale, zero_point=draw(ZERO_POINTS))
    operands = [x, second] if draw(st.booleans()) else [second, x]
    model.op(name, operands, [y], f"{name.title()}Options", fusedActivationFunction=draw(ACTIVATIONS))
    return ([x] if constant else [x, second]), y


def unary(name: str, draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    shape = draw(st.tuples(st.integers(1, 4), st.integers(16, 80)))
    scale = draw(SCALES)
    x = model.tensor(shape, scale=scale, zero_point=draw(ZERO_POINTS))
    if name in ("LOGISTIC", "TANH"):
        y_scale, y_zero_point = (1 / 256, -128) if name == "LOGISTIC" else (1 / 128, 0)
        y = model.tensor(shape, scale=y_scale, zero_point=y_zero_point)
    else:
        y_scale = float(np.float32(scale * 2.0 ** draw(st.floats(-3, 3))))
        y = model.tensor(shape, scale=y_scale, zero_point=draw(ZERO_POINTS))
    model.op(name, [x], [y])
    return [x], y


def softmax(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 40)))
    x = model.tensor(shape, scale=draw(SCALES), zero_point=draw(ZERO_POINTS))
    y = model.tensor(shape, scale=1 / 256, zero_point=-128)
    model.op("SOFTMAX", [x], [y], "SoftmaxOptions", beta=draw(st.sampled_from([1.0, 0.5, 3.0])))
    return [x], y


def pad(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    amounts = [draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in shape]
    quantization = {"scale": draw(SCALES), "zero_point": draw(ZERO_POINTS)}
    x = model.tensor(shape, **quantization)
    y = model.tensor([n + sum(amount) for n, amount in zip(shape, amounts, strict=True)], **quantization)
    paddings = model.tensor((rank, 2), data=np.array(amounts), dtype="int32")
    if draw(st.booleans()):
        value = model.tensor((1,), data=values(draw, (1,)), **quantization)
        model.op("PADV2", [x, paddings, value], [y], "PadV2Options")
    else:
        model.op("PAD", [x, paddings], [y], "PadOptions")
    return [x], y


def concatenation(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 5)))
    axis = draw(st.sampled_from([0, 1, 2, -1]))
    quantization = {"scale": draw(SCALES), "zero_point": draw(ZERO_POINTS)}
    sizes = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(1, 3)))]

    def shape_with(size: int) -> list[int]:
        return [size if i == axis % 3 else n for i, n in enumerate(shape)]

    parts = [model.tensor(shape_with(size), **quantization) for size in sizes]
    y = model.tensor(shape_with(sum(sizes)), **quantization)
    model.op("CONCATENATION", parts, [y], "ConcatenationOptions", axis=axis)
    return parts, y


def strided_slice(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 6)) for _ in range(rank))
    begins, ends, strides, sizes = [], [], [], []
    masks = {"begin": 0, "end": 0, "shrinkAxis": 0}
    for axis, size in enumerate(shape):
        begin, stride = draw(st.integers(-size, size - 1)), draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        open_begin, open_end, shrink = draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 4)) == 0
        stop = draw(st.integers(-size - 2, size + 2))
        taken = range(size)[None if open_begin else begin : None if open_end else stop : stride]
        if not taken:
            open_begin, open_end, taken = True, True, range(size)[::stride]
        if shrink:
            stride = 1
        else:
            sizes.append(len(taken))
        masks["begin"] |= (open_begin and not shrink) << axis
        masks["end"] |= open_end << axis
        masks["shrinkAxis"] |= shrink << axis
        begins.append(begin)
        ends.append(stop)
        strides.append(stride)
    quantization = {"scale": draw(SCALES), "zero_point": draw(ZERO_POINTS)}
    x = model.tensor(shape, **quantization)
    y = model.tensor(sizes, **quantization)
    bounds = [model.tensor((rank,), data=np.array(v), dtype="int32") for v in (begins, ends, strides)]
    options = {f"{name}Mask": mask for name, mask in masks.items()}
    model.op("STRIDED_SLICE", [x, *bounds], [y], "StridedSliceOptions", **options)
    return [x], y


def reshape(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    """A chain of two, so that it is neither input nor output alone that is shared."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)))
    quantization = {"scale": draw(SCALES), "zero_point": draw(ZERO_POINTS)}
    x = model.tensor(shape, **quantization)
    current, current_shape = x, shape
    for new_shape in ((math.prod(shape),), (shape[2], shape[0], shape[1])):
        target = model.tensor((len(new_shape),), data=np.array(new_shape), dtype="int32")
        y = model.tensor(new_shape, **quantization)
        model.op("RESHAPE", [current, target], [y], "ReshapeOptions", newShape=list(new_shape))
        current, current_shape = y, new_shape
    assert math.prod(current_shape) == math.prod(shape)
    return [x], current


CASES: dict[str, Case] = {
    "conv_2d": convolution,
    "depthwise_conv_2d": depthwise,
    "fully_connected": fully_connected,
    "average_pool_2d": functools.partial(pool, "AVERAGE_POOL_2D"),
    "max_pool_2d": functools.partial(pool, "MAX_POOL_2D"),
    "mean": mean,
    "add": functools.partial(arithmetic, "ADD"),
    "mul": functools.partial(arithmetic, "MUL"),
    "quantize": functools.partial(unary, "QUANTIZE"),
    "relu": functools.partial(unary, "RELU"),
    "relu6": functools.partial(unary, "RELU6"),
    "logistic": functools.partial(unary, "LOGISTIC"),
    "softmax": softmax,
    "pad": pad,
    "concatenation": concatenation,
    "reshape": reshape,
    "strided_slice": strided_slice,
    "tanh": functools.partial(unary, "TANH"),
}
OPS_AN_EXAMPLE = 6
INPUTS_AN_EXAMPLE = 8


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


def draw_model(
    name: str, data: st.DataObject, inputs_an_example: int = INPUTS_AN_EXAMPLE
) -> tuple[ModelBuilder, list[int], list[int], list[list[NDArray[np.int8]]]]:
    """(a model of several independent operators, its inputs, its outputs, values for the inputs)."""
    model = ModelBuilder()
    cases = [CASES[name](data.draw, model) for _ in range(data.draw(st.integers(1, OPS_AN_EXAMPLE)))]
    inputs = [x for xs, _ in cases for x in xs]
    shapes = [model.shape(x) for x in inputs]
    batches = [[values(data.draw, shape) for shape in shapes] for _ in range(inputs_an_example)]
    return model, inputs, [y for _, y in cases], batches


def check(name: str, data: st.DataObject, folder: Path, compiler: str) -> None:
    model, inputs, outputs, batches = draw_model(name, data)
    assert_equal_to_micro(model.build(inputs, outputs), folder, compiler, batches)


@pytest.mark.parametrize("channels", [5, 7, 8])
def test_a_batch_of_images_is_convolved_in_place(channels: int, compiled: Path, tool: Callable[[str], str]) -> None:
    """With fewer channels than the input's, the second image's outputs begin before its input."""
    random = np.random.default_rng(channels)
    model = ModelBuilder()
    x = model.tensor((2, 6, 24, 8), scale=0.05, zero_point=3)
    weights = model.tensor(
        (channels, 3, 3, 8),
        scale=[0.01] * channels,
        data=random.integers(-127, 128, (channels, 3, 3, 8)).astype(np.int8),
    )
    y = model.tensor((2, 6, 24, channels), scale=0.1, zero_point=-5)
    options = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    model.op("CONV_2D", [x, weights, -1], [y], "Conv2DOptions", fusedActivationFunction=0, **options)
    data = model.build([x], [y])
    firmware = generate(ConvertedModel("tflite", data))
    assert firmware.inputs[0].offset == firmware.outputs[0].offset, "it is in place"
    inputs = [[random.integers(-128, 128, (2, 6, 24, 8), np.int8)] for _ in range(4)]
    assert_equal_to_micro(data, compiled, tool("gcc"), inputs)


@pytest.mark.parametrize("value", [-128, 127, 5])
def test_a_mean_of_many_elements_on_a_fast_core(value: int) -> None:
    """More than 16 bits hold the sum of, and channels left over beside those that are summed four at a time."""
    model = ModelBuilder()
    x = model.tensor((1, 30, 20, 7), scale=1.0, zero_point=-3)
    axes = model.tensor((2,), data=np.array([1, 2]), dtype="int32")
    y = model.tensor((1, 7), scale=1.0, zero_point=-3)
    model.op("MEAN", [x, axes], [y], "ReducerOptions", keepDims=False)
    data = model.build([x], [y])
    image = np.full((1, 30, 20, 7), value, np.int8)
    image[0, 17, :, ::2] = -value if value != -128 else 127
    np.testing.assert_array_equal(BoundedFirmware(data, "cortex-m4")([image])[0], MicroInterpreter(data)([image], 1)[0])


@pytest.mark.parametrize("exponent", [-20, -30, -31, -33])
def test_a_sum_of_very_different_scales_on_a_fast_core(exponent: int) -> None:
    """The smaller operand's factor to the larger's scale may round to nothing."""
    model = ModelBuilder()
    x = model.tensor((1, 2, 4, 8), scale=1.0)
    other = model.tensor((1, 2, 4, 8), scale=2.0**exponent)
    y = model.tensor((1, 2, 4, 8), scale=1.0)
    model.op("ADD", [x, other], [y], "AddOptions", fusedActivationFunction=0)
    data = model.build([x, other], [y])
    random = np.random.default_rng(0)
    inputs = [random.integers(-128, 128, (1, 2, 4, 8), np.int8) for _ in range(2)]
    expected = MicroInterpreter(data)(inputs, 1)[0]
    np.testing.assert_array_equal(BoundedFirmware(data, "cortex-m4")(inputs)[0], expected)


def limits(examples: int) -> settings:
    # Shrinking recompiles for minutes; the failing operator is found faster by reading.
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, suppress_health_check=checks, derandomize=True, phases=[Phase.explicit, Phase.generate]
    )


@pytest.mark.parametrize("name", CASES)
@limits(6)
@given(data=st.data())
def test_operator_is_bit_exact(name: str, compiled: Path, tool: Callable[[str], str], data: st.DataObject) -> None:
    check(name, data, compiled, tool("gcc"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@limits(125)
@given(data=st.data())
def test_operator_is_bit_exact_over_many(
    name: str, compiled: Path, tool: Callable[[str], str], data: st.DataObject
) -> None:
    check(name, data, compiled, tool("gcc"))


OWN_PATHS = ("conv_2d", "depthwise_conv_2d", "fully_connected", "add", "average_pool_2d")
"""Operators whose kernels have a path of their own for some cores."""
CORES = ("cortex-m0plus", "cortex-m4")
"""One with neither the DSP extension nor unaligned access, and one with both."""


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", OWN_PATHS)
@limits(12)
@given(data=st.data())
def test_machine_code_is_bit_exact_and_stays_in_its_memory(name: str, core: str, data: st.DataObject) -> None:
    check_on_core(name, core, data)


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", sorted(CASES.keys() - set(OWN_PATHS)))
@limits(3)
@given(data=st.data())
def test_machine_code_of_the_rest_stays_in_its_memory(name: str, core: str, data: st.DataObject) -> None:
    check_on_core(name, core, data)


def check_on_core(name: str, core: str, data: st.DataObject) -> None:
    model, inputs, outputs, batches = draw_model(name, data, inputs_an_example=2)
    image = model.build(inputs, outputs)
    bounded, micro = BoundedFirmware(image, core), MicroInterpreter(image)
    for batch in batches:
        for index, (ours, theirs) in enumerate(zip(bounded(batch), micro(batch, len(outputs)), strict=True)):
            np.testing.assert_array_equal(ours, theirs, err_msg=f"output {index}")
