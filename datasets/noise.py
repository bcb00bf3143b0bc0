"""Coloured noise: what rooms, fans and streets add to a recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets.base import SAMPLE_RATE_HZ

FloatArray = NDArray[np.float32]

EXPONENTS = (0.0, 1.0, 2.0)  # Power falls with 1 / frequency ** exponent: white, pink, brown.


LOWEST_HZ = 50
"""What small microphones let through. Without an end the slowest waves of brown noise, which nobody hears, would hold
most of its power, and a signal-to-noise ratio would say little."""


def coloured(rng: np.random.Generator, exponent: float, samples: int) -> FloatArray:
    """Noise of power 1 / f ** exponent from 50 Hz on and root mean square 1, float32 (samples,) at 16 kHz."""
    spectrum = rng.normal(size=samples // 2 + 1) + 1j * rng.normal(size=samples // 2 + 1)
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** (-exponent / 2)
    spectrum[: max(1, round(LOWEST_HZ * samples / SAMPLE_RATE_HZ))] = 0
    sound = np.fft.irfft(spectrum, samples)
    out: FloatArray = (sound / np.sqrt(np.mean(sound**2))).astype(np.float32)
    return out


def level(audio: FloatArray) -> FloatArray:
    """Root mean square of the parts of each clip that are not silent, (n, samples) → (n, 1); 0 for a silent clip.

    A short word in a long clip has the level of the word: a signal-to-noise ratio then means the same for both.
    """
    sounding = np.count_nonzero(np.abs(audio) > 0.02 * np.abs(audio).max(axis=1, keepdims=True), axis=1)
    power = np.einsum("ns,ns->n", audio, audio) / np.maximum(sounding, 1)
    out: FloatArray = np.sqrt(power)[:, None].astype(np.float32)
    return out
