"""Keras models against the cost graph: what is trained is what is costed."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

from rena_kws.controller.random_search import RandomSearch
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.search_space import SearchSpace, seed_architecture

keras = pytest.importorskip("keras")
from rena_kws.model.keras_model import BATCH_NORM_MOMENTUM, build, settle  # noqa: E402

EVERY_KIND = Architecture(
    5,
    (
        Layer("conv2d", (0,), kernel_h=10, kernel_w=4, stride=(2, 1), channels=8),
        Layer("ds_conv2d", (1,), kernel_h=3, kernel_w=3, stride=(2, 2), channels=12),
        Layer("add", (2, 1, 0)),
        Layer("dilated_conv2d", (3,), kernel_h=3, kernel_w=1, dilation=4, channels=12),
        Layer("add", (4, 3)),
        Layer("avg_pool", (5,), kernel_h=3, kernel_w=2, stride=(2, 1)),
        Layer("max_pool", (6,), kernel_h=2, kernel_w=2, stride=(2, 2)),
        Layer("dense", (7,), channels=16),
        Layer("dense", (8,), channels=8),
    ),
)

WITHOUT_TIME_PADDING = Architecture(
    5,
    (
        Layer("conv2d", (0,), kernel_h=10, kernel_w=4, stride=(2, 1), channels=8),
        Layer("ds_conv2d", (1,), kernel_h=3, kernel_w=3, stride=(2, 2), channels=12),
        Layer("dilated_conv2d", (2,), kernel_h=3, kernel_w=3, dilation=2, channels=12),
        Layer("avg_pool", (3,), kernel_h=3, kernel_w=2, stride=(2, 1)),
        Layer("max_pool", (4,), kernel_h=2, kernel_w=2, stride=(1, 1)),
    ),
    time_padding="valid",
)


def networks(count: int) -> list[Architecture]:
    walker = RandomSearch(SearchSpace(max_layers=8), seed_architecture(12), 7, lambda a: cost(a).params < 100_000)
    return [EVERY_KIND, WITHOUT_TIME_PADDING, *(walker.ask().architecture for _ in range(count))]


def folded_params_and_macs(model: Any) -> tuple[int, int]:
    """Counted from the Keras layers themselves: kernels, one bias a channel, and kernel uses by output position."""
    params = macs = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense):
            kernel = prod(layer.kernel.shape)
            params += kernel + layer.output.shape[-1]
            macs += kernel * prod(layer.output.shape[1:-1])
    return params, macs


@pytest.mark.parametrize("architecture", networks(12), ids=lambda a: a.id)
def test_cost_graph_and_shapes_agree_with_keras(architecture: Architecture) -> None:
    model = build(architecture, batch_size=1).keras_model
    figures = cost(architecture)
    assert (figures.params, figures.macs) == folded_params_and_macs(model)
    for op in figures.ops:
        layer = model.get_layer(op.name)
        expected = op.output_shape if len(layer.output.shape) == 4 else op.output_shape[2:]
        assert layer.output.shape == (1, *expected)
    assert model.output_shape == (1, architecture.classes)


def test_static_and_free_batch_share_weights() -> None:
    keras.utils.set_random_seed(0)
    free, static = build(EVERY_KIND).keras_model, build(EVERY_KIND, batch_size=1).keras_model
    static.set_weights(free.get_weights())
    clips = np.random.default_rng(0).normal(size=(3, 49, 10, 1)).astype(np.float32)
    together = np.asarray(free(clips, training=False))
    one_by_one = np.concatenate([np.asarray(static(clip[None], training=False)) for clip in clips])
    assert together == pytest.approx(one_by_one, abs=1e-5)
    assert together.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert [w.path.split("/", 1)[-1] for w in free.weights] == [w.path.split("/", 1)[-1] for w in static.weights]


def test_without_time_padding_later_frames_shift_the_rows() -> None:
    """The rows of the last map of a clip begun one total stride (8 frames) later are those of the clip, one row on."""
    keras.utils.set_random_seed(2)
    model = build(WITHOUT_TIME_PADDING).keras_model
    rows = keras.Model(model.input, model.get_layer("l5_max_pool").output)
    sound = np.random.default_rng(2).normal(size=(1, 49 + 8, 10, 1)).astype(np.float32)
    early, late = np.asarray(rows(sound[:, :49])), np.asarray(rows(sound[:, 8:]))
    assert early.shape[1] == WITHOUT_TIME_PADDING.shapes[-1][0]
    assert early[:, 1:] == pytest.approx(late[:, :-1], abs=1e-5)


def test_every_kind_trains() -> None:
    """A gradient step on the CPU reaches every weight, the dilated convolution's included."""
    keras.utils.set_random_seed(1)
    model = build(EVERY_KIND).keras_model
    before = [w.numpy() for w in model.trainable_weights]
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    rng = np.random.default_rng(1)
    clips, labels = rng.normal(size=(16, 49, 10, 1)).astype(np.float32), rng.integers(0, 5, 16)
    model.fit(clips, labels, batch_size=8, epochs=1, verbose=0)
    changed = [bool(np.any(old != new.numpy())) for old, new in zip(before, model.trainable_weights, strict=True)]
    assert all(changed), [w.path for w, c in zip(model.trainable_weights, changed, strict=True) if not c]


def test_equal_seeds_build_equal_weights() -> None:
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        weights.append(build(seed_architecture(12)).keras_model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_settled_statistics_let_a_deep_network_pass_its_signal() -> None:
    """With the initial statistics, 12 untrained layers leave next to nothing of their input."""
    first = Layer("conv2d", (0,), kernel_h=3, kernel_w=3, stride=(2, 2), channels=8)
    rest = tuple(Layer("conv2d", (i,), kernel_h=3, kernel_w=3, stride=(1, 1), channels=8) for i in range(1, 12))
    architecture = Architecture(4, (first, *rest))
    x = np.random.default_rng(0).normal(3.0, 5.0, (64, 49, 10, 1)).astype(np.float32)
    keras.utils.set_random_seed(1)
    built = build(architecture)
    settle(built, x)
    normalised = [layer for layer in built.keras_model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(layer.momentum == BATCH_NORM_MOMENTUM for layer in normalised)
    outputs = keras.Model(built.keras_model.input, [layer.output for layer in normalised])(x, training=False)
    for output in outputs:
        values = np.asarray(output)
        np.testing.assert_allclose(values.mean(axis=(0, 1, 2)), 0, atol=0.02)
        np.testing.assert_allclose(values.std(axis=(0, 1, 2)), 1, atol=0.05)
