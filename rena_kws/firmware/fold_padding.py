"""A PAD beside an image, and the convolution without padding that reads it → one convolution with that padding.

A converter knows SAME and VALID alone, so a network that pads along one axis only comes with a PAD before each window.
Kernels read what lies beside an image as its zero point anyway: without the PAD there is no padded image in the arena,
and nothing is copied. Rows above and below are left to the PAD; only columns are folded.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rena_kws.firmware.graph import Graph, Op

EXPLICIT = "EXPLICIT"
"""The word for a window's padding where its options have `padLeft` and `padRight`, in pixels; none above or below."""

_WINDOWS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def fold_padding(graph: Graph) -> Graph:
    """The graph without each PAD that its only reader, a convolution, can do itself."""
    folded: dict[int, Op] = {}
    gone: set[int] = set()
    for pad in graph.ops:
        readers = [op for op in graph.ops if pad.outputs[0] in op.inputs]
        columns = _columns(graph, pad)
        if columns is None or len(readers) != 1 or pad.outputs[0] in graph.outputs:
            continue
        (reader,) = readers
        if not _can_pad(graph, reader, pad.outputs[0], columns):
            continue
        options = {**reader.options, "padding": EXPLICIT, "padLeft": columns[0], "padRight": columns[1]}
        folded[reader.index] = replace(reader, inputs=(pad.inputs[0], *reader.inputs[1:]), options=options)
        gone.add(pad.index)
    ops = [folded.get(op.index, op) for op in graph.ops if op.index not in gone]
    return replace(graph, ops=tuple(replace(op, index=index) for index, op in enumerate(ops)))


def _columns(graph: Graph, pad: Op) -> tuple[int, int] | None:
    """Left and right, where `pad` puts the zero point there and nothing anywhere else; None for anything else."""
    amounts, x = graph.input(pad, 1), graph.input(pad, 0)
    if pad.name not in ("PAD", "PADV2") or x is None or amounts is None or amounts.data is None:
        return None
    out = graph.tensors[pad.outputs[0]]
    if amounts.shape != (4, 2) or (x.dtype, x.scales, x.zero_points) != (out.dtype, out.scales, out.zero_points):
        return None
    if pad.name == "PADV2":
        value = graph.input(pad, 2)
        if value is None or value.data is None or np.any(value.data != out.zero_point):
            return None
    rows = np.asarray(amounts.data)
    if rows[[0, 1, 3]].any() or (rows < 0).any():
        return None
    left, right = int(rows[2, 0]), int(rows[2, 1])
    return (left, right) if out.shape == (*x.shape[:2], x.shape[2] + left + right, x.shape[3]) else None


def _can_pad(graph: Graph, op: Op, padded: int, columns: tuple[int, int]) -> bool:
    """Whether `op` is a convolution over the tensor `padded` whose every window has a column of the image in it."""
    weights = graph.input(op, 1)
    if op.name not in _WINDOWS or op.inputs[0] != padded or op.inputs.count(padded) > 1:
        return False
    if op.options.get("padding") != "VALID" or weights is None or len(weights.shape) != 4:
        return False
    dilation = op.options.get("dilationWFactor", 0)
    return all(pixels <= (weights.shape[2] - 1) * dilation for pixels in columns)
