"""What an architecture costs, from its shapes alone, in microseconds and without TensorFlow.

The figures describe the int8 network after BatchNorm is folded: weights and activations take one byte an element,
biases four. They describe the network, not a firmware (no code, stack or scratch buffers): for that, profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

from rena_kws.spec.architecture import Architecture, Shape, window_shape
from rena_kws.spec.assemble import Padding, assemble

GATES = 3
"""Of a GRU: update, reset and candidate, each with a bias for what it reads and one for the state."""


@dataclass(frozen=True)
class OpCost:
    """One operation: int8 `weights` and int32 `biases` (counts), MACs, and bytes read and written once each.

    `kernel` is the window's height and width, of a mean or a GRU all that it reads; `inputs` the channels of what it
    reads first.
    """

    name: str
    op: str
    kernel: tuple[int, int]
    inputs: int
    output_shape: Shape
    weights: int
    biases: int
    macs: int
    bytes_moved: int


@dataclass(frozen=True)
class Cost:
    """Cost of a network for one clip. Operations without multiplications (pools, add, mean) count no MACs.

    `activation_ram_bytes` is the peak of live int8 tensors in the order of assembly, an operation's input and output
    both counted: a lower bound for an arena without in-place operations. `in_place_ram_bytes` is the peak where an
    operation that makes each position of one position or of a moving window (depthwise, 1×1, add) writes over its
    first input if nothing reads that later.
    """

    ops: tuple[OpCost, ...]
    activation_ram_bytes: int
    in_place_ram_bytes: int

    @property
    def params(self) -> int:
        return sum(op.weights + op.biases for op in self.ops)

    @property
    def macs(self) -> int:
        return sum(op.macs for op in self.ops)

    @property
    def weight_bytes(self) -> int:
        """int8 weights and int32 biases."""
        return sum(op.weights + 4 * op.biases for op in self.ops)

    @property
    def bytes_moved(self) -> int:
        """Weights, biases, inputs and outputs of every operation, each moved once."""
        return sum(op.bytes_moved for op in self.ops)

    @property
    def intensity(self) -> float:
        """Compute intensity in FLOPs per byte moved; a MAC is two FLOPs."""
        return 2 * self.macs / self.bytes_moved


@lru_cache(maxsize=1024)  # a proposal's drafts are each looked at by filter, critic and more
def cost(architecture: Architecture) -> Cost:
    """The cost of a valid architecture."""
    counter = _Counter()
    assemble(architecture, counter)
    ops, buffers, reads = counter.ops, counter.buffers, counter.reads
    in_place = [op.op in ("depthwise", "add") or (op.op == "conv" and op.kernel == (1, 1)) for op in ops]
    nowhere = [False] * len(ops)
    return Cost(tuple(ops), _peak_bytes(buffers, reads, nowhere), _peak_bytes(buffers, reads, in_place))


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the cost graph; `buffer` names its memory (a flattened tensor shares its source's)."""

    buffer: int
    shape: Shape


class _Counter:
    """A layer factory (see `assemble`) that counts. Buffer 0 is the input, buffer i the output of op i."""

    def __init__(self) -> None:
        self.ops: list[OpCost] = []
        self.buffers: list[int] = []
        self.reads: list[list[int]] = []

    def input(self, shape: Shape) -> _Tensor:
        self.buffers.append(prod(shape))
        return _Tensor(0, shape)

    def conv(
        self,
        x: _Tensor,
        channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: int,
        padding: Padding,
        relu: bool,
        name: str,
    ) -> _Tensor:
        shape = (*window_shape(x.shape, kernel, stride, dilation, padding), channels)
        weights = prod(kernel) * x.shape[2] * channels
        return self._op(name, "conv", [x], shape, kernel, weights, channels, shape[0] * shape[1] * weights)

    def depthwise(
        self, x: _Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, name: str
    ) -> _Tensor:
        shape = (*window_shape(x.shape, kernel, stride, 1, padding), x.shape[2])
        weights = prod(kernel) * x.shape[2]
        return self._op(name, "depthwise", [x], shape, kernel, weights, x.shape[2], shape[0] * shape[1] * weights)

    def pool(
        self, x: _Tensor, kind: str, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, name: str
    ) -> _Tensor:
        shape = (*window_shape(x.shape, kernel, stride, 1, padding), x.shape[2])
        return self._op(name, kind, [x], shape, kernel)

    def add(self, xs: list[_Tensor], name: str) -> _Tensor:
        return self._op(name, "add", xs, xs[0].shape)

    def flatten(self, x: _Tensor, name: str) -> _Tensor:
        return _Tensor(x.buffer, (1, 1, prod(x.shape)))

    def global_average(self, x: _Tensor, name: str) -> _Tensor:
        return self._op(name, "mean", [x], (1, 1, x.shape[2]), x.shape[:2])

    def dense(self, x: _Tensor, units: int, activation: str, name: str) -> _Tensor:
        weights = x.shape[2] * units
        return self._op(name, "dense", [x], (1, 1, units), (1, 1), weights, units, weights)

    def gru(self, x: _Tensor, units: int, name: str) -> _Tensor:
        steps, features = x.shape[0], x.shape[1] * x.shape[2]
        weights = GATES * units * (features + units)
        return self._op(name, "gru", [x], (1, 1, units), x.shape[:2], weights, 2 * GATES * units, steps * weights)

    def _op(
        self,
        name: str,
        op: str,
        xs: list[_Tensor],
        shape: Shape,
        kernel: tuple[int, int] = (1, 1),
        weights: int = 0,
        biases: int = 0,
        macs: int = 0,
    ) -> _Tensor:
        moved = sum(prod(x.shape) for x in xs) + prod(shape) + weights + 4 * biases
        self.ops.append(OpCost(name, op, kernel, xs[0].shape[2], shape, weights, biases, macs, moved))
        self.buffers.append(prod(shape))
        self.reads.append([x.buffer for x in xs])
        return _Tensor(len(self.buffers) - 1, shape)


def _peak_bytes(buffers: list[int], reads: list[list[int]], in_place: list[bool]) -> int:
    """The greatest sum of live buffers; op i (from 0) reads `reads[i]` and writes buffer i + 1, or over its input."""
    last_read = {buffer: op for op, sources in enumerate(reads) for buffer in sources}
    live: set[int] = {0}
    peak = buffers[0]
    for op, sources in enumerate(reads):
        live.add(op + 1)
        over = in_place[op] and last_read[sources[0]] == op
        shared = min(buffers[sources[0]], buffers[op + 1]) if over else 0
        peak = max(peak, sum(buffers[buffer] for buffer in live) - shared)
        live = {buffer for buffer in live if last_read.get(buffer, -1) > op}
    return peak
