"""A network over an input that moves on by some rows a result: which rows of its images are kept, and which are new.

    input ──► stage ──► kept | new rows ──► stage ──► … ──► last image ──► the rest of the network, whole
                         of every image

Where no operator pads along time, a row of an image depends on its own rows of the input alone. When the input moves
on by n rows, an image behind strides of s in all moves on by n / s, which has to be whole: that many rows are computed,
and those that their readers look back to are kept. The result is that of the whole network, bit by bit. (Caching of
layers for streams is known from Rybakov et al., Streaming keyword spotting on mobile devices, arXiv 2005.06720,
recalled.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rena_kws.errors import ModelError
from rena_kws.firmware.fusion import Program
from rena_kws.firmware.graph import Graph, Op, Tensor
from rena_kws.firmware.memory_plan import SHAPE_ONLY, MemoryPlan, aligned, plan_calls
from rena_kws.firmware.operands import ByRows, Call, Stage
from rena_kws.firmware.window import Window


@dataclass(frozen=True)
class Image:
    """Rows of a tensor in the memory of rows: `kept` from one result to the next, and behind them the `new` ones."""

    tensor: int
    row_bytes: int
    kept: int
    new: int
    offset: int = 0

    @property
    def size_bytes(self) -> int:
        return (self.kept + self.new) * self.row_bytes

    @property
    def new_offset(self) -> int:
        return self.offset + self.kept * self.row_bytes


@dataclass(frozen=True)
class Step:
    """A stage, the window that computes the new rows of its output, and where the rows lie that this one reads."""

    stage: Stage
    window: Window
    input_offset: int


@dataclass(frozen=True)
class Rest:
    """What runs whole on the last image: a graph of those operators alone, and which of the network they are."""

    graph: Graph
    calls: Mapping[int, Sequence[Call]]
    layers: Mapping[int, int]
    memory: MemoryPlan
    last: frozenset[int]  # the last image, and its other shapes


@dataclass(frozen=True)
class Incremental:
    """`images`: what each step reads, and what the last one writes. `rows_bytes`: of the memory of rows, which has to
    survive from one result to the next; the arena has not."""

    steps: tuple[Step, ...]
    images: tuple[Image, ...]
    rest: Rest
    rows_bytes: int
    arena_bytes: int


def incremental(network: Program, new_rows: int) -> Incremental:
    """How `network` is evaluated when its input moves on by `new_rows` rows.

    As many operators as can compute new rows alone, from the first on; the rest run whole. Raises `ModelError` where
    not even the first can.
    """
    graph = network.graph
    found, end, images = _chain(network, new_rows)
    rest = _rest(network, end, images[-1].tensor)
    placed = _placed(images)
    steps = tuple(
        _step(graph, by_rows, image, output)
        for by_rows, image, output in zip(found, placed[:-1], placed[1:], strict=True)
    )
    scratch_bytes = max(aligned(step.stage.call.scratch_bytes or 0) for step in steps)
    arena_bytes = max(scratch_bytes, rest.memory.arena_bytes)
    rows_bytes = max(image.offset + aligned(image.size_bytes) for image in placed)
    return Incremental(steps, placed, rest, rows_bytes, arena_bytes)


def _chain(network: Program, new_rows: int) -> tuple[list[ByRows], int, list[Image]]:
    """The operators that compute new rows alone, how many steps of the network they are, and their images."""
    graph = network.graph
    if len(graph.inputs) != 1 or len(graph.tensors[graph.inputs[0]].shape) != 4:
        raise ModelError("it has more than one input, or one that is no image")
    tensor = graph.tensors[graph.inputs[0]]
    if new_rows > tensor.shape[1]:
        raise ModelError(f"its input of {tensor.shape[1]} rows moves on by {new_rows}")
    images = [Image(tensor.index, _row_bytes(tensor), 0, new_rows)]
    found: list[ByRows] = []
    end, why = 0, "its first operator is none that works by rows"
    for op in graph.ops:
        group = list(_by_rows(network, op, images[-1].tensor))
        grown = _grown(graph, images[-1], group)
        if not group or isinstance(grown, str):
            why = grown if isinstance(grown, str) else why
            break
        found += [by_rows for by_rows, _ in group]
        images = [*images[:-1], *grown]
        end = op.index + 1
    if not found:
        raise ModelError(why)
    last = images[-1]
    images[-1] = replace(last, kept=graph.tensors[last.tensor].shape[1] - last.new)
    return found, end, images


def _by_rows(network: Program, op: Op, image: int) -> Iterator[tuple[ByRows, int]]:
    """The stages that a step of the network has, each with its output, where they are a chain from `image` on and
    nobody else reads what lies between them; otherwise none."""
    group = network.calls[op.index]
    if len(group) != 1:
        return
    stages = group[0].stages
    chained = [(stage.by_rows, stage.call.operands) for stage in stages]
    if not stages and group[0].by_rows:
        chained = [(group[0].by_rows, group[0].operands)]
    read = image
    for _, operands in chained:
        if len(operands) != 2 or operands[0] != read or _readers(network, read) != 1:
            return
        read = operands[1]
    yield from ((by_rows, operands[1]) for by_rows, operands in chained)


def _readers(network: Program, tensor: int) -> int:
    members = [member for group in network.members.values() for member in group]
    return sum(op.inputs.count(tensor) for op in members) + network.graph.outputs.count(tensor)


def _grown(graph: Graph, image: Image, group: Sequence[tuple[ByRows, int]]) -> list[Image] | str:
    """The image with the rows that its reader looks back to, and all that follow; or why that cannot be."""
    images = [image]
    for by_rows, output in group:
        window, before = by_rows.window, images[-1]
        height, stride = window.output[0], window.stride[0]
        if window.pad[0] or (height - 1) * stride + window.reach[0] > window.image[0]:
            return f"{graph.tensors[output].label} pads along time"
        if before.new % stride or before.new // stride > height:
            return f"{graph.tensors[output].label} moves on by {before.new}/{stride} of its {height} rows"
        images[-1] = replace(before, kept=max(0, window.image[0] - height * stride))
        images.append(Image(output, _row_bytes(graph.tensors[output]), 0, before.new // stride))
    return images


def _row_bytes(image: Tensor) -> int:
    return image.size_bytes // image.shape[1]


def _placed(images: Sequence[Image]) -> tuple[Image, ...]:
    """With offsets. Images of which nothing is kept live from one step to the next: they take turns in two places."""
    passing = [bool(image.kept == 0 and 0 < i < len(images) - 1) for i, image in enumerate(images)]
    sizes = [
        max((aligned(image.size_bytes) for i, image in enumerate(images) if passing[i] and i % 2 == turn), default=0)
        for turn in (0, 1)
    ]
    alone = not any(a and b for a, b in pairwise(passing))
    places = (0, 0) if alone else (0, sizes[0])
    offset = max(sizes) if alone else sum(sizes)
    placed = []
    for i, image in enumerate(images):
        placed.append(replace(image, offset=places[i % 2] if passing[i] else offset))
        offset += 0 if passing[i] else aligned(image.size_bytes)
    return tuple(placed)


def _step(graph: Graph, by_rows: ByRows, image: Image, output: Image) -> Step:
    height, stride = by_rows.window.output[0], by_rows.window.stride[0]
    window = by_rows.window.band(height - output.new, height)
    skipped = max(0, height * stride - by_rows.window.image[0])  # where a stride is longer than its window
    stage = Stage(by_rows.call([window]), by_rows, image.tensor, image.row_bytes, output.row_bytes, 0, 0)
    return Step(stage, window, image.offset + skipped * image.row_bytes)


def _rest(network: Program, end: int, last: int) -> Rest:
    """The steps from `end` on. Raises `ModelError` for what reads anything but the last image and each other's."""
    graph = network.graph
    shapes = {last}
    ops: list[Op] = []
    for op in graph.ops[end:]:
        if op.name in SHAPE_ONLY and op.inputs[0] in shapes:
            shapes.add(op.outputs[0])
            continue
        ops.append(op)
    written = {op.outputs[0] for op in ops}
    for op in ops:
        if any(call.stages for call in network.calls[op.index]):
            raise ModelError(f"{graph.tensors[op.outputs[0]].label} is computed by bands of rows of whole images")
        for index in op.inputs:
            if index >= 0 and graph.tensors[index].data is None and index not in written | shapes:
                raise ModelError(f"{graph.tensors[op.outputs[0]].label} reads {graph.tensors[index].label} too")
    if not set(graph.outputs) <= written:
        raise ModelError("nothing follows the operators that compute new rows alone")
    calls = {
        position: tuple(
            replace(call, in_place=tuple(index for index in call.in_place if index not in shapes))
            for call in network.calls[op.index]
        )
        for position, op in enumerate(ops)
    }
    alone = Graph(graph.tensors, tuple(replace(op, index=i) for i, op in enumerate(ops)), (), graph.outputs)
    layers = {position: op.index for position, op in enumerate(ops)}
    return Rest(alone, calls, layers, plan_calls(alone, calls), frozenset(shapes))
