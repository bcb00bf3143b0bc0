"""Augmentation: each item does what it says and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rena_kws.train.augmentation import Statistics, augment, mix
from rena_kws.train.settings import Augmentation

OFF = Augmentation(0, 0.0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0)
Array = NDArray[np.float32]


def clips(count: int = 40, frames: int = 49, coefficients: int = 10) -> Array:
    rng = np.random.default_rng(3)
    level = rng.uniform(-20, 20, (1, 1, coefficients, 1))
    return (level + rng.standard_normal((count, frames, coefficients, 1))).astype(np.float32)


def varied(x: Array, settings: Augmentation, seed: int = 0) -> Array:
    return augment(x, Statistics.of(x), settings, np.random.default_rng(seed))


def test_switched_off_it_changes_nothing_and_copies() -> None:
    x = clips()
    result = varied(x, OFF)
    np.testing.assert_array_equal(result, x)
    assert not np.shares_memory(result, x)


def test_the_default_is_repeatable_and_leaves_its_input_alone() -> None:
    x = clips()
    before = x.copy()
    first, second, other = (varied(x, Augmentation(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32 and first.shape == x.shape


def test_a_time_shift_moves_whole_frames_and_repeats_the_edge() -> None:
    x = clips()
    most = 3
    padded = np.pad(x, ((0, 0), (most, most), (0, 0), (0, 0)), "edge")
    shifted = [padded[:, start : start + x.shape[1]] for start in range(2 * most + 1)]
    result = varied(x, replace(OFF, time_shift_frames=most))
    found = {next(k for k, s in enumerate(shifted) if np.allclose(s[i], clip)) for i, clip in enumerate(result)}
    assert found == set(range(2 * most + 1))


def test_a_time_stretch_keeps_the_middle_and_the_order() -> None:
    ramp = np.broadcast_to(np.arange(49, dtype=np.float32)[None, :, None, None], (30, 49, 10, 1))
    result = varied(ramp, replace(OFF, time_stretch=0.2))[:, :, 0, 0]
    np.testing.assert_allclose(result[:, 24], 24, atol=1e-5)
    slope = np.diff(result[:, 20:29], axis=1)  # Away from the edges: frames a frame, the rate
    np.testing.assert_allclose(slope, slope[:, :1].repeat(8, axis=1), atol=1e-4)
    assert np.exp(-0.2) <= slope.min() < 1 < slope.max() <= np.exp(0.2)


@given(longest=st.integers(0, 60), axis=st.sampled_from([1, 2]), seed=st.integers(0, 1000))
def test_a_mask_is_one_stretch_of_the_mean(longest: int, axis: int, seed: int) -> None:
    x = clips(12)
    names = ("time_masks", "time_mask_frames") if axis == 1 else ("frequency_masks", "frequency_mask_bands")
    result = varied(x, replace(OFF, **{names[0]: 1, names[1]: longest}), seed)
    mean = np.broadcast_to(Statistics.of(x).mean, x.shape)
    hidden = (result != x).any(axis=3 - axis)[..., 0]
    np.testing.assert_array_equal(result[result != x], mean[result != x])
    for row in hidden:
        places = np.flatnonzero(row)
        assert len(places) <= min(longest, x.shape[axis])
        assert len(places) == 0 or places[-1] - places[0] + 1 == len(places)


def test_noise_and_channel_have_the_strength_of_the_data() -> None:
    x = clips(400)
    deviation = x.std(axis=(0, 1))
    noise = varied(x, replace(OFF, noise=0.5)) - x
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 0.5 * deviation, rtol=0.05)
    channel = varied(x, replace(OFF, channel=0.5)) - x
    np.testing.assert_allclose(channel, channel[:, :1].repeat(x.shape[1], axis=1), atol=1e-4)
    np.testing.assert_allclose(channel[:, 0].std(axis=0), 0.5 * deviation, rtol=0.2)


def test_style_keeps_the_shape_of_each_coefficient_and_blends_its_mean_and_deviation_with_anothers() -> None:
    rng = np.random.default_rng(5)
    x = clips(60) * rng.uniform(0.5, 2, (60, 1, 10, 1)).astype(np.float32)
    result = varied(x, replace(OFF, style=0.5))

    def standard(clips: Array) -> Array:
        return (clips - clips.mean(axis=1, keepdims=True)) / clips.std(axis=1, keepdims=True)

    np.testing.assert_allclose(standard(result), standard(x), atol=0.02)
    changed = np.flatnonzero(np.abs(result - x).max(axis=(1, 2, 3)) > 1e-3)
    assert 15 < len(changed) < 45
    mean, deviation = x.mean(axis=1)[..., 0], x.std(axis=1)[..., 0]
    for clip in changed:  # There is one other clip, and one share, that explain all means and deviations
        toward = np.stack([mean - mean[clip], deviation - deviation[clip]], axis=1).reshape(60, -1)
        found = np.r_[result[clip].mean(axis=0)[:, 0] - mean[clip], result[clip].std(axis=0)[:, 0] - deviation[clip]]
        share = (toward @ found) / np.maximum((toward**2).sum(axis=1), 1e-9)
        best = np.abs(share[:, None] * toward - found).max(axis=1).argmin()
        np.testing.assert_allclose(share[best] * toward[best], found, atol=0.02)
        assert 0 < share[best] < 1


def test_style_leaves_a_clip_without_variation_finite() -> None:
    x = clips()
    x[::2] = -2.3  # Digital silence: every frame the same
    result = varied(x, replace(OFF, style=1.0))
    assert np.isfinite(result).all() and result.dtype == np.float32
    assert np.abs(result[::2] - result[::2, :1]).max() < 1e-2  # and it stays without


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_blends_features_and_labels_by_one_share(alpha: float) -> None:
    labels = np.eye(40, dtype=np.float32)  # Every clip its own class: the labels tell who was mixed
    x = clips(40)
    mixed, y = mix(x, labels, alpha, np.random.default_rng(0))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed, np.tensordot(y, x, axes=1), atol=1e-4)
    assert (y.argmax(axis=1) == np.arange(40)).all()
    assert np.count_nonzero((y > 0.01) & (y < 0.99)) > 10


def test_without_mixup_nothing_is_mixed() -> None:
    x, y = clips(), np.eye(40, dtype=np.float32)
    mixed, labels = mix(x, y, 0.0, np.random.default_rng(0))
    assert mixed is x and labels is y
