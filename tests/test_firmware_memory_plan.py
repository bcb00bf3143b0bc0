"""The memory plan: nothing alive overlaps, and the arena is near what is possible."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.artifacts import ConvertedModel
from rena_kws.firmware.graph import Graph, Op, Tensor, read_graph
from rena_kws.firmware.memory_plan import ALIGNMENT, Block, MemoryPlan, lower_bound_bytes, plan


@st.composite
def graphs(draw: st.DrawFn, most_ops: int = 8) -> Graph:
    """A random network: every operator reads one or two earlier tensors; some only change the shape."""
    tensors = [Tensor(0, "input", (draw(st.integers(1, 200)),), "int8")]
    ops: list[Op] = []
    for index in range(draw(st.integers(1, most_ops))):
        sources = draw(st.lists(st.integers(0, len(tensors) - 1), min_size=1, max_size=2, unique=True))
        shape_only = draw(st.integers(0, 4)) == 0
        size = tensors[sources[0]].elements if shape_only else draw(st.integers(1, 200))
        tensors.append(Tensor(len(tensors), f"t{len(tensors)}", (size,), "int8"))
        ops.append(Op(index, "RESHAPE" if shape_only else "ADD", tuple(sources), (len(tensors) - 1,), {}))
    outputs = draw(st.lists(st.integers(1, len(tensors) - 1), min_size=1, max_size=2, unique=True))
    return Graph(tuple(tensors), tuple(ops), (0,), tuple(outputs))


def distinct_blocks(result: MemoryPlan) -> list[Block]:
    """The blocks of each storage, and the scratch blocks."""
    return [*(block for blocks in result.storages.values() for block in blocks), *result.scratch.values()]


def overlaps(a: Block, b: Block) -> bool:
    return a.offset < b.offset + b.size_bytes and b.offset < a.offset + a.size_bytes


@given(graph=graphs(), scratch=st.dictionaries(st.integers(0, 0), st.integers(0, 100)))
def test_blocks_that_live_together_do_not_overlap(graph: Graph, scratch: dict[int, int]) -> None:
    result = plan(graph, scratch)
    blocks = distinct_blocks(result)
    for a, b in itertools.combinations(blocks, 2):
        assert not (a.lives_with(b) and overlaps(a, b))
    assert all(block.offset % ALIGNMENT == 0 for block in blocks)
    assert result.arena_bytes == max(block.offset + block.size_bytes for block in blocks)
    assert result.arena_bytes >= lower_bound_bytes(blocks)


@given(graph=graphs())
def test_values_survive_until_their_last_reader(graph: Graph) -> None:
    """Independent of lifetimes: replay the operators and see that every one reads what was written for it."""
    result = plan(graph)
    owner: dict[int, int] = {}

    def write(index: int) -> None:
        block = result.tensors[index]
        owner.update(dict.fromkeys(range(block.offset, block.offset + graph.tensors[index].size_bytes), index))

    def intact(index: int) -> bool:
        block = result.tensors[index]
        places = range(block.offset, block.offset + graph.tensors[index].size_bytes)
        return all(result.storage[owner[place]] == result.storage[index] for place in places)

    for index in graph.inputs:
        write(index)
    for op in graph.ops:
        assert all(intact(index) for index in op.inputs)
        if op.name != "RESHAPE":
            write(op.outputs[0])
            assert all(intact(index) for index in op.inputs), "an operator overwrites what it is reading"
    assert all(intact(index) for index in graph.outputs)


@given(graph=graphs(most_ops=4))
def test_arena_is_near_the_best_order_of_placing(graph: Graph) -> None:
    """On small graphs every order of placing can be tried; the greedy ones may cost at most a quarter more."""
    result = plan(graph)
    blocks = distinct_blocks(result)
    best = min(_first_fit(order) for order in itertools.permutations(blocks))
    assert lower_bound_bytes(blocks) <= best <= result.arena_bytes <= 1.25 * best


def _first_fit(blocks: tuple[Block, ...]) -> int:
    """Arena bytes when each block goes to the lowest free place; the best order of this is an optimal plan."""
    placed: list[Block] = []
    for block in blocks:
        candidates = [0, *(other.offset + other.size_bytes for other in placed)]
        moved = (Block(block.size_bytes, block.first, block.last, offset) for offset in sorted(candidates))
        placed.append(next(m for m in moved if not any(m.lives_with(o) and overlaps(m, o) for o in placed)))
    return max(block.offset + block.size_bytes for block in placed)


def test_a_chain_needs_only_its_two_largest_neighbours() -> None:
    sizes = [160, 320, 480, 64, 16]
    tensors = tuple(Tensor(i, f"t{i}", (size,), "int8") for i, size in enumerate(sizes))
    ops = tuple(Op(i, "RELU", (i,), (i + 1,), {}) for i in range(len(sizes) - 1))
    assert plan(Graph(tensors, ops, (0,), (4,))).arena_bytes == 320 + 480


def test_a_skip_connection_keeps_its_tensor() -> None:
    tensors = tuple(Tensor(i, f"t{i}", (160,), "int8") for i in range(4))
    ops = (Op(0, "RELU", (0,), (1,), {}), Op(1, "RELU", (1,), (2,), {}), Op(2, "ADD", (0, 2), (3,), {}))
    result = plan(Graph(tensors, ops, (0,), (3,)))
    assert result.arena_bytes == 3 * 160
    assert result.tensors[0].offset not in (result.tensors[1].offset, result.tensors[2].offset)


def test_reshape_shares_storage() -> None:
    tensors = tuple(Tensor(i, f"t{i}", (160,), "int8") for i in range(3))
    ops = (Op(0, "RESHAPE", (0,), (1,), {}), Op(1, "RESHAPE", (1,), (2,), {}))
    result = plan(Graph(tensors, ops, (0,), (2,)))
    assert result.arena_bytes == 160
    assert result.storage == {0: 0, 1: 0, 2: 0}


@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
def test_reference_models_reach_the_lower_bound(name: str, reference: Callable[..., Path]) -> None:
    data = reference("models", f"{name}_ref_model.tflite").read_bytes()
    result = plan(read_graph(ConvertedModel("tflite", data)))
    assert result.arena_bytes == lower_bound_bytes(distinct_blocks(result))


@given(graph=graphs(), allowed=st.lists(st.booleans(), min_size=16, max_size=16))
def test_in_place_never_costs_a_value_that_is_still_read(graph: Graph, allowed: list[bool]) -> None:
    """Replay as above, where an operator may overwrite an input of its own: that one must have no later reader."""
    in_place = {op.index: op.inputs for op in graph.ops if op.name != "RESHAPE" and allowed[op.index]}
    result = plan(graph, in_place=in_place)
    owner: dict[int, int] = {}

    def places(index: int) -> range:
        block = result.tensors[index]
        return range(block.offset, block.offset + graph.tensors[index].size_bytes)

    roots: dict[int, int] = {}

    def write(index: int) -> None:
        owner.update(dict.fromkeys(places(index), roots.setdefault(index, index)))

    for index in graph.inputs:
        write(index)
    for op in graph.ops:
        for index in op.inputs:
            assert all(owner[place] == roots[index] for place in places(index)), f"operator {op.index} reads rubbish"
        output = op.outputs[0]
        if op.name == "RESHAPE":
            roots[output] = roots[op.inputs[0]]
        else:
            write(output)
    for index in graph.outputs:
        assert all(owner[place] == roots[index] for place in places(index))
    assert result.arena_bytes >= 0


def test_a_chain_in_place_needs_its_largest_tensor_only() -> None:
    sizes = [320, 320, 160, 160]
    tensors = tuple(Tensor(i, f"t{i}", (size,), "int8") for i, size in enumerate(sizes))
    ops = tuple(Op(i, "RELU", (i,), (i + 1,), {}) for i in range(3))
    assert plan(Graph(tensors, ops, (0,), (3,)), in_place={i: (i,) for i in range(3)}).arena_bytes == 320


def test_an_input_with_another_reader_is_not_overwritten() -> None:
    tensors = tuple(Tensor(i, f"t{i}", (160,), "int8") for i in range(4))
    ops = (Op(0, "RELU", (0,), (1,), {}), Op(1, "RELU", (1,), (2,), {}), Op(2, "ADD", (0, 2), (3,), {}))
    result = plan(Graph(tensors, ops, (0,), (3,)), in_place={0: (0,), 1: (1,), 2: (2, 0)})
    assert result.tensors[1].offset != result.tensors[0].offset, "operator 2 still reads tensor 0"
    assert result.arena_bytes == 2 * 160
