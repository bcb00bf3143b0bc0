"""Sound files → one-second clips: any rate, channel count and sample width that libsndfile reads."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets.base import CLIP_SAMPLES, SAMPLE_RATE_HZ
from rena_kws.errors import UnavailableError

FloatArray = NDArray[np.float32]


class UnreadableError(Exception):
    """A file that holds no usable sound; the message is the reason. Datasets skip and count such files."""


def read(path: Path) -> FloatArray:
    """The sound of a file, float32 (samples,), mono at 16 kHz. Raises `UnreadableError`."""
    soundfile = _library("soundfile")
    if not path.exists():
        raise UnreadableError("no such file")
    name = path if sys.platform == "win32" else os.fsencode(path)  # where names may be any bytes
    try:
        samples, rate_hz = soundfile.read(name, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise UnreadableError(f"not a sound file ({str(error).splitlines()[0].rstrip('.')})") from None
    if not len(samples):
        raise UnreadableError("zero length")
    if not np.isfinite(samples).all():
        raise UnreadableError("holds samples that are not finite")
    return resample(samples.mean(axis=1), rate_hz)


def resample(audio: FloatArray, rate_hz: int) -> FloatArray:
    """`audio` of `rate_hz` at 16 kHz, band-limited on the way."""
    if rate_hz == SAMPLE_RATE_HZ:
        return audio
    out: FloatArray = _library("soxr").resample(audio, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return out


def fit(audio: FloatArray, place: Literal["centre", "start"] = "centre") -> FloatArray:
    """Exactly one second of `audio`, within ±1: zeros around a shorter one, the loudest second of a longer one."""
    if len(audio) > CLIP_SAMPLES:
        energy = np.concatenate(([0.0], np.cumsum(audio.astype(np.float64) ** 2)))
        start = int(np.argmax(energy[CLIP_SAMPLES:] - energy[:-CLIP_SAMPLES]))
        audio = audio[start : start + CLIP_SAMPLES]
    before = (CLIP_SAMPLES - len(audio)) // 2 if place == "centre" else 0
    out = np.zeros(CLIP_SAMPLES, np.float32)
    out[before : before + len(audio)] = np.clip(audio, -1, 1)
    return out


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise UnavailableError(f"reading audio needs {name} ({error}): pip install 'rena-kws[search]'") from None
