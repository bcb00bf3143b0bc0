"""Clips → features, many at a time, in plain numpy.

    audio ─ divide by maximum* ─ frames × Hann ─ |FFT| ─ mel filters ─ ln(x + floor) ┬─► log_mel
                                                                                    └─ DCT-II / √(2·bands) ─► mfcc

This is MLPerf Tiny's keyword-spotting front end (mlcommons/tiny, get_dataset.py; formulas of tf.signal; recalled), and
the tests hold it against tf.signal and librosa. Two details differ from what most libraries do by default: the
spectrum is the magnitude, not the power, and the mel triangles are straight on the mel axis, not on the Hz axis.

* Where `FrontEnd.loudness` is "none" a clip is taken as loud as it is.

TensorFlow Lite Micro's front end is another one: `micro_frontend.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import DatasetError
from rena_kws.frontend import micro_frontend
from rena_kws.frontend.settings import FrontEnd

_BATCH = 16  # Clips at a time: their frames (16 · 49 · 480 floats) stay in the processor's cache.

FloatArray = NDArray[np.float32]


def compute(settings: FrontEnd, audio: NDArray[Any]) -> FloatArray:
    """The features of `audio`, float of shape (n, settings.clip_samples) → float32 (n, *settings.shape).

    With the loudness "clip_peak" a clip is divided by its maximum first. One without a positive sample (silence) is
    left as it is, so every band of it is ln(log_floor). With "none" every clip is left as it is: full scale is 1.
    Raises `UnavailableError` for the micro frontend where that is not installed.
    """
    if audio.ndim != 2 or audio.shape[1] != settings.clip_samples:
        raise DatasetError(f"audio must have the shape (clips, {settings.clip_samples}), not {audio.shape}")
    if settings.kind == "micro_frontend":
        return micro_frontend.compute(settings, audio)
    out = np.empty((len(audio), *settings.shape), np.float32)
    for start in range(0, len(audio), _BATCH):
        out[start : start + _BATCH, :, :, 0] = _compute_batch(settings, audio[start : start + _BATCH])
    return out


def _compute_batch(settings: FrontEnd, audio: NDArray[Any]) -> FloatArray:
    peak = audio.max(axis=1, keepdims=True) if settings.loudness == "clip_peak" else np.zeros((len(audio), 1))
    scaled = (audio / np.where(peak > 0, peak, 1)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(scaled, settings.window_samples, axis=1)
    frames = frames[:, :: settings.hop_samples] * hann_window(settings)
    weights = mel_weights(settings)
    bins = int(np.flatnonzero(weights.any(axis=1))[-1]) + 1  # Bins above high_hz weigh nothing.
    spectrum = np.fft.rfft(frames, settings.fft_size, axis=2)[:, :, :bins]
    magnitude = np.abs(spectrum).astype(np.float32)  # numpy 1 computes the FFT in double precision
    log_mel: FloatArray = np.log(magnitude @ weights[:bins] + np.float32(settings.log_floor))
    return log_mel if settings.kind == "log_mel" else log_mel @ dct_matrix(settings)


@lru_cache(maxsize=8)
def hann_window(settings: FrontEnd) -> FloatArray:
    """The periodic Hann window, float32 (window_samples,)."""
    n = settings.window_samples
    return _frozen(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n))


@lru_cache(maxsize=8)
def mel_weights(settings: FrontEnd) -> FloatArray:
    """The mel filters, float32 (fft_size / 2 + 1, mel_bands): triangles of height 1, equally spaced in mel.

    The bin of 0 Hz belongs to no band, as in HTK.
    """
    bins_mel = _bins_mel(settings)
    edges = np.linspace(_mel(settings.low_hz), _mel(settings.high_hz), settings.mel_bands + 2)
    rise = (bins_mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - bins_mel[:, None]) / np.diff(edges)[1:]
    weights = np.maximum(0, np.minimum(rise, fall))
    weights[0] = 0
    return _frozen(weights)


def band_position(settings: FrontEnd) -> NDArray[np.float64]:
    """Where each bin of the spectrum lies among the bands' edges, (fft_size / 2 + 1,).

    2.25 is a quarter of the way from the centre of band 1, which is the third edge, to that of band 2. What is at most
    0, or at least mel_bands + 1, lies in no band, and neither does the bin of 0 Hz.
    """
    low, high = _mel(settings.low_hz), _mel(settings.high_hz)
    position: NDArray[np.float64] = (_bins_mel(settings) - low) / (high - low) * (settings.mel_bands + 1)
    position[0] = 0
    return position


@lru_cache(maxsize=8)
def dct_matrix(settings: FrontEnd) -> FloatArray:
    """The DCT-II, float32 (mel_bands, coefficients): 2 · cos(π/bands · (band + ½) · k) / √(2 · bands)."""
    bands = settings.mel_bands
    angles = np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(settings.coefficients))
    return _frozen(2 * np.cos(angles) / np.sqrt(2 * bands))


def _bins_mel(settings: FrontEnd) -> Any:
    return _mel(np.arange(settings.fft_size // 2 + 1) * settings.sample_rate_hz / settings.fft_size)


def _mel(hz: Any) -> Any:
    """HTK's mel scale."""
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


def _frozen(table: NDArray[np.float64]) -> FloatArray:
    """As float32, and read-only because the caches hand the same array to everyone."""
    out = table.astype(np.float32)
    out.flags.writeable = False
    return out
