"""Which operators run together by bands of rows: memory against time, by arithmetic.

Every part of every chain (`by_rows.chains`) may become one step, with bands of few rows (little memory) or of many
(little time lost). For a limit on the bytes that are alive during any step, the cheapest division of each chain is
found by dynamic programming; of all limits the one is taken whose memory and time together are best for the goal. The
plan of the arena then decides whether it is better than no fusion at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rena_kws.firmware.by_rows import MAX_STAGES, chains, fuse
from rena_kws.firmware.cost_by_rows import extra_cycles, network_cycles
from rena_kws.firmware.fold_padding import fold_padding
from rena_kws.firmware.graph import Graph, Op
from rena_kws.firmware.lower import lowerings
from rena_kws.firmware.memory_plan import SHAPE_ONLY, MemoryPlan, plan_calls
from rena_kws.firmware.operands import Call
from rena_kws.firmware.packing import RAM_WEIGHT
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize
from rena_kws.firmware.weights import dense_flash_bytes

BAND_ROWS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Rows of the last output that a fused step may compute at a time."""

_PRICES: Mapping[Optimize, float | None] = {"speed": None, "balanced": 8.0, "size": 0.0}
"""How many percent of the arena one percent of the cycles has to save; None: no fusion."""


@dataclass(frozen=True)
class Program:
    """What is printed as C: a graph whose operators are the steps, their calls, and the operators that each runs."""

    graph: Graph
    calls: Mapping[int, Sequence[Call]]
    members: Mapping[int, tuple[Op, ...]]
    folded_shift: int

    @cached_property
    def memory(self) -> MemoryPlan:
        return plan_calls(self.graph, self.calls)

    def macs(self, op: Op) -> int:
        return sum(self.graph.macs(member) for member in self.members[op.index])


@dataclass(frozen=True)
class _Step:
    """Operators that may run as one: their call, the bytes alive meanwhile, and what it costs beside running each."""

    ops: tuple[Op, ...]
    call: Call
    alive_bytes: int
    extra_cycles: int


def one_by_one(graph: Graph, optimize: Optimize = DEFAULT_OPTIMIZE) -> Program:
    """Every operator by itself. Raises `ModelError` for one that is not supported."""
    return min(_unfused(graph, optimize), key=lambda plain: _image_bytes(plain, plain.memory.arena_bytes))


def program(graph: Graph, optimize: Optimize = DEFAULT_OPTIMIZE) -> Program:
    """The network's steps: packed and fused as suits the goal. Raises `ModelError` for an unsupported operator."""
    options = [(plain, _fused(plain, optimize)) for plain in _unfused(graph, optimize)]
    return min(options, key=lambda option: _image_bytes(option[0], option[1].memory.arena_bytes))[1]


def _unfused(graph: Graph, optimize: Optimize) -> list[Program]:
    graph = fold_padding(graph)
    members = {op.index: (op,) for op in graph.ops}
    return [Program(graph, calls, members, folded_shift) for calls, folded_shift in lowerings(graph, optimize)]


def _image_bytes(plain: Program, arena_bytes: int) -> int:
    """What packings and fusion change of flash and RAM, a byte of RAM counting more."""
    calls = [call for group in plain.calls.values() for call in group]
    return dense_flash_bytes(calls) + RAM_WEIGHT * arena_bytes


def _fused(plain: Program, optimize: Optimize) -> Program:
    graph, calls, price = plain.graph, plain.calls, _PRICES[optimize]
    found = chains(graph, calls)
    if price is None or not found:
        return plain
    total = network_cycles(graph)
    steps = _cheapest(_Alive(graph), found, calls, total, price)
    fused = together(plain, [(step.ops, step.call) for step in steps if len(step.ops) > 1])
    extra = sum(step.extra_cycles for step in steps)

    def badness(arena_bytes: int, cycles: int) -> float:
        return float(arena_bytes * (1 + cycles / total) ** price)

    return fused if badness(fused.memory.arena_bytes, extra) < badness(plain.memory.arena_bytes, 0) else plain


def _cheapest(
    alive: _Alive, found: Sequence[Sequence[Op]], calls: Mapping[int, Sequence[Call]], total: int, price: float
) -> list[_Step]:
    """The steps of all chains for the limit that suits the goal best."""
    options = [_options(alive, chain, calls) for chain in found]
    chained = {op.index for chain in found for op in chain}
    rest = max(
        (
            alive.during((op,), calls[op.index][0])
            for op in alive.graph.ops
            if op.index not in chained and calls[op.index]
        ),
        default=0,
    )
    limits = sorted({max(rest, step.alive_bytes) for chain in options for step in chain})
    best: list[_Step] = []
    least = float("inf")
    for limit in limits:
        divisions = [_division(chain, steps, limit) for chain, steps in zip(found, options, strict=True)]
        if any(division is None for division in divisions):
            continue
        division = [step for steps in divisions if steps for step in steps]
        badness = limit * (1 + sum(step.extra_cycles for step in division) / total) ** price
        if badness < least:
            best, least = division, badness
        if badness > least and all(len(step.ops) == 1 for step in division):
            break
    return best


