"""Clips → features of TensorFlow Lite Micro's audio front end, through the package `pymicro-features`.

It is made for streams: noise that lasts is subtracted and the gain follows the loudness (per-channel energy
normalisation, PCAN), so a frame depends on all sound before it. Each clip starts a front end of its own, which knows
nothing yet, as microWakeWord does for training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import UnavailableError
from rena_kws.frontend.settings import FrontEnd


def compute(settings: FrontEnd, audio: NDArray[Any]) -> NDArray[np.float32]:
    """The features of `audio` within ±1, float (n, settings.clip_samples) → float32 (n, *settings.shape).

    A feature is the front end's 16-bit number over 25.6, which comes to 0 (silence) to about 26. Raises
    `UnavailableError` without `pymicro-features`.
    """
    samples = np.clip(np.rint(np.asarray(audio) * 32767), -32768, 32767).astype("<i2")
    out = np.empty((len(samples), *settings.shape), np.float32)
    for features, clip in zip(out, samples, strict=True):
        features[:, :, 0] = _of_clip(clip, settings.hop_samples)
    return out


def _of_clip(samples: NDArray[np.int16], hop_samples: int) -> list[list[float]]:
    """Hop by hop: one call makes a frame at most."""
    front_end = _new_front_end()
    frames = []
    for start in range(0, len(samples), hop_samples):
        if made := front_end.process_samples(samples[start : start + hop_samples].tobytes()).features:
            frames.append(made)
    return frames


def _new_front_end() -> Any:
    try:
        from pymicro_features import MicroFrontend
    except ImportError:
        raise UnavailableError("the micro_frontend needs pymicro-features: pip install 'rena-kws[esphome]'") from None
    return MicroFrontend()
