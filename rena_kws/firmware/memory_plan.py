"""Where every tensor lies in the arena: two that are alive at the same time never overlap, all others may.

Time is counted in operators. A tensor lives from the operator that writes it to the last that reads it; inputs live
from before the first, outputs until after the last. Operators that only change the shape share their input's storage,
and so do those whose kernel can write its output over an input that nobody reads afterwards. A storage that shrinks on
the way, as under a pooling layer in place, gives back what it no longer holds.
Finding the smallest arena is NP-hard, so the plan is the best of a few greedy orders, each placing a block into the
first gap it fits (greedy by size is what TensorFlow Lite does, arXiv 2001.03288, recalled).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
    """`tensors`: tensor index → block; `scratch`: operator index → block.

    `storage` names for every tensor the one whose storage it uses: itself, unless an operator made it that only changes
    the shape, or one that works in place. `storages`: the bytes that each of these holds over time, as blocks one after
    the other at one offset.
    Constants have no block.
    """

    tensors: Mapping[int, Block]
    scratch: Mapping[int, Block]
    storage: Mapping[int, int]
    storages: Mapping[int, tuple[Block, ...]]
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
    lifetimes = _lifetimes(graph)
    sharers: dict[int, list[Block]] = {}
    for index, block in lifetimes.items():
        sharers.setdefault(storage[index], []).append(block)
    scratch = {op: Block(aligned(size), op, op) for op, size in (scratch_bytes or {}).items() if size > 0}
    placed = _place([*map(_over_time, sharers.values()), *((block,) for block in scratch.values())])
    storages = dict(zip(sharers, placed, strict=False))
    return MemoryPlan(
        tensors={i: replace(block, offset=storages[storage[i]][0].offset) for i, block in lifetimes.items()},
        scratch={op: blocks[0] for op, blocks in zip(scratch, placed[len(sharers) :], strict=True)},
        storage=storage,
        storages=storages,
        arena_bytes=max((block.offset + block.size_bytes for blocks in placed for block in blocks), default=0),
    )


def lower_bound_bytes(blocks: Sequence[Block]) -> int:
    """The most bytes that are alive at once: no plan can be smaller."""
    times = {block.first for block in blocks}
    return max((sum(b.size_bytes for b in blocks if b.first <= time <= b.last) for time in times), default=0)


def aligned(size: int) -> int:
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


def _lifetimes(graph: Graph) -> dict[int, Block]:
    """Computed tensor → block without a place, in order of first use."""
    first = dict.fromkeys(graph.inputs, -1) | {index: op.index for op in graph.ops for index in op.outputs}
    last = first | {index: time for index, time in _last_read(graph).items() if index in first}
    return {index: Block(aligned(graph.tensors[index].size_bytes), first[index], last[index]) for index in first}


def _over_time(sharers: Sequence[Block]) -> tuple[Block, ...]:
    """What tensors in one storage need of it: blocks one after the other, each as large as the largest alive."""
    found: list[Block] = []
    for time in range(min(block.first for block in sharers), max(block.last for block in sharers) + 1):
        size = max((block.size_bytes for block in sharers if block.first <= time <= block.last), default=0)
        if found and found[-1].size_bytes == size:
            found[-1] = replace(found[-1], last=time)
        else:
            found.append(Block(size, time, time))
    return tuple(found)


_Blocks = tuple[Block, ...]
"""Blocks one after the other in time, which have one offset."""


def _place(storages: Sequence[_Blocks]) -> list[_Blocks]:
    """The storages with offsets, in the order given."""
    everything = [block for blocks in storages for block in blocks]

    def crowding(blocks: _Blocks) -> int:
        """Bytes alive at the storage's busiest moment."""
        times = range(blocks[0].first, blocks[-1].last + 1)
        return max(sum(b.size_bytes for b in everything if b.first <= time <= b.last) for time in times)

    def largest(blocks: _Blocks) -> int:
        return max(block.size_bytes for block in blocks)

    orders: list[Callable[[_Blocks], tuple[int, ...]]] = [
        lambda blocks: (-largest(blocks), blocks[0].first),
        lambda blocks: (-crowding(blocks), -largest(blocks), blocks[0].first),
        lambda blocks: (blocks[0].first - blocks[-1].last, -largest(blocks), blocks[0].first),
        lambda blocks: (blocks[0].first, -largest(blocks)),
    ]
    numbers = range(len(storages))
    candidates = (_place_in_order(storages, sorted(numbers, key=lambda i: key(storages[i]))) for key in orders)
    return min(candidates, key=lambda placed: max((b.offset + b.size_bytes for s in placed for b in s), default=0))


def _place_in_order(storages: Sequence[_Blocks], order: Sequence[int]) -> list[_Blocks]:
    placed: dict[int, _Blocks] = {}
    for index in order:
        # Where a block may not begin: less than its size before one that lives with it, or inside of that one.
        forbidden = sorted(
            (other.offset - block.size_bytes, other.offset + other.size_bytes)
            for blocks in placed.values()
            for other in blocks
            for block in storages[index]
            if block.lives_with(other)
        )
        offset = 0
        for low, high in forbidden:
            if offset <= low:
                break
            offset = max(offset, high)
        placed[index] = tuple(replace(block, offset=offset) for block in storages[index])
    return [placed[index] for index in range(len(storages))]
