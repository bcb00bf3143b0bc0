"""Where every tensor lies in the arena: two that are alive at the same time never overlap, all others may.

Time is counted in operators. A tensor lives from the operator that writes it to the last that reads it; inputs live
from before the first, outputs until after the last. Operators that only change the shape share their input's storage,
and so do those whose kernel can write its output over an input that nobody reads afterwards.
Finding the smallest arena is NP-hard, so the plan is the best of a few greedy orders, each placing a block into the
first gap it fits (greedy by size is what TensorFlow Lite does, arXiv 2001.03288, recalled).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rena_kws.firmware.graph import Graph
from rena_kws.firmware.operands import Call

ALIGNMENT = 16
"""Bytes. Offsets are multiples of it, so a kernel may read words or vectors; the arena itself must be aligned to it."""

SHAPE_ONLY = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operators whose output is their first input under another shape: they cost no code and no memory."""


@dataclass(frozen=True)
class Block:
    """A piece of the arena, in use from operator `first` to operator `last`, both included; -1 is before the first."""

    size_bytes: int
    first: int
    last: int
    offset: int = 0

    def lives_with(self, other: Block) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """`tensors`: tensor index → block, equal for tensors that share storage; `scratch`: operator index → block.

    `storage` names for every tensor the one whose storage it uses: itself, unless an operator made it that only changes
    the shape, or one that works in place.
    Constants have no block.
    """

    tensors: Mapping[int, Block]
    scratch: Mapping[int, Block]
    storage: Mapping[int, int]
    arena_bytes: int


def plan_calls(graph: Graph, calls: Mapping[int, Sequence[Call]]) -> MemoryPlan:
    """The arena for a network's kernel calls, by operator."""
    scratch = {index: max((call.scratch_bytes or 0 for call in group), default=0) for index, group in calls.items()}
    in_place = {index: group[0].in_place for index, group in calls.items() if len(group) == 1}
    return plan(graph, scratch, in_place)


def plan(
    graph: Graph,
    scratch_bytes: Mapping[int, int] | None = None,
    in_place: Mapping[int, Sequence[int]] | None = None,
) -> MemoryPlan:
    """Offsets for all computed tensors and, by operator index, for the scratch memory that operators asked for.

    `in_place`: operator index → the input tensors that its output may overwrite, the preferred first.
    """
    storage = _storage(graph, in_place or {})
    lifetimes = _lifetimes(graph, storage)
    scratch = {op: Block(_aligned(size), op, op) for op, size in (scratch_bytes or {}).items() if size > 0}
    blocks = _place([*lifetimes.values(), *scratch.values()])
    placed = dict(zip(lifetimes, blocks, strict=False))
    return MemoryPlan(
        tensors={index: placed[root] for index, root in storage.items() if root in placed},
        scratch=dict(zip(scratch, blocks[len(lifetimes) :], strict=True)),
        storage=storage,
        arena_bytes=max((block.offset + block.size_bytes for block in blocks), default=0),
    )


def lower_bound_bytes(blocks: list[Block]) -> int:
    """The most bytes that are alive at once: no plan can be smaller."""
    times = {block.first for block in blocks}
    return max((sum(b.size_bytes for b in blocks if b.first <= time <= b.last) for time in times), default=0)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _storage(graph: Graph, in_place: Mapping[int, Sequence[int]]) -> dict[int, int]:
    storage = {tensor.index: tensor.index for tensor in graph.tensors}
    last_read = _last_read(graph)
    for op in graph.ops:
        output = op.outputs[0]
        if op.name in SHAPE_ONLY:
            storage[output] = storage[op.inputs[0]]
            continue
        for index in in_place.get(op.index, ()):
            sharers = [other for other, root in storage.items() if root == storage[index]]
            dead = all(last_read.get(other, -1) <= op.index for other in sharers)
            room = graph.tensors[output].size_bytes <= graph.tensors[storage[index]].size_bytes
            if dead and room and graph.tensors[storage[index]].data is None:
                storage[output] = storage[index]
                break
    return storage


def _last_read(graph: Graph) -> dict[int, int]:
    """Tensor → the last operator that reads it; outputs of the graph are read after all."""
    reads = {index: op.index for op in graph.ops for index in op.inputs}
    return reads | dict.fromkeys(graph.outputs, len(graph.ops))


def _lifetimes(graph: Graph, storage: Mapping[int, int]) -> dict[int, Block]:
    """Storage → block without a place, in order of first use."""
    first: dict[int, int] = {storage[index]: -1 for index in graph.inputs}
    last: dict[int, int] = dict(first)
    for op in graph.ops:
        for index in op.outputs:
            first.setdefault(storage[index], op.index)
            last[storage[index]] = op.index
        for index in op.inputs:
            if index >= 0 and storage[index] in first:
                last[storage[index]] = op.index
    for index in graph.outputs:
        last[storage[index]] = len(graph.ops)
    constant = {tensor.index for tensor in graph.tensors if tensor.data is not None}
    return {
        root: Block(_aligned(graph.tensors[root].size_bytes), first[root], last[root])
        for root in first
        if root not in constant
    }


def _place(blocks: list[Block]) -> list[Block]:
    """The blocks with offsets, in the order given."""

    def crowding(block: Block) -> int:
        """Bytes alive at the block's busiest moment."""
        return max(
            sum(b.size_bytes for b in blocks if b.first <= time <= b.last)
            for time in range(block.first, block.last + 1)
        )

    orders: list[Callable[[Block], tuple[int, ...]]] = [
        lambda block: (-block.size_bytes, block.first),
        lambda block: (-crowding(block), -block.size_bytes, block.first),
        lambda block: (block.first - block.last, -block.size_bytes, block.first),
        lambda block: (block.first, -block.size_bytes),
    ]
    candidates = (_place_in_order(blocks, sorted(range(len(blocks)), key=lambda i: key(blocks[i]))) for key in orders)
    return min(candidates, key=lambda placed: max((b.offset + b.size_bytes for b in placed), default=0))


def _place_in_order(blocks: list[Block], order: list[int]) -> list[Block]:
    placed: dict[int, Block] = {}
    for index in order:
        block = blocks[index]
        neighbours = sorted((b for b in placed.values() if b.lives_with(block)), key=lambda b: b.offset)
        offset = 0
        for neighbour in neighbours:
            if offset + block.size_bytes <= neighbour.offset:
                break
            offset = max(offset, neighbour.offset + neighbour.size_bytes)
        placed[index] = Block(block.size_bytes, block.first, block.last, offset)
    return [placed[index] for index in range(len(blocks))]
