"""Convolutions, dense layers, pooling and means → kernel calls. The input's zero point is folded into dense biases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.firmware.graph import Tensor
from rena_kws.firmware.operands import Call, Operands
from rena_kws.firmware.quantize import activation_range, quantize_multiplier

PATCHES = 2
"""KWS_CONV2D_PATCHES of kws_conv2d.h."""


@dataclass(frozen=True)
class Window:
    """A kernel or pooling window over an image: all fields by (height, width)."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]
    pad: tuple[int, int]

    def fields(self, size_name: str) -> dict[str, int]:
        """The struct members that windows have in common; `size_name` is kernel or window."""
        pairs = {size_name: self.size, "stride": self.stride, "input": self.image, "output": self.output}
        members = {
            f"{name}_{axis}": pair[i] for name, pair in pairs.items() for i, axis in enumerate(("height", "width"))
        }
        return members | {"pad_top": self.pad[0], "pad_left": self.pad[1]}

    def dilation_fields(self) -> dict[str, int]:
        return {"dilation_height": self.dilation[0], "dilation_width": self.dilation[1]}


def _window(op: Operands, size: tuple[int, int], dilation: tuple[int, int], x: Tensor, out: Tensor) -> Window:
    """The window's placement as TensorFlow defines SAME and VALID; checks the output's height and width."""
    padding = op.op.options.get("padding")
    image, result = op.nhwc(x)[1:3], op.nhwc(out)[1:3]
    stride = op.option("strideH"), op.option("strideW")
    reach = tuple((size[i] - 1) * dilation[i] + 1 for i in (0, 1))
    if padding == "SAME":
        expected = tuple(-(-image[i] // stride[i]) for i in (0, 1))
        pad = tuple(max(0, (expected[i] - 1) * stride[i] + reach[i] - image[i]) // 2 for i in (0, 1))
    elif padding == "VALID":
        expected, pad = tuple((image[i] - reach[i]) // stride[i] + 1 for i in (0, 1)), (0, 0)
    else:
        raise op.error(f"padding {padding}; supported are SAME and VALID")
    if expected != result:
        raise op.error(f"tensor {out.label} is {result} pixels; {expected} were expected")
    return Window(size, stride, dilation, image, result, (pad[0], pad[1]))


def _dilation(op: Operands) -> tuple[int, int]:
    return op.option("dilationHFactor"), op.option("dilationWFactor")


def _weights(op: Operands, channel_axis: int) -> Tensor:
    weights = op.constant(1, "int8")
    if not weights.scales or any(weights.zero_points):
        raise op.error(f"weights {weights.label} need scales and zero points of 0")
    if len(weights.scales) > 1 and weights.quantized_dimension != channel_axis:
        axis = weights.quantized_dimension
        raise op.error(f"weights {weights.label} are quantised along dimension {axis}; supported is {channel_axis}")
    return weights


def _bias(op: Operands, channels: int) -> NDArray[np.int64]:
    if not op.has_input(2):
        return np.zeros(channels, np.int64)
    bias = op.constant(2, "int32")
    op.expect_elements(bias, channels)
    return np.asarray(bias.data, np.int64).reshape(channels)


def _output_fields(op: Operands, out: Tensor) -> dict[str, int]:
    low, high = activation_range(op.activation(), out.scale, out.zero_point)
    return {"output_zero_point": out.zero_point, "output_min": low, "output_max": high}


def _multiplier_fields(op: Operands, factors: list[float]) -> dict[str, NDArray[Any]]:
    pairs = [quantize_multiplier(factor) for factor in factors]
    if any(shift > 30 for _, shift in pairs):
        raise op.error("its scales differ by more than a factor of 2^30")
    return {
        "multiplier": np.array([multiplier for multiplier, _ in pairs], np.int32),
        "shift": np.array([shift for _, shift in pairs], np.int8),
    }


def _dense_fields(op: Operands, x: Tensor, weights: Tensor, out: Tensor, factors: list[float]) -> dict[str, Any]:
    """The members of kws_dense_params, for weights whose first axis is the output channel."""
    channels = weights.shape[0]
    rows = np.asarray(weights.data).reshape(channels, -1)
    # Wrapped to 32 bits as the reference's accumulator would be.
    bias = (_bias(op, channels) - x.zero_point * rows.astype(np.int64).sum(axis=1)).astype(np.int32)
    return {
        "weights": rows,
        "bias": bias,
        **_multiplier_fields(op, factors),
        "multiplier_step": int(len(factors) > 1),
        "depth": rows.shape[1],
        "channels": channels,
        **_output_fields(op, out),
    }


def _channel_factors(x: Tensor, weights: Tensor, out: Tensor) -> list[float]:
    """Accumulator to output units, as the reference computes it for convolutions: in double precision."""
    return [x.scale * scale / out.scale for scale in weights.scales]


def conv_2d(op: Operands) -> tuple[Call, ...]:
    x, weights, out = op.input(0), _weights(op, 0), op.output()
    batches, _, _, input_channels = op.nhwc(x)
    channels, kernel_height, kernel_width, depth = op.nhwc(weights)
    if depth != input_channels:
        raise op.error(
            f"weights {weights.label} have {depth} input channels, the input {input_channels}; groups unsupported"
        )
    window = _window(op, (kernel_height, kernel_width), _dilation(op), x, out)
    op.expect_shape(out, batches, *window.output, channels)
    dense = _dense_fields(op, x, weights, out, _channel_factors(x, weights, out))
    operands = (x.index, out.index)
    if window.pad == (0, 0) and _fields_are_rows(window):
        return (Call("dense", "dense", "dense", dense, operands, (batches * math.prod(window.output),)),)
    fields = {
        "dense": dense,
        "batches": batches,
        "input_channels": input_channels,
        "input_zero_point": x.zero_point,
        **window.fields("kernel"),
        **window.dilation_fields(),
    }
    return (Call("conv2d", "conv2d", "conv2d", fields, operands, scratch_bytes=PATCHES * dense["depth"]),)


def _fields_are_rows(window: Window) -> bool:
    """Whether receptive fields lie one after the other in memory: single pixels, or the whole image."""
    single = window.size == (1, 1) and window.stride == (1, 1)
    whole = window.size == window.image and window.dilation == (1, 1) and window.output == (1, 1)
    return single or whole


def depthwise_conv_2d(op: Operands) -> tuple[Call, ...]:
    x, weights, out = op.input(0), _weights(op, 3), op.output()
    batches, _, _, input_channels = op.nhwc(x)
    one, kernel_height, kernel_width, channels = op.nhwc(weights)
    if one != 1 or channels % input_channels:
        raise op.error(f"weights {weights.label} of shape {weights.shape} do not fit {input_channels} input channels")
    window = _window(op, (kernel_height, kernel_width), _dilation(op), x, out)
    op.expect_shape(out, batches, *window.output, channels)
    factors = _channel_factors(x, weights, out)
    fields = {
        "weights": np.asarray(weights.data),
        "bias": _bias(op, channels).astype(np.int32),
        **_multiplier_fields(op, factors if len(factors) > 1 else factors * channels),
        "batches": batches,
        "input_channels": input_channels,
        "input_zero_point": x.zero_point,
        "channel_multiplier": channels // input_channels,
        **window.fields("kernel"),
        **window.dilation_fields(),
        **_output_fields(op, out),
    }
    return (Call("depthwise", "depthwise", "depthwise", fields, (x.index, out.index)),)


def fully_connected(op: Operands) -> tuple[Call, ...]:
    x, weights, out = op.input(0), _weights(op, 0), op.output()
    if op.op.options.get("weightsFormat", 0):
        raise op.error("shuffled weights; supported is the default format")
    if len(weights.shape) != 2 or x.elements % weights.shape[1]:
        raise op.error(f"weights {weights.label} of shape {weights.shape} do not fit the input of shape {x.shape}")
    rows = x.elements // weights.shape[1]
    op.expect_elements(out, rows * weights.shape[0])
    fields = _dense_fields(op, x, weights, out, _channel_factors(x, weights, out))
    return (Call("dense", "dense", "dense", fields, (x.index, out.index), (rows,)),)


def _pool(op: Operands, function: str) -> tuple[Call, ...]:
    x, out = op.input(0), op.output()
    batches, _, _, channels = op.nhwc(x)
    window = _window(op, (op.option("filterHeight"), op.option("filterWidth")), (1, 1), x, out)
    op.expect_shape(out, batches, *window.output, channels)
    low, high = activation_range(op.activation(), out.scale, out.zero_point)
    fields = {
        "batches": batches,
        "channels": channels,
        **window.fields("window"),
        "output_min": low,
        "output_max": high,
    }
    return (Call("pool", function, "pool", fields, (x.index, out.index)),)


def average_pool_2d(op: Operands) -> tuple[Call, ...]:
    return _pool(op, "average_pool")


def max_pool_2d(op: Operands) -> tuple[Call, ...]:
    return _pool(op, "max_pool")


def mean(op: Operands) -> tuple[Call, ...]:
    x, out = op.input(0), op.output()
    rank = len(x.shape)
    axes = sorted({int(axis) + rank * (axis < 0) for axis in np.ravel(op.constant(1, "int32").data)})  # type: ignore[arg-type]
    if not axes or axes[0] < 0 or axes[-1] >= rank or axes != list(range(axes[0], axes[-1] + 1)):
        raise op.error(f"axes {axes} of {rank} dimensions; supported are neighbouring axes")
    outer, inner = math.prod(x.shape[: axes[0]]), math.prod(x.shape[axes[-1] + 1 :])
    reduced = x.elements // (outer * inner)
    op.expect_elements(out, outer * inner)
    multiplier, shift = mean_multiplier(x.scale / out.scale, reduced)
    fields = {
        "outer": outer,
        "reduced": reduced,
        "inner": inner,
        "input_zero_point": x.zero_point,
        "multiplier": multiplier,
        "shift": shift,
        "output_zero_point": out.zero_point,
    }
    return (Call("mean", "mean", "mean", fields, (x.index, out.index)),)


def mean_multiplier(real: float, count: int) -> tuple[int, int]:
    """real / count as the reference folds it: the quantised `real` divided by `count` with as many bits as are free."""
    multiplier, shift = quantize_multiplier(real)
    spare = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << spare) // count, shift - spare


LOWERINGS: Mapping[str, Callable[[Operands], tuple[Call, ...]]] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": average_pool_2d,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": mean,
}
