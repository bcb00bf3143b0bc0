"""How high a voice is."""

from __future__ import annotations

import numpy as np


def pitch_hz(sound: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    """The fundamental frequency at 16 kHz, from the peak of the autocorrelation between 60 and 400 Hz."""
    middle = sound[len(sound) // 2 - 1_600 : len(sound) // 2 + 1_600]
    correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    return 16_000 / (40 + int(np.argmax(correlation[40:267])))
