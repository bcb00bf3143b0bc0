"""An int8 network without padding in time, taken apart: the windows that slide along time, then what follows them.

    input ─ window ─ window ─ … ─ window over all rows that are left (the average) ─ dense ─ softmax

Each operator reads what the one before it made, and constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rena_kws.errors import ModelError
from rena_kws.firmware.graph import Graph, Op

_SLIDING = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")


@dataclass(frozen=True)
class Window:
    """Operators, one after the other, of which the last reads `rows` rows at a time, `stride` rows apart.

    Those before it, paddings along frequency, work row by row.
    """

    ops: tuple[Op, ...]
    rows: int
    stride: int

    @property
    def kept_rows(self) -> int:
        """How many rows of its input a stream keeps from one result to the next."""
        return max(0, self.rows - self.stride)


@dataclass(frozen=True)
class Chain:
    """The last of `windows` reads all rows; `head` turns what it makes into the input of the softmax."""

    windows: tuple[Window, ...]
    head: tuple[Op, ...]

    @property
    def stride(self) -> int:
        """Frames of the input from one result to the next."""
        stride = 1
        for window in self.windows:
            stride *= window.stride
        return stride

    @property
    def frames(self) -> int:
        """How many frames of the input a result depends on."""
        frames = 1
        for window in reversed(self.windows):
            frames = (frames - 1) * window.stride + window.rows
        return frames

    @property
    def lag(self) -> int:
        """How many of the newest frames a result leaves unread: where windows have gaps, they read what is first."""
        lag, step = 0, 1
        for window in self.windows:
            lag += max(0, window.stride - window.rows) * step
            step *= window.stride
        return lag


def take_apart(graph: Graph) -> Chain:
    """The windows and the head of a network. Raises `ModelError` where it is not such a chain."""
    windows: list[Window] = []
    rest = iter(_in_a_row(graph))
    row_by_row: list[Op] = []
    for op in rest:
        if op.name == "PAD":
            _check_pad(graph, op)
            row_by_row.append(op)
            continue
        window = _window(graph, (*row_by_row, op))
        windows.append(window)
        row_by_row.clear()
        if op.name not in _SLIDING:
            return Chain(tuple(windows), _head(graph, tuple(rest)))
    raise ModelError("a stream's network averages over all its frames before it decides; this one does not")


def _in_a_row(graph: Graph) -> Iterator[Op]:
    """The operators in order, each of which has to read what the one before it made, and constants."""
    (data,) = graph.inputs
    for op in graph.ops:
        constant = all(index < 0 or graph.tensors[index].data is not None for index in op.inputs[1:])
        if op.inputs[:1] != (data,) or len(op.outputs) != 1 or not constant:
            raise ModelError(
                f"a stream's network is a chain of windows, without skip connections; {op.name} is none of it"
            )
        (data,) = op.outputs
        yield op


def _window(graph: Graph, ops: tuple[Op, ...]) -> Window:
    op = ops[-1]
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.name in _SLIDING and op.options:
        rows, stride = _rows(graph, op), int(op.options["strideH"])
        if op.options["padding"] == "SAME" and rows > 1:
            raise ModelError(
                f"{op.name} {output.label} pads along time, which a stream cannot: search with SearchSpace.streaming()"
            )
        return Window(ops, rows, stride)
    if op.name == "MEAN":
        axes = graph.input(op, 1)
        if axes is not None and axes.data is not None and {int(axis) % 4 for axis in axes.data.ravel()} == {1, 2}:
            return Window(ops, source.shape[1], 1)
    elif op.name == "RESHAPE" and output.shape == (1, source.elements):
        return Window(ops, source.shape[1], 1)
    raise ModelError(f"a stream's network has {', '.join(_SLIDING)} and averages; {op.name} {output.label} is none")


def _rows(graph: Graph, op: Op) -> int:
    """How many rows of the input the window spans, gaps of a dilation included."""
    if op.name.endswith("POOL_2D"):
        return int(op.options["filterHeight"])
    weights = graph.input(op, 1)
    if weights is None or len(weights.shape) != 4:
        raise ModelError(f"{op.name} {graph.tensors[op.outputs[0]].label} has no weights")
    return (weights.shape[1] - 1) * int(op.options["dilationHFactor"]) + 1


def _check_pad(graph: Graph, op: Op) -> None:
    amounts = graph.input(op, 1)
    if amounts is None or amounts.data is None or amounts.data.reshape(-1, 2)[[0, 1, 3]].any():
        label = graph.tensors[op.outputs[0]].label
        raise ModelError(f"a stream's network pads along frequency alone; PAD {label} does along more")


def _head(graph: Graph, ops: tuple[Op, ...]) -> tuple[Op, ...]:
    """Without the softmax at its end."""
    names = [op.name for op in ops]
    if not names or names[-1] != "SOFTMAX" or {*names[:-1]} - {"FULLY_CONNECTED", "RESHAPE"}:
        raise ModelError(f"after the average a stream's network has dense layers and a softmax, not {', '.join(names)}")
    if ops[-1].options["beta"] != 1.0:
        raise ModelError(f"the softmax of a stream's network has a beta of 1, not {ops[-1].options['beta']}")
    return ops[:-1]
