"""Convolutions, dense layers, pooling and means → kernel calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from rena_kws.firmware.operands import Call, Operands
from rena_kws.firmware.quantize import activation_range, quantize_multiplier
from rena_kws.firmware.weights import (
    DENSE_ROWS,
    Dense,
    bias_of,
    channel_factors,
    channel_pairs,
    dense_of,
    dense_scratch_bytes,
    kernel_for,
    requantization_of,
    weights_of,
)
from rena_kws.firmware.window import Window, dilation_of, window_over

DEPTHWISE_PLANES = 4
"""KWS_DEPTHWISE_PLANES of kws_depthwise.h."""


PADDED_IMAGE_BYTES = 1024
"""An image up to this size is copied with its padding around it: its fields need not look for borders."""


def conv_2d(op: Operands) -> tuple[Call, ...]:
    x, weights, out = op.input(0), weights_of(op, 0), op.output()
    batches, _, _, input_channels = op.nhwc(x)
    channels, kernel_height, kernel_width, depth = op.nhwc(weights)
    if depth != input_channels:
        raise op.error(
            f"weights {weights.label} have {depth} input channels, the input {input_channels}; groups unsupported"
        )
    window = window_over(op, (kernel_height, kernel_width), dilation_of(op), x, out)
    op.expect_shape(out, batches, *window.output, channels)
    operands = (x.index, out.index)
    rows = batches * math.prod(window.output)
    in_rows = window.pad == (0, 0) and _fields_are_rows(window)
    factors = channel_factors(x, weights, out)
    dense = dense_of(op, x, weights, out, factors, blocks=not in_rows or rows >= DENSE_ROWS)
    if in_rows:
        return (_dense_call(dense, operands, rows),)
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
        "window": window.fields(),
        "padded_height": padded_height,
        "padded_width": padded_width,
        "ring_blocks": ring_blocks,
    }
    fields_bytes = -(-DENSE_ROWS * depth_bytes // 4) * 4
    ring_bytes = ring_blocks * DENSE_ROWS * channels
    scratch_bytes = fields_bytes + dense_scratch_bytes(dense, DENSE_ROWS)
    scratch_bytes += ring_bytes + padded_bytes
    in_place = operands[:1] if ring_blocks else ()
    family, function = dense.sized("conv2d"), dense.sized(kernel_for("conv2d", dense.fields["output"]))
    relied_on = (dense.folded_shift, dense.weights)
    return (Call(family, function, "conv2d", fields, operands, (), scratch_bytes, in_place, *relied_on),)


def _dense_call(dense: Dense, operands: tuple[int, ...], rows: int) -> Call:
    fields = dense.fields
    function = dense.sized(kernel_for("dense" if rows >= DENSE_ROWS else "dense_few", fields["output"]))
    scratch_bytes = dense_scratch_bytes(dense, rows)
    # Rows are copied to the scratch memory before their outputs are written, which are no longer than they.
    in_place = operands[:1] if rows >= DENSE_ROWS and fields["channels"] <= fields["depth"] else ()
    relied_on = (dense.folded_shift, dense.weights)
    return Call(dense.sized("dense"), function, "dense", fields, operands, (rows,), scratch_bytes, in_place, *relied_on)


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
    x, weights, out = op.input(0), weights_of(op, 3), op.output()
    batches, _, _, input_channels = op.nhwc(x)
    one, kernel_height, kernel_width, channels = op.nhwc(weights)
    if one != 1 or channels % input_channels:
        raise op.error(f"weights {weights.label} of shape {weights.shape} do not fit {input_channels} input channels")
    window = window_over(op, (kernel_height, kernel_width), dilation_of(op), x, out)
    op.expect_shape(out, batches, *window.output, channels)
    factors = channel_factors(x, weights, out)
    rows = np.asarray(weights.data).reshape(-1, channels).T
    result = requantization_of(op, x, out, bias_of(op, channels), rows, factors)
    lines, width = _planes(window)
    fields = {
        "weights": np.ascontiguousarray(rows),
        "records": channel_pairs(result.records),
        "batches": batches,
        "input_channels": input_channels,
        "input_zero_point": x.zero_point,
        "channel_multiplier": channels // input_channels,
        "window": window.fields(),
        "plane_lines": lines,
        "plane_width": width,
        "output": result.fields,
    }
    words = DEPTHWISE_PLANES * lines * width + 2 * ((kernel_height + 2) // 2) * kernel_width
    fast = window.dilation == (1, 1) and window.stride[0] <= 2
    function = kernel_for("depthwise", result.fields, fast)
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
    x, weights, out = op.input(0), weights_of(op, 0), op.output()
    if op.op.options.get("weightsFormat", 0):
        raise op.error("shuffled weights; supported is the default format")
    if len(weights.shape) != 2 or x.elements % weights.shape[1]:
        raise op.error(f"weights {weights.label} of shape {weights.shape} do not fit the input of shape {x.shape}")
    rows = x.elements // weights.shape[1]
    op.expect_elements(out, rows * weights.shape[0])
    dense = dense_of(op, x, weights, out, channel_factors(x, weights, out), blocks=rows >= DENSE_ROWS)
    return (_dense_call(dense, (x.index, out.index), rows),)


def _pool(op: Operands, function: str) -> tuple[Call, ...]:
    x, out = op.input(0), op.output()
    batches, _, _, channels = op.nhwc(x)
    window = window_over(op, (op.option("filterHeight"), op.option("filterWidth")), (1, 1), x, out)
    op.expect_shape(out, batches, *window.output, channels)
    low, high = activation_range(op.activation(), out.scale, out.zero_point)
    fields = {
        "batches": batches,
        "channels": channels,
        "window": window.fields(),
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
    if x.scale / out.scale >= 1 << 30:
        raise op.error("its scales differ by more than a factor of 2^30")
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
