"""Architectures, their JSON, hash and shapes, and the three edits."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rena_kws.controller.decisions import UniformChooser, decide
from rena_kws.errors import InvalidArchitectureError, ModelError
from rena_kws.spec.architecture import HYPERPARAMETERS, KINDS, Architecture, Layer
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.edits import Insert, Remove, Scale, apply, edit_from_json
from rena_kws.spec.search_space import SearchSpace, seed_architecture, smallest

SPACE = SearchSpace()
STREAMING = SearchSpace.streaming()
SEED = seed_architecture(12)
SMALLEST = smallest(SPACE, 12)
EVERY_KIND = replace(SPACE, kinds=KINDS)
GRU = Layer("gru", (0,), channels=8)
CONV = Layer("conv2d", (0,), kernel_h=3, kernel_w=3, channels=8)


def add(*sources: int) -> Layer:
    return Layer("add", sources)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(49, 10, 1), (49, 40, 1), (98, 16, 1), (1, 1, 1)]),
    space=st.sampled_from([SPACE, EVERY_KIND]),
)
def test_random_edits_always_give_valid_networks(seed: int, shape: tuple[int, int, int], space: SearchSpace) -> None:
    """Twenty edits in a row, so some 3,000 networks: each constructs, survives JSON and has a cost."""
    chooser = UniformChooser(np.random.default_rng(seed))
    architecture = seed_architecture(12, shape)
    for _ in range(20):
        edit = decide(architecture, space, chooser)
        assert edit_from_json(json.loads(json.dumps(edit.as_json()))) == edit
        edited = apply(architecture, edit, space)
        assert edited != architecture
        architecture = edited
        assert space.min_layers <= len(architecture.layers) <= space.max_layers
        again = Architecture.from_json(json.loads(json.dumps(architecture.as_json())))
        assert (again, again.id, hash(again)) == (architecture, architecture.id, hash(architecture))
        assert cost(architecture).activation_ram_bytes >= np.prod(shape)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_rows_of_a_streaming_network_depend_on_their_frames_alone(seed: int) -> None:
    """Random edits in the space of streams: an edit is refused by the window rule, or the network keeps the counts of
    rows that sliding its windows, one after the other, gives."""
    chooser = UniformChooser(np.random.default_rng(seed))
    architecture = seed_architecture(12, time_padding="valid")
    for _ in range(20):
        try:
            architecture = apply(architecture, decide(architecture, STREAMING, chooser), STREAMING)
        except InvalidArchitectureError as error:
            assert "must fit its input" in str(error)
            continue
        assert architecture.time_padding == "valid"
        assert Architecture.from_json(json.loads(json.dumps(architecture.as_json()))) == architecture
        for layer, shape in zip(architecture.layers, architecture.shapes[1:], strict=True):
            rows = architecture.shapes[layer.sources[0]][0]
            reach = (layer.kernel_h - 1) * layer.dilation
            assert shape[0] == sum(1 for top in range(0, rows, layer.stride[0]) if top + reach < rows)


def test_a_streaming_network_is_a_chain_of_windows() -> None:
    seed = seed_architecture(12, time_padding="valid")
    assert seed.id != SEED.id and [shape[0] for shape in seed.shapes] == [49, 20, 18, 16, 14]
    assert cost(seed).macs < cost(SEED).macs
    assert smallest(STREAMING, 12).time_padding == "valid"
    with pytest.raises(InvalidArchitectureError, match=r"without padding in time has conv2d.*layer 5 is dense"):
        replace(seed, layers=(*seed.layers, Layer("dense", (4,), channels=8)))
    with pytest.raises(InvalidArchitectureError, match="must fit its input; layer 2, ds_conv2d of 3×3, reads 2×20"):
        replace(seed, input_shape=(12, 40, 1))
    with pytest.raises(InvalidArchitectureError, match="same or valid; got 'causal'"):
        replace(seed, time_padding="causal")


def test_id_is_the_same_in_every_process() -> None:
    code = "from rena_kws.spec.search_space import seed_architecture as s; print(s(12).id)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert out == SEED.id == "9cc3d7037ba7f052"  # a change here orphans stored runs: raise SCHEMA with it
    assert seed_architecture(11).id != SEED.id


def test_spec_needs_no_tensorflow() -> None:
    code = "import sys, rena_kws.controller.rena, rena_kws.spec.cost_graph; print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ((replace(CONV, sources=(1,)),), "reads tensors before it"),
        ((replace(CONV, sources=(0, 0)),), "reads one tensor"),
        ((replace(CONV, channels=0),), "positive"),
        ((replace(CONV, dilation=2),), "has no dilation"),
        ((replace(CONV, kind="ds_conv2d", stride=(2, 1)),), "equal on both axes"),
        ((replace(CONV, kind="lstm"),), "kind is one of"),
        ((CONV, replace(CONV, sources=(0,))), "must be read"),
        ((CONV, add(0, 1)), "latest first"),
        ((Layer("dense", (0,), channels=8), replace(CONV, sources=(1,))), "follow a dense"),
        ((GRU, replace(CONV, sources=(1,))), "follow a dense or gru"),
        ((GRU, replace(GRU, sources=(1,))), "follow a dense or gru"),
        ((replace(GRU, kernel_h=3),), "gru has no kernel_h"),
        ((replace(CONV, stride=(5, 1)), replace(CONV, stride=(3, 1)), add(2, 1)), "whole strides"),
    ],
)
def test_what_is_no_network_is_refused_with_the_rule(layers: tuple[Layer, ...], rule: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=rule):
        Architecture(12, layers)


def test_a_gru_gives_one_state_for_dense_layers() -> None:
    network = Architecture(12, (CONV, replace(GRU, sources=(1,)), Layer("dense", (2,), channels=16)))
    assert network.shapes[2:] == ((1, 1, 8), (1, 1, 16))
    assert network.is_flat(2)
    assert Architecture.from_json(network.as_json()) == network
    space = EVERY_KIND
    with pytest.raises(InvalidArchitectureError, match="follow a dense or gru"):
        apply(network, Insert(replace(GRU, sources=(2,), channels=16)), space)
    wider = apply(network, Scale(2, "channels", 64), space)
    assert apply(wider, Remove(2), space).layers == (CONV, Layer("dense", (1,), channels=16))


def test_only_a_space_that_names_it_has_a_gru() -> None:
    assert "gru" not in SPACE.kinds and "gru" not in SearchSpace.streaming().kinds
    with pytest.raises(InvalidArchitectureError, match="without padding in time has"):
        Architecture(12, (GRU,), time_padding="valid")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        SEED.as_json() | {"schema": 2},
        SEED.as_json() | {"extra": 1},
        SEED.as_json() | {"input_shape": "abc"},
        SEED.as_json() | {"classes": 2.5},
        SEED.as_json() | {"layers": None},
        SEED.as_json() | {"layers": [None]},
        SEED.as_json() | {"layers": [{"kind": ["add"], "sources": [0]}]},
        SEED.as_json() | {"layers": [{"kind": "add", "sources": 0}]},
        SEED.as_json() | {"layers": [{"kind": "add", "sources": [True, 0]}]},
        SEED.as_json() | {"layers": [CONV.as_json() | {"channels": "8"}]},
        SEED.as_json() | {"layers": [CONV.as_json() | {"dilation": 1}]},
    ],
)
def test_what_is_no_architecture_file_is_one_line(data: object) -> None:
    with pytest.raises(ModelError) as caught:
        Architecture.from_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, {}, {"edit": "remove", "layer": "1"}, {"edit": "scale", "layer": 1}])
def test_what_is_no_edit_is_one_line(data: object) -> None:
    with pytest.raises(ModelError):
        edit_from_json(data)


def test_insert_takes_over_the_readers() -> None:
    edited = apply(SEED, Insert(replace(CONV, sources=(1,))), SPACE)
    assert [layer.sources for layer in edited.layers] == [(0,), (1,), (2,), (3,), (4,)]
    assert edited.layers[1] == replace(CONV, sources=(1,))


def test_skip_connections_move_with_their_tensors() -> None:
    skipped = apply(SEED, Insert(add(3, 1)), SPACE)
    assert [layer.sources for layer in skipped.layers] == [(0,), (1,), (2,), (3, 1), (4,)]
    deeper = apply(skipped, Insert(replace(CONV, sources=(2,))), SPACE)
    assert [layer.sources for layer in deeper.layers] == [(0,), (1,), (2,), (3,), (4, 1), (5,)]


def test_remove_reconnects_and_drops_what_is_left_over() -> None:
    skipped = apply(SEED, Insert(add(3, 2)), SPACE)
    assert apply(skipped, Remove(4), SPACE) == SEED  # the add itself
    without = apply(skipped, Remove(3), SPACE)  # its two sources become one: no add any more
    assert [layer.kind for layer in without.layers] == ["conv2d", "ds_conv2d", "ds_conv2d"]
    assert apply(SEED, Remove(4), SPACE).layers == SEED.layers[:3]


def test_remove_drops_a_branch_that_nothing_reads() -> None:
    branch = Architecture(12, (CONV, replace(CONV, kind="conv2d", sources=(0,), channels=16), add(2, 1)))
    assert apply(branch, Remove(3), SPACE).layers == (replace(CONV, channels=16),)


def test_scale_sets_one_value() -> None:
    edited = apply(SEED, Scale(2, "channels", 48), SPACE)
    assert edited.layers[1] == replace(SEED.layers[1], channels=48)
    assert edited.shapes[2] == (25, 5, 48)


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (Insert(replace(CONV, sources=(7,))), "reads tensors 0 to 4"),
        (Insert(replace(CONV, channels=9)), "channels of a conv2d is one of"),
        (Insert(replace(CONV, kind="gru")), "search space has"),
        (Insert(Layer("dense", (1,), channels=16)), "follow a dense"),
        (Remove(0), "numbered 1 to 4"),
        (Scale(5, "channels", 8), "numbered 1 to 4"),
        (Scale(1, "dilation", 2), "hyperparameters of a conv2d are"),
        (Scale(2, "stride", (2, 1)), "stride of a ds_conv2d is one of"),
    ],
)
def test_an_impossible_edit_says_why(edit: Insert | Remove | Scale, rule: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=rule):
        apply(SEED, edit, SPACE)


def test_depth_is_bounded() -> None:
    space = SearchSpace(min_layers=4, max_layers=4)
    for edit in (Insert(replace(CONV, sources=(1,))), Remove(1)):
        with pytest.raises(InvalidArchitectureError, match="4 to 4 layers"):
            apply(SEED, edit, space)


def test_vocabulary_holds_every_option_once() -> None:
    for kind, names in HYPERPARAMETERS.items():
        for name in names:
            assert set(SPACE.options(kind, name)) <= set(SPACE.vocabulary[name])
    assert all(list(values) == sorted(set(values)) for values in SPACE.vocabulary.values())
    assert all(channels % 4 == 0 for channels in SPACE.channels)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_nothing_is_smaller_than_the_smallest(seed: int) -> None:
    least = cost(SMALLEST)
    architecture, chooser = SMALLEST, UniformChooser(np.random.default_rng(seed))
    for _ in range(6):
        architecture = apply(architecture, decide(architecture, SPACE, chooser), SPACE)
        found = cost(architecture)
        assert (found.weight_bytes, found.bytes_moved) >= (least.weight_bytes, least.bytes_moved)
        assert found.activation_ram_bytes >= 490
