"""Training: it learns, repeats itself by seed, rejects the hopeless; augmentation changes what it says it does."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from rena_kws.datasets.features import Features
from rena_kws.errors import DatasetError
from rena_kws.model.keras_model import build
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.train.augmentation import Statistics, augment, mix
from rena_kws.train.settings import Augmentation, TrainSettings
from rena_kws.train.trainer import train

TINY = Architecture(3, (Layer("conv2d", (0,), 3, 3, (2, 2), channels=8), Layer("dense", (1,), channels=16)))
NONE = Augmentation(0, 0.0, 0, 0, 0, 0, 0.0, 0.0, 0.0)


def stripes(clips: int, seed: int) -> Features:
    """Three classes by where the energy lies; the noise is as loud."""
    rng = np.random.default_rng(seed)
    y = np.arange(clips, dtype=np.int32) % 3
    x = rng.standard_normal((clips, 49, 10, 1)).astype(np.float32)
    for row, label in enumerate(y):
        x[row, :, 3 * label : 3 * label + 3] += 1.5
    return Features(x=x, y=y, speakers=("a",) * clips, labels=("low", "middle", "high"))


def trained(settings: TrainSettings) -> tuple[float, list[np.ndarray]]:
    keras.utils.set_random_seed(settings.seed)
    built = build(TINY)
    result = train(built, stripes(240, 0), stripes(90, 1), settings)
    return result.accuracy, built.keras_model.get_weights()


def test_it_learns_and_repeats_itself() -> None:
    settings = TrainSettings(epochs=10, seed=3, augmentation=NONE)
    accuracy, weights = trained(settings)
    again, same = trained(settings)
    assert accuracy > 0.8
    assert accuracy == again
    for one, other in zip(weights, same, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_hopeless_are_stopped_early() -> None:
    built = build(TINY)
    settings = TrainSettings(epochs=8, reject_after=0.25, reject_below=1.1)
    result = train(built, stripes(120, 0), stripes(30, 1), settings)
    assert result.rejected
    assert len(result.history) == 2


def test_features_of_another_network_are_refused() -> None:
    with pytest.raises(DatasetError):
        train(build(replace(TINY, classes=2)), stripes(30, 0), stripes(30, 1), TrainSettings(epochs=1))


def test_without_augmentation_nothing_changes() -> None:
    x = stripes(6, 0).x
    np.testing.assert_array_equal(augment(x, Statistics.of(x), NONE, np.random.default_rng(0)), x)


@pytest.mark.parametrize("setting", ["time_shift_frames", "time_stretch", "noise", "channel"])
def test_each_augmentation_changes_every_clip_and_not_the_original(setting: str) -> None:
    x = stripes(6, 0).x
    original = x.copy()
    settings = replace(NONE, **{setting: 5 if setting == "time_shift_frames" else 0.3})
    varied = augment(x, Statistics.of(x), settings, np.random.default_rng(1))
    np.testing.assert_array_equal(x, original)
    assert varied.shape == x.shape
    assert varied.dtype == np.float32
    changed = sum(bool((a != b).any()) for a, b in zip(varied, x, strict=True))
    assert changed >= 3  # a shift may be drawn as zero frames


def test_a_channel_shifts_all_frames_alike() -> None:
    x = stripes(4, 0).x
    shift = augment(x, Statistics.of(x), replace(NONE, channel=0.5), np.random.default_rng(0)) - x
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1], shift.shape), atol=1e-5)


def test_mixup_keeps_distributions() -> None:
    features = stripes(9, 0)
    targets = np.eye(3, dtype=np.float32)[features.y]
    x, y = mix(features.x, targets, 0.4, np.random.default_rng(0))
    assert x.shape == features.x.shape
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(y.argmax(axis=1), features.y)  # the clip itself keeps the greater part