def _options(alive: _Alive, chain: Sequence[Op], calls: Mapping[int, Sequence[Call]]) -> list[_Step]:
    """Every part of a chain as one step, with every height of its bands that makes a difference."""
    steps = []
    for first in range(len(chain)):
        call = calls[chain[first].index][0]
        steps.append(_Step((chain[first],), call, alive.during((chain[first],), call), 0))
        for end in range(first + 2, min(first + MAX_STAGES, len(chain)) + 1):
            ops = tuple(chain[first:end])
            height = alive.graph.tensors[ops[-1].outputs[0]].shape[1]
            for rows in BAND_ROWS:
                if rows >= height:
                    break
                call, schedule = fuse(alive.graph, ops, calls, rows)
                plain = [calls[op.index][0] for op in ops]
                steps.append(_Step(ops, call, alive.during(ops, call), extra_cycles(plain, call.stages, schedule)))
    return steps


def _division(chain: Sequence[Op], steps: Sequence[_Step], limit: int) -> tuple[_Step, ...] | None:
    """The cheapest steps that run a chain with no more than `limit` bytes alive; None where there are none."""
    best: dict[int, tuple[int, tuple[_Step, ...]]] = {chain[0].index: (0, ())}
    for op in chain:
        if op.index not in best:
            continue
        cost, before = best[op.index]
        for step in steps:
            if step.ops[0] is not op or step.alive_bytes > limit:
                continue
            end, sum_ = step.ops[-1].index + 1, cost + step.extra_cycles
            if end not in best or (sum_, len(before)) < (best[end][0], len(best[end][1])):
                best[end] = sum_, (*before, step)
    found = best.get(chain[-1].index + 1)
    return found[1] if found else None


class _Alive:
    """How many bytes are alive while a step runs, by the lifetimes of a graph's tensors."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._root = {tensor.index: tensor.index for tensor in graph.tensors}
        self._first = dict.fromkeys(graph.inputs, -1)
        self._last = dict.fromkeys(graph.inputs, -1)
        for op in graph.ops:
            output = op.outputs[0]
            if op.name in SHAPE_ONLY:
                self._root[output] = self._root[op.inputs[0]]
            for index in op.inputs:
                if self._root.get(index) in self._first:
                    self._last[self._root[index]] = op.index
            self._first.setdefault(self._root[output], op.index)
            self._last.setdefault(self._root[output], op.index)
        for index in graph.outputs:
            self._last[self._root[index]] = len(graph.ops)

    def during(self, ops: Sequence[Op], call: Call) -> int:
        first, last, output = ops[0].index, ops[-1].index, self._root[ops[-1].outputs[0]]
        middle = {self._root[op.outputs[0]] for op in ops[:-1]}
        alive = {
            root
            for root, begin in self._first.items()
            if begin <= last and self._last[root] >= first and root not in middle
        } | {output}
        size = sum(self.graph.tensors[root].size_bytes for root in alive) + (call.scratch_bytes or 0)
        spared = self.graph.tensors[output].size_bytes
        over = [self._root[index] for index in call.in_place]
        replaced = any(
            self._last.get(root) == last and self.graph.tensors[root].size_bytes >= spared and root != output
            for root in over
        )
        return size - spared if replaced else size


def together(plain: Program, steps: Sequence[tuple[Sequence[Op], Call]]) -> Program:
    """The program with the operators of each step as one, which its call runs."""
    by_last = {ops[-1].index: (tuple(ops), call) for ops, call in steps}
    gone = {op.index for fused, _ in steps for op in fused[:-1]}
    ops: list[Op] = []
    calls: dict[int, Sequence[Call]] = {}
    members: dict[int, tuple[Op, ...]] = {}
    for op in plain.graph.ops:
        if op.index in gone:
            continue
        index = len(ops)
        members[index], calls[index] = (op,), plain.calls[op.index]
        if op.index in by_last:
            members[index], call = by_last[op.index]
            calls[index] = (call,)
            op = _joined(members[index])
        ops.append(replace(op, index=index))
    return Program(replace(plain.graph, ops=tuple(ops)), calls, members, plain.folded_shift)


def _joined(ops: Sequence[Op]) -> Op:
    """An operator that reads what some in a row read from outside, and writes what the last of them writes."""
    middle = {op.outputs[0] for op in ops[:-1]}
    inputs = tuple(index for op in ops for index in op.inputs if index not in middle)
    return Op(ops[-1].index, " + ".join(op.name for op in ops), inputs, ops[-1].outputs, {})
