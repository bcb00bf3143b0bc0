"""Convolutions, dense layers, pooling and means → kernel calls. The input's zero point is folded into dense biases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.firmware.graph import Tensor
from rena_kws.firmware.operands import Call, Operands, Records
from rena_kws.firmware.quantize import activation_range, quantize_multiplier
from rena_kws.firmware.requantize import CLAMPED, OutputRange, Requantization, requantization

DENSE_ROWS = 4
"""KWS_DENSE_ROWS of kws_dense.h."""

DEPTHWISE_PLANES = 4
"""KWS_DEPTHWISE_PLANES of kws_depthwise.h."""


PADDED_IMAGE_BYTES = 1024
"""An image up to this size is copied with its padding around it: its fields need not look for borders."""


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


def _requantization(
    op: Operands, x: Tensor, out: Tensor, bias: NDArray[np.int64], rows: NDArray[np.int8], factors: list[float]
) -> Requantization:
    """`rows`: [channels, depth], the weights of each channel."""
    if any(quantize_multiplier(factor)[1] > 30 for factor in factors):
        raise op.error("its scales differ by more than a factor of 2^30")
    low, high = activation_range(op.activation(), out.scale, out.zero_point)
    with_offset = bias - x.zero_point * rows.astype(np.int64).sum(axis=1)
    per_channel = factors if len(factors) > 1 else factors * len(rows)
    return requantization(with_offset, rows, per_channel, OutputRange(out.zero_point, low, high), op.folded_shift)


@dataclass(frozen=True)
class _Dense:
    """The members of kws_dense_params, and what the requantisation in them relies on."""

    fields: dict[str, Any]
    folded_shift: int | None


def _dense(op: Operands, x: Tensor, weights: Tensor, out: Tensor, factors: list[float]) -> _Dense:
    """For weights whose first axis is the output channel."""
    channels = weights.shape[0]
    rows = np.asarray(weights.data).reshape(channels, -1)
    result = _requantization(op, x, out, _bias(op, channels), rows, factors)
    fields = {
        "weights": paired_rows(rows),
        "records": channel_pairs(result.records),
        "depth": rows.shape[1],
        "channels": channels,
        "output": result.fields,
    }
    return _Dense(fields, result.folded_shift)


def _kernel(function: str, output: Mapping[str, int], fast: bool = True) -> str:
    """The function that may run the layer: the fast path has its conditions, the portable one beside it none."""
    return function if fast and output["kind"] != CLAMPED else f"{function.removesuffix('_few')}_portable"


def channel_pairs(records: NDArray[np.int32]) -> Records:
    """kws_channels of all channels: [channels, 3] to [pairs, 3, 2], a last one filled up with zeros."""
    padded = np.pad(records, ((0, len(records) % 2), (0, 0)))
    return Records(padded.reshape(-1, 2, 3).transpose(0, 2, 1), "channels")


def paired_rows(rows: NDArray[np.int8]) -> NDArray[np.int8]:
    """Weights [channels, depth] in the order of kws_dense.h, filled up with zeros."""
    channels, depth = rows.shape
    padded = np.pad(rows, ((0, channels % 2), (0, -depth % 4)))
    groups = padded.reshape(-1, 2, padded.shape[1] // 4, 2, 2)  # pair, channel, group, element / 2, element % 2
    return np.ascontiguousarray(groups.transpose(0, 2, 4, 3, 1)).reshape(-1)


def _dense_scratch_bytes(rows: int, depth: int) -> int:
    """What kws_dense.h asks for."""
    padded = -(-depth // 4) * 4
    if rows >= DENSE_ROWS:
        return DENSE_ROWS * 2 * padded
    return padded if depth % 4 else 0


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
    dense = _dense(op, x, weights, out, _channel_factors(x, weights, out))
    operands = (x.index, out.index)
    if window.pad == (0, 0) and _fields_are_rows(window):
        return (_dense_call(dense, operands, batches * math.prod(window.output)),)
    depth_bytes = dense.fields["depth"]
    padded_height, padded_width = _padded_image(window)
    padded_bytes = padded_height * padded_width * input_channels
    if window.pad == (0, 0) or padded_bytes > PADDED_IMAGE_BYTES:
        padded_height = padded_width = padded_bytes = 0
    ring_blocks = _ring_blocks(window, input_channels, channels)
    fields = {
        "dense": dense.fields,
        "batches": batches,
        "input_channels": input_channels,
        "input_zero_point": x.zero_point,
        **window.fields("kernel"),
        **window.dilation_fields(),
        "padded_height": padded_height,
        "padded_width": padded_width,
        "ring_blocks": ring_blocks,
    }
    fields_bytes = -(-DENSE_ROWS * depth_bytes // 4) * 4
    ring_bytes = ring_blocks * DENSE_ROWS * channels
    scratch_bytes = fields_bytes + _dense_scratch_bytes(DENSE_ROWS, depth_bytes) + ring_bytes + padded_bytes
    in_place = operands[:1] if ring_blocks else ()
    function = _kernel("conv2d", dense.fields["output"])
    return (Call("conv2d", function, "conv2d", fields, operands, (), scratch_bytes, in_place, dense.folded_shift),)


def _dense_call(dense: _Dense, operands: tuple[int, ...], rows: int) -> Call:
    fields = dense.fields
    function = _kernel("dense" if rows >= DENSE_ROWS else "dense_few", fields["output"])
    scratch_bytes = _dense_scratch_bytes(rows, fields["depth"])
    # Rows are copied to the scratch memory before their outputs are written, which are no longer than they.
    in_place = operands[:1] if rows >= DENSE_ROWS and fields["channels"] <= fields["depth"] else ()
    return Call("dense", function, "dense", fields, operands, (rows,), scratch_bytes, in_place, dense.folded_shift)


def _ring_blocks(window: Window, input_channels: int, channels: int) -> int:
    """Blocks of outputs that have to wait before they may overwrite the input, 0 where they never may.

    Output pixel p takes the place of input pixel p or of one before it, which output p + pad_top · width + pad_left is
    the last to read.
    """
    if window.stride != (1, 1) or window.output != window.image or channels > input_channels:
        return 0
    last_reader = DENSE_ROWS - 1 + window.pad[0] * window.output[1] + window.pad[1]
    return -(-last_reader // DENSE_ROWS) + 1


def _padded_image(window: Window) -> tuple[int, int]:
    """Height and width of the image with all that its windows reach around it."""
    reach = [(window.output[i] - 1) * window.stride[i] + (window.size[i] - 1) * window.dilation[i] + 1 for i in (0, 1)]
    height, width = (max(reach[i], window.pad[i] + window.image[i]) for i in (0, 1))
    return height, width


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
    rows = np.asarray(weights.data).reshape(-1, channels).T
    result = _requantization(op, x, out, _bias(op, channels), rows, factors)
    lines, width = _planes(window)
    fields = {
        "weights": np.ascontiguousarray(rows),
        "records": channel_pairs(result.records),
        "batches": batches,
        "input_channels": input_channels,
        "input_zero_point": x.zero_point,
        "channel_multiplier": channels // input_channels,
        **window.fields("kernel"),
        **window.dilation_fields(),
        "plane_lines": lines,
        "plane_width": width,
        "output": result.fields,
    }
    words = DEPTHWISE_PLANES * lines * width + 2 * ((kernel_height + 2) // 2) * kernel_width
    fast = window.dilation == (1, 1) and window.stride[0] <= 2
    function = _kernel("depthwise", result.fields, fast)
    in_place = (x.index,) if channels == input_channels and out.elements <= x.elements else ()
    operands = (x.index, out.index)
    return (Call("depthwise", function, "depthwise", fields, operands, (), 4 * words, in_place, result.folded_shift),)


def _planes(window: Window) -> tuple[int, int]:
    """Lines (pairs of rows) and pixels across that hold the image, its padding and all windows, in pairs of outputs."""
    pairs = tuple(-(-size // 2) for size in window.output)
    lines = [
        -(-(window.pad[0] + window.image[0]) // 2),
        -(-((window.output[0] - 1) * window.stride[0] + (window.size[0] - 1) * window.dilation[0] + 1) // 2),
        pairs[0] - 1 + (window.size[0] + 2) // 2 if window.stride[0] == 1 else 0,
    ]
    across = (2 * pairs[1] - 1) * window.stride[1] + (window.size[1] - 1) * window.dilation[1] + 1
    return max(lines), max(window.pad[1] + window.image[1], across)


def fully_connected(op: Operands) -> tuple[Call, ...]:
    x, weights, out = op.input(0), _weights(op, 0), op.output()
    if op.op.options.get("weightsFormat", 0):
        raise op.error("shuffled weights; supported is the default format")
    if len(weights.shape) != 2 or x.elements % weights.shape[1]:
        raise op.error(f"weights {weights.label} of shape {weights.shape} do not fit the input of shape {x.shape}")
    rows = x.elements // weights.shape[1]
    op.expect_elements(out, rows * weights.shape[0])
    dense = _dense(op, x, weights, out, _channel_factors(x, weights, out))
    return (_dense_call(dense, (x.index, out.index), rows),)


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
