"""Operators one after another by bands of rows, so that the images between them need not exist.

    input ──► stage ──► a few rows ──► stage ──► a few rows ──► stage ──► output

`schedule` replays what c/kws_rows.c does, row by row: from it follow the size of every buffer, the rows of each band,
and whether the output may take the place of the input while that is still being read. Depth-first execution by rows is
known from accelerators and from MCUNetV2's patches (arXiv 2110.15352, recalled); here no row is computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rena_kws.firmware.graph import Graph, Op, Tensor
from rena_kws.firmware.memory_plan import aligned
from rena_kws.firmware.operands import ByRows, Call, Stage
from rena_kws.firmware.window import Window

MAX_STAGES = 4
"""KWS_ROWS_STAGES of kws_rows.h."""


@dataclass(frozen=True)
class Schedule:
    """By stage: the output rows [first, end) of each band, the most rows its buffer holds, the rows moved within it.

    `progress`: after each band of the last stage, how many rows every stage has computed.
    """

    bands: tuple[tuple[tuple[int, int], ...], ...]
    held_rows: tuple[int, ...]
    moved_rows: tuple[int, ...]
    progress: tuple[tuple[int, ...], ...]


def schedule(windows: Sequence[Window], band_rows: int) -> Schedule:
    """What kws_rows does with stages of these windows and `band_rows` rows of the last output at a time."""
    count, last = len(windows), len(windows) - 1
    firsts, ends, held, moved = ([0] * count for _ in range(4))
    bands: list[list[tuple[int, int]]] = [[] for _ in windows]
    progress = []
    while ends[last] < windows[last].output[0]:
        goals = [0] * last + [min(ends[last] + band_rows, windows[last].output[0])]
        for i in range(last, 0, -1):
            goals[i - 1] = windows[i].rows_read(goals[i])
        for i in range(count):
            if i < last:
                first = min(windows[i + 1].first_read(ends[i + 1]), ends[i])
                moved[i] += ends[i] - first if first > firsts[i] else 0
                firsts[i] = max(firsts[i], first)
                held[i] = max(held[i], goals[i] - firsts[i])
            if ends[i] < goals[i]:
                bands[i].append((ends[i], goals[i]))
                ends[i] = goals[i]
        progress.append(tuple(ends))
    return Schedule(tuple(map(tuple, bands)), tuple(held), tuple(moved), tuple(progress))


def chains(graph: Graph, calls: Mapping[int, Sequence[Call]]) -> list[list[Op]]:
    """The longest runs of neighbouring operators that can go by rows: nothing else reads what lies between them."""
    readers: dict[int, int] = {}
    for op in graph.ops:
        for index in op.inputs:
            readers[index] = readers.get(index, 0) + 1
    for index in graph.outputs:
        readers[index] = readers.get(index, 0) + 1
    found: list[list[Op]] = []
    for op in graph.ops:
        if _by_rows(calls[op.index]) is None:
            continue
        previous = found[-1][-1] if found else None
        if previous and previous.index + 1 == op.index and _follows(graph, previous, op, readers):
            found[-1].append(op)
        else:
            found.append([op])
    return [chain for chain in found if len(chain) > 1]


def _by_rows(group: Sequence[Call]) -> ByRows | None:
    return group[0].by_rows if len(group) == 1 else None


def _follows(graph: Graph, first: Op, second: Op, readers: Mapping[int, int]) -> bool:
    middle = first.outputs[0]
    return readers.get(middle) == 1 and middle in second.inputs and graph.tensors[middle].data is None


def fuse(graph: Graph, ops: Sequence[Op], calls: Mapping[int, Sequence[Call]], band_rows: int) -> tuple[Call, Schedule]:
    """One call that runs a part of a chain, `band_rows` rows of its last output at a time, and its schedule."""
    group = [calls[op.index][0] for op in ops]
    by_rows = [call.by_rows for call in group if call.by_rows]
    plan = schedule([each.window for each in by_rows], band_rows)
    chained = [group[0].operands[0], *(op.outputs[0] for op in ops[:-1])]
    output = graph.tensors[ops[-1].outputs[0]]
    stages, offset = [], 0
    banded = [
        each.call([each.window.band(first, end) for first, end in bands])
        for each, bands in zip(by_rows, plan.bands, strict=True)
    ]
    scratch_offset = sum(
        aligned(rows * _row_bytes(graph.tensors[op.outputs[0]]))
        for rows, op in zip(plan.held_rows[:-1], ops, strict=False)
    )
    for i, op in enumerate(ops):
        read, written = (_row_bytes(graph.tensors[index]) for index in (chained[i], op.outputs[0]))
        stages.append(Stage(banded[i], by_rows[i], chained[i], read, written, offset, scratch_offset))
        offset += aligned(plan.held_rows[i] * stages[-1].output_row_bytes)
    others = [index for stage in stages for index in stage.call.operands[:-1] if index not in chained]
    operands = (chained[0], output.index)
    in_place = tuple(index for index in (chained[0], *others) if _may_replace(graph, index, stages, plan))
    call = Call(
        family="rows",
        function="rows",
        struct="rows",
        fields={"count": len(stages), "band_rows": band_rows},
        operands=operands,
        arguments=("arena",),
        scratch_bytes=scratch_offset + max(call.scratch_bytes or 0 for call in banded),
        in_place=in_place,
        stages=tuple(stages),
    )
    return call, plan


def _row_bytes(image: Tensor) -> int:
    return image.size_bytes // image.shape[1]


def _may_replace(graph: Graph, index: int, stages: Sequence[Stage], plan: Schedule) -> bool:
    """Whether the output may be written over an image from its first byte on, each band after the rows it covers."""
    tensor = graph.tensors[index]
    if tensor.data is not None:
        return False
    last = len(stages) - 1
    for i, stage in enumerate(stages):
        if index not in stage.call.operands[:-1]:
            continue
        if i == last and index not in stage.call.in_place:
            return False
        window, total = stage.by_rows.window, plan.progress[-1][i]
        for ends in plan.progress:
            written = ends[last] * stages[last].output_row_bytes
            if ends[i] < total and window.first_read(ends[i]) * _row_bytes(tensor) < written:
                return False
    return True
