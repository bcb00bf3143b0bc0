"""Convolutions, dense layers, pooling and means → kernel calls."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rena_kws.firmware.operands import ByRows, Call, Operands
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
        by_rows = ByRows(window, partial(_dense_by_rows, dense, operands))
        can_go_by_rows = batches == 1 and window.reach == (1, 1)
        return (replace(_dense_call(dense, operands, rows), by_rows=by_rows if can_go_by_rows else None),)
    fields = {
        "dense": dense.fields,
        "batches": batches,
        "input_channels": input_channels,
        "input_zero_point": x.zero_point,
        "window": window.fields(),
    }
    call = _conv_call(dense, operands, fields, [window], _ring_blocks(window, input_channels, channels))
    by_rows = ByRows(window, lambda bands: _conv_call(dense, operands, fields, bands))
    return (replace(call, by_rows=by_rows if batches == 1 else None),)


def _conv_call(
    dense: Dense,
    operands: tuple[int, ...],
    fields: Mapping[str, Any],
    windows: Sequence[Window],
    ring_blocks: int | None = None,
) -> Call:
    """For any one of `windows`. `ring_blocks`: what `_ring_blocks` says."""
    members = {"window": "*band"}
    images = [_padded_image(window) for window in windows]
    padded_height, padded_width = max(height for height, _ in images), images[0][1]
    padded_bytes = padded_height * padded_width * fields["input_channels"]
    if all(window.pad == (0, 0) for window in windows) or padded_bytes > PADDED_IMAGE_BYTES:
        padded_height = padded_width = padded_bytes = 0
    else:
        members["padded_height"] = f"(band->output_height - 1) * {windows[0].stride[0]} + {windows[0].reach[0]}"
        ring_blocks = ring_blocks and 0  # all of the image is copied before the first output
    padded = {"padded_height": padded_height, "padded_width": padded_width, "ring_blocks": ring_blocks or 0}
    fields_bytes = -(-DENSE_ROWS * dense.fields["depth"] // 4) * 4
    ring_bytes = (ring_blocks or 0) * DENSE_ROWS * dense.fields["channels"]
    return Call(
        family=dense.sized("conv2d"),
        function=dense.sized(kernel_for("conv2d", dense.fields["output"])),
        struct="conv2d",
        fields={**fields, **padded},
        operands=operands,
        scratch_bytes=fields_bytes + dense_scratch_bytes(dense, DENSE_ROWS) + ring_bytes + padded_bytes,
        in_place=() if ring_blocks is None else operands[:1],
        folded_shift=dense.folded_shift,
        weights=dense.weights,
        members=members,
    )


def _dense_call(dense: Dense, operands: tuple[int, ...], rows: int) -> Call:
    fields = dense.fields
    # Rows are copied to the scratch memory before their outputs are written, which are no longer than they.
    in_place = operands[:1] if rows >= DENSE_ROWS and fields["channels"] <= fields["depth"] else ()
    return Call(
        family=dense.sized("dense"),
        function=dense.sized(kernel_for("dense" if rows >= DENSE_ROWS else "dense_few", fields["output"])),
        struct="dense",
        fields=fields,
        operands=operands,
        arguments=(rows,),
        scratch_bytes=dense_scratch_bytes(dense, rows),
        in_place=in_place,
        folded_shift=dense.folded_shift,
        weights=dense.weights,
    )


def _dense_by_rows(dense: Dense, operands: tuple[int, ...], bands: Sequence[Window]) -> Call:
    call = _dense_call(dense, operands, max(math.prod(band.output) for band in bands))
    return replace(call, arguments=("band->output_height * band->output_width",))


def _ring_blocks(window: Window, input_channels: int, channels: int) -> int | None:
    """Blocks of outputs that have to wait before they may overwrite the input, None where they never may.

    A block takes its place when the fields of the last one in the ring, or without a ring its own, have been read.
    """
    if math.prod(window.output) * channels > math.prod(window.image) * input_channels:
        return None
    height, width = window.output
    starts = [
        (window.first_read(y) * window.image[1] + max(0, x * window.stride[1] - window.pad[1])) * input_channels
        for y in range(height)
        for x in range(width)
    ]
    # The first byte that the fields from one on read: within a row they may begin before those of the next.
    needed = list(itertools.accumulate(reversed(starts), min))[::-1]
    blocks = -(-len(starts) // DENSE_ROWS)
    waiting = 0
    for block in range(blocks):
        end = (block + 1) * DENSE_ROWS * channels
        while (block + waiting + 1) * DENSE_ROWS < len(starts) and needed[(block + waiting + 1) * DENSE_ROWS] < end:
            waiting += 1
    return waiting


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
    fields = {
        "weights": np.ascontiguousarray(rows),
        "records": channel_pairs(result.records),
        "batches": batches,
        "input_channels": input_channels,
        "input_zero_point": x.zero_point,
        "channel_multiplier": channels // input_channels,
        "window": window.fields(),
        "output": result.fields,
    }
    fast = window.dilation == (1, 1) and window.stride[0] <= 2
    function = kernel_for("depthwise", result.fields, fast)
    in_place = (x.index,) if channels == input_channels and out.elements <= x.elements else ()
    operands = (x.index, out.index)

    def call(windows: Sequence[Window]) -> Call:
        lines = max(_planes(each)[0] for each in windows)
        width = _planes(window)[1]
        planes = {"plane_lines": lines, "plane_width": width}
        words = DEPTHWISE_PLANES * lines * width + 2 * ((kernel_height + 2) // 2) * kernel_width
        return Call(
            family="depthwise",
            function=function,
            struct="depthwise",
            fields={**fields, **planes},
            operands=operands,
            scratch_bytes=4 * words,
            in_place=in_place,
            folded_shift=result.folded_shift,
            members={"window": "*band"},
        )

    by_rows = ByRows(window, call) if batches == 1 else None
    return (replace(call([window]), by_rows=by_rows),)


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
    # Without padding a window begins where its output goes, or after it.
    in_place = (x.index,) if window.pad == (0, 0) else ()
    members = {"window": "*band"}
    call = Call("pool", function, "pool", fields, (x.index, out.index), in_place=in_place, members=members)
    by_rows = ByRows(window, lambda _: call) if batches == 1 else None
    return (replace(call, by_rows=by_rows),)


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
