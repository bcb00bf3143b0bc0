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

NUMBERS_A_FEATURE = 25.6


def compute(settings: FrontEnd, audio: NDArray[Any]) -> NDArray[np.float32]:
    """The features of `audio` within ±1, float (n, settings.clip_samples) → float32 (n, *settings.shape).

    A feature is the front end's 16-bit number over 25.6, which comes to 0 (silence) to about 26. Raises
    `UnavailableError` without `pymicro-features`.
    """
    samples = np.clip(np.rint(np.asarray(audio) * 32767), -32768, 32767).astype(np.int16)
    out = np.empty((len(samples), *settings.shape), np.float32)
    for features, clip in zip(out, samples, strict=True):
        features[:, :, 0] = frames(clip, settings.hop_samples)
    return out


def frames(samples: NDArray[np.int16], hop_samples: int) -> NDArray[np.float32]:
    """What a new front end makes of a sound of any length, (frames, bands). One call makes a frame at most."""
    front_end = _new_front_end()
    sound = samples.astype("<i2", copy=False)
    made = []
    for start in range(0, len(sound) - hop_samples + 1, hop_samples):
        if frame := front_end.process_samples(sound[start : start + hop_samples].tobytes()).features:
            made.append(np.array(frame, np.float32))
    return np.array(made, np.float32)


def _new_front_end() -> Any:
    try:
        from pymicro_features import MicroFrontend
    except ImportError:
        raise UnavailableError("the micro_frontend needs pymicro-features: pip install 'rena-kws[esphome]'") from None
    return MicroFrontend()
