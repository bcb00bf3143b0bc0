"""Networks that grow go on computing what they did; what edits left alone is aligned and keeps its weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, Trained
from rena_kws.controller.decisions import UniformChooser, decide
from rena_kws.errors import InvalidArchitectureError
from rena_kws.model.inherit import inherit
from rena_kws.model.keras_model import build, settle
from rena_kws.spec.alignment import align
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.spec.edits import Edit, Insert, Remove, Scale, apply
from rena_kws.spec.search_space import SearchSpace

SPACE = SearchSpace()
CALIBRATION: NDArray[np.float32] = np.random.default_rng(0).normal(size=(40, 49, 10, 1)).astype(np.float32)
PARENT = Architecture(
    4,
    (
        Layer("conv2d", (0,), kernel_h=10, kernel_w=4, stride=(2, 2), channels=8),
        Layer("ds_conv2d", (1,), kernel_h=3, kernel_w=3, channels=8),
        Layer("max_pool", (2,), kernel_h=2, kernel_w=2, stride=(2, 2)),
        Layer("ds_conv2d", (3,), kernel_h=3, kernel_w=3, channels=12),
    ),
)


def trained(architecture: Architecture, seed: int = 0) -> BuiltModel:
    """As after a training: no weight is what it was at first, statistics are settled."""
    keras.utils.set_random_seed(seed)
    built = build(architecture)
    rng = np.random.default_rng(seed)
    built.keras_model.set_weights(
        [weight + rng.normal(0, 0.1, weight.shape).astype(np.float32) for weight in built.keras_model.get_weights()]
    )
    settle(built, CALIBRATION)
    return built


def logits(built: BuiltModel) -> Any:
    return np.log(built.keras_model(CALIBRATION, training=False).numpy())


def child_of(parent: BuiltModel, *edits: Edit) -> BuiltModel:
    architecture = parent.architecture
    for edit in edits:
        architecture = apply(architecture, edit, SPACE)
    keras.utils.set_random_seed(99)
    child = build(architecture)
    inherit(child, Trained.of(parent), CALIBRATION)
    return child


@pytest.mark.parametrize(
    "edits",
    [
        (Scale(1, "channels", 16),),
        (Scale(2, "channels", 20),),
        (Scale(4, "channels", 32),),
        (Scale(2, "kernel_h", 7), Scale(2, "kernel_w", 5)),
        (Insert(Layer("ds_conv2d", (2,), kernel_h=3, kernel_w=5, channels=8)),),
        (Insert(Layer("conv2d", (4,), kernel_h=3, kernel_w=1, channels=16)),),
        (Insert(Layer("dilated_conv2d", (1,), kernel_h=3, kernel_w=3, dilation=2, channels=12)),),
        (
            Insert(Layer("ds_conv2d", (4,), kernel_h=3, kernel_w=3, channels=12)),
            Insert(Layer("ds_conv2d", (4,), kernel_h=5, kernel_w=3, channels=16)),
        ),
        (Insert(Layer("add", (4, 1))),),
        (Scale(1, "channels", 12), Insert(Layer("ds_conv2d", (2,), kernel_h=3, kernel_w=3, channels=12))),
    ],
    ids=lambda edits: ",".join(str(edit.as_json().get("name", "insert")) for edit in edits),
)
def test_what_grew_computes_what_it_did(edits: tuple[Edit, ...]) -> None:
    parent = trained(PARENT)
    np.testing.assert_allclose(logits(child_of(parent, *edits)), logits(parent), atol=2e-3)


def test_a_copy_is_a_copy() -> None:
    parent = trained(PARENT)
    np.testing.assert_allclose(logits(child_of(parent)), logits(parent), atol=1e-5)


def test_fresh_weights_would_be_told_from_inherited_ones() -> None:
    parent, fresh = trained(PARENT), build(PARENT)
    settle(fresh, CALIBRATION)
    assert np.abs(logits(fresh) - logits(parent)).max() > 0.1


def test_dense_layers_keep_their_rows_only_where_pixels_stayed() -> None:
    flat = Architecture(3, (Layer("conv2d", (0,), 3, 3, (2, 2), channels=8), Layer("dense", (1,), channels=16)))
    parent = trained(flat)
    np.testing.assert_allclose(logits(child_of(parent, Scale(2, "channels", 32))), logits(parent), atol=1e-4)
    wider = child_of(parent, Scale(1, "channels", 12))
    kept = wider.keras_model.get_layer("head_softmax").get_weights()
    for weight, old in zip(kept, parent.keras_model.get_layer("head_softmax").get_weights(), strict=True):
        np.testing.assert_array_equal(weight, old)


def test_narrowed_layers_keep_their_first_channels() -> None:
    parent = trained(PARENT)
    child = child_of(parent, Scale(4, "channels", 8))
    name = "l4_ds_conv2d_pointwise"
    old, new = (model.keras_model.get_layer(name).get_weights()[0] for model in (parent, child))
    np.testing.assert_array_equal(new, old[..., :8])


@pytest.mark.parametrize(
    ("edit", "pairs"),
    [
        (Insert(Layer("ds_conv2d", (1,), kernel_h=5, kernel_w=3, channels=32)), {1: 1, 3: 2, 4: 3, 5: 4}),
        (Remove(2), {1: 1, 2: 3, 3: 4}),
        (Remove(3), {1: 1, 2: 2, 3: 4}),
        (Scale(2, "channels", 64), {1: 1, 2: 2, 3: 3, 4: 4}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_an_edit_left_alone_are_aligned(edit: Edit, pairs: dict[int, int]) -> None:
    assert align(PARENT, apply(PARENT, edit, SPACE)) == pairs


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_any_chain_of_edits_inherits_what_it_can(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    architecture, done = PARENT, 0
    while done < count:
        try:
            architecture = apply(architecture, decide(architecture, SPACE, UniformChooser(rng)), SPACE)
            done += 1
        except InvalidArchitectureError:
            continue
    parent = trained(PARENT)
    child = build(architecture)
    inherit(child, Trained.of(parent), CALIBRATION)
    assert all(np.isfinite(weight).all() for weight in child.keras_model.get_weights())
    for new, old in align(PARENT, architecture).items():
        if architecture.layers[new - 1].kind == "conv2d":
            kernels = [
                model.keras_model.get_layer(f"l{number}_conv2d").get_weights()[0]
                for model, number in ((child, new), (parent, old))
            ]
            if kernels[0].shape == kernels[1].shape:
                np.testing.assert_array_equal(*kernels)


def test_other_words_need_another_head() -> None:
    parent = trained(PARENT)
    child = build(Architecture(7, PARENT.layers))
    inherit(child, Trained.of(parent), CALIBRATION)
    old, new = (model.keras_model.get_layer("l1_conv2d").get_weights()[0] for model in (parent, child))
    np.testing.assert_array_equal(new, old)
    assert not child.keras_model.get_layer("head_softmax").get_weights()[1].any()
