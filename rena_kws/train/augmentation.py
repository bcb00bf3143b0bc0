"""Variations of features that leave the word alone: the cheap half of augmentation, anew for every clip and epoch.

The costly half (speed, pitch, background noise in the audio itself) is done once, by the datasets. Everything here is
vectorised over the clips: an epoch of augmentation takes a few hundredths of the epoch of training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.train.settings import Augmentation

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of every coefficient over a training set, each of shape (coefficients, channels)."""

    mean: Array
    deviation: Array

    @classmethod
    def of(cls, x: Array) -> Statistics:
        """`x`: (clips, frames, coefficients, channels)."""
        return cls(x.mean(axis=(0, 1)), x.std(axis=(0, 1)) + np.float32(1e-6))


def augment(x: Array, statistics: Statistics, settings: Augmentation, rng: np.random.Generator) -> Array:
    """A varied copy of `x`, shape (clips, frames, coefficients, channels)."""
    x = _warp_time(_restyle(x, settings.style, statistics, rng), settings, rng)
    clips, _, coefficients, channels = x.shape
    if settings.channel:
        # A microphone or room multiplies the spectrum, which adds a constant to logarithms and their cosine transform.
        offset = rng.standard_normal((clips, 1, coefficients, channels), np.float32)
        x += np.float32(settings.channel) * statistics.deviation * offset
    if settings.noise:
        x += np.float32(settings.noise) * statistics.deviation * rng.standard_normal(x.shape, np.float32)
    for _ in range(settings.time_masks):
        _mask(x, 1, settings.time_mask_frames, statistics, rng)
    for _ in range(settings.frequency_masks):
        _mask(x, 2, settings.frequency_mask_bands, statistics, rng)
    return x


def mix(x: Array, y: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """mixup: every clip and its label distribution `y` (clips, classes) blended with another's, share Beta(α, α)."""
    if not alpha:
        return x, y
    share = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)  # The clip itself keeps the greater part
    other = rng.permutation(len(x))
    wide = share[:, None, None, None]
    return wide * x + (1 - wide) * x[other], share[:, None] * y + (1 - share[:, None]) * y[other]


def _restyle(x: Array, part: float, statistics: Statistics, rng: np.random.Generator) -> Array:
    """MixStyle (arXiv 2104.02008) on the input: a `part` of the clips take on, by a random share each, the mean over
    time and the deviation of every coefficient of another clip, which tell of microphone and voice more than of words.
    """
    if not part:
        return x
    mean, deviation = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True) + statistics.deviation / 1000
    other = rng.permutation(len(x))
    share = rng.random((len(x), 1, 1, 1), np.float32) * (rng.random((len(x), 1, 1, 1)) < part)
    scale = 1 + share * (deviation[other] / deviation - 1)
    restyled: Array = (x - mean) * scale + mean + share * (mean[other] - mean)
    return restyled


def _warp_time(x: Array, settings: Augmentation, rng: np.random.Generator) -> Array:
    """Shift and stretch about the middle, interpolating between frames; beyond its ends a clip repeats a frame."""
    clips, frames = x.shape[:2]
    if not settings.time_shift_frames and not settings.time_stretch:
        return x.copy()
    shift = rng.integers(-settings.time_shift_frames, settings.time_shift_frames + 1, (clips, 1))
    rate = np.exp(rng.uniform(-settings.time_stretch, settings.time_stretch, (clips, 1)))
    middle = (frames - 1) / 2
    position = np.clip((np.arange(frames) - middle) * rate + middle - shift, 0, frames - 1)
    before = position.astype(np.intp)
    after = np.minimum(before + 1, frames - 1)
    part = (position - before).astype(np.float32)[..., None, None]
    row = np.arange(clips)[:, None]
    warped: Array = x[row, before] * (1 - part) + x[row, after] * part
    return warped


def _mask(x: Array, axis: int, longest: int, statistics: Statistics, rng: np.random.Generator) -> None:
    """Replace, in place, 0 … `longest` neighbours on an axis of each clip by the mean of the training set."""
    size = x.shape[axis]
    length = rng.integers(0, min(longest, size) + 1, (len(x), 1))
    start = rng.integers(0, size - length + 1)
    place = np.arange(size)
    hidden = (place >= start) & (place < start + length)
    hidden = hidden[:, :, None, None] if axis == 1 else hidden[:, None, :, None]
    np.copyto(x, np.broadcast_to(statistics.mean, x.shape), where=hidden)
