"""Near and far voices: clips at other levels, for a front end that does not divide loudness out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

LEAST_DB, MOST_DB = -20.0, 6.0
"""Of the gain. Sound pressure falls with distance: a voice ten times as far away is 20 dB quieter."""


def vary_loudness(audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Each clip by its own gain, uniform in decibels, that does not take it beyond full scale; float32 (n, samples)."""
    gain = 10 ** (rng.uniform(LEAST_DB, MOST_DB, (len(audio), 1)) / 20)
    loudest = np.abs(audio).max(axis=1, keepdims=True)
    out: FloatArray = audio * np.minimum(gain, 1 / np.maximum(loudest, 1e-6)).astype(np.float32)
    return out
