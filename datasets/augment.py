"""Other voices, rooms and microphones out of the clips there are, at the level of the sound.

Speed is what counts for speakers a network never heard: played faster or slower, a voice has another pitch, other
formants and another tempo, as a person with another vocal tract has. The strengths were chosen on validation speakers
of Free Spoken Digits (mean accuracy of a kernel classifier over five folds; weaker and stronger ones were no better).

Speech of eSpeak NG differs from people's in more than the voice: it never mumbles, swallows or trails off. A gain that
wanders within the word and reverberation stand for that: trained on synthetic speech alone, a network tells recorded
digits better by 3 to 5 points with them (chosen on Free Spoken Digits, all speakers in view).

Loudness as a whole is left alone because most front ends divide it out (for those that do not, loudness.py varies it);
the sign is not, since they divide by the signed maximum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import noise
from rena_kws.datasets.base import CLIP_SAMPLES, SAMPLE_RATE_HZ

FloatArray = NDArray[np.float32]

TALKERS = 5
"""At once, in babble."""


@dataclass(frozen=True)
class Augmentation:
    """How strongly to change a clip; every clip draws its own values, uniformly."""

    gain_db: float = 10.0  # Standard deviation of the wandering gain, at its strongest.
    gain_knot_ms: float = 100.0  # Between two of its values.
    reverberant: float = 0.5  # Share of clips in a room.
    longest_decay_ms: float = 500.0  # Time in which a room's echoes fall by 60 dB.
    shift_ms: float = 50.0
    slowest: float = 0.85
    fastest: float = 1.2
    colour: float = 0.25  # Standard deviation of the taps of a random filter.
    taps: int = 3  # of that filter, after its first, which is 1.
    noisy: float = 0.8  # Share of clips that noise is added to.
    babble: float = 0.25  # Share of those whose noise is other people talking.
    least_snr_db: float = 5.0
    most_snr_db: float = 30.0
    narrow: float = 0.1  # Share of clips through a telephone or a small microphone.
    clipped: float = 0.1  # Share of clips too loud for their microphone.


def augment(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One changed copy of each clip, float32 (n, 16000) → float32 (n, 16000). The same `rng` state, the same copies."""
    changed = _add_room(settings, _wander(settings, audio, rng), rng)
    changed = _filter(settings, _warp(settings, changed, rng), rng)
    changed *= rng.choice(np.array([-1, 1], np.float32), size=(len(audio), 1))
    return _clip(settings, _narrow(settings, _add_noise(settings, changed, rng), rng), rng)


def _wander(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Each clip at a gain that goes from one random value in dB to the next, by a strength of its own."""
    n, samples = audio.shape
    knot_samples = settings.gain_knot_ms * SAMPLE_RATE_HZ / 1000
    knots = int(samples / knot_samples) + 3
    strengths_db = rng.uniform(0, settings.gain_db, size=(n, 1))
    gains_db: FloatArray = (strengths_db * rng.normal(size=(n, knots))).astype(np.float32)
    offsets = rng.random(size=(n,))
    at = np.arange(samples) / knot_samples
    out = np.empty_like(audio)
    for row in range(n):
        out[row] = audio[row] * 10 ** (np.interp(at + offsets[row], np.arange(knots), gains_db[row]) / 20)
    return out


def _add_room(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Some clips with echoes: noise that decays exponentially, up to 10 ms late, up to 15 dB below the sound itself."""
    from scipy.signal import fftconvolve  # only whoever trains has it

    out = audio.copy()
    for row in np.flatnonzero(rng.random(len(audio)) < settings.reverberant):
        decay = round(rng.uniform(0.2, 1) * settings.longest_decay_ms * SAMPLE_RATE_HZ / 1000)
        late = int(rng.uniform(0, 0.01) * SAMPLE_RATE_HZ)
        echoes = rng.normal(size=decay) * 10 ** (-3 * np.arange(decay) / decay)
        echoes *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt((echoes**2).sum())
        response = np.concatenate([[1.0], np.zeros(late), echoes]).astype(np.float32)
        out[row] = fftconvolve(audio[row], response)[: audio.shape[1]]
    return out


def _warp(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Each clip at its own speed (about its middle) and time shift, by linear interpolation.

    That damps 4 kHz, the end of the front end's range, by 2 dB at most, less than the random filter does.
    """
    n, samples = audio.shape
    speeds = np.exp(rng.uniform(math.log(settings.slowest), math.log(settings.fastest), size=(n,))).astype(np.float32)
    shifts = rng.uniform(-1, 1, size=(n,)).astype(np.float32) * np.float32(settings.shift_ms * SAMPLE_RATE_HZ / 1000)
    middle = (samples - 1) / 2
    from_middle = np.arange(samples, dtype=np.float32) - np.float32(middle)
    padded = np.zeros(samples + 3, np.float32)  # Outside the clip there is silence.
    out = np.empty_like(audio)
    for row in range(n):  # One clip at a time stays in the processor's cache: three times as fast as all at once.
        padded[1:-2] = audio[row]
        at = np.clip(from_middle * speeds[row] + np.float32(middle + 1) + shifts[row], 0, samples + 1)
        left = at.astype(np.intp)
        before, after = padded.take(left), padded.take(left + 1)
        out[row] = before + (after - before) * (at - left).astype(np.float32)
    return out


def _filter(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Each clip through its own short random filter, as another microphone or room would colour it."""
    out = audio.copy()
    taps = rng.normal(0, settings.colour, (settings.taps, len(audio), 1)).astype(np.float32)
    for delay, tap in enumerate(taps, start=1):
        out[:, delay:] += tap * audio[:, :-delay]
    return out


def _add_noise(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """White, pink or brown noise, or babble, under most clips, at a random signal-to-noise ratio. Silence stays
    silent."""
    bank = np.stack([noise.coloured(rng, exponent, 2 * CLIP_SAMPLES) for exponent in noise.EXPONENTS])
    windows = np.lib.stride_tricks.sliding_window_view(bank, audio.shape[1], axis=1)
    n = len(audio)
    picked = windows[rng.integers(len(bank), size=n), rng.integers(windows.shape[1], size=n)]
    for row in np.flatnonzero(rng.random(n) < settings.babble):
        picked[row] = _babble(audio, rng)
    snr_db = rng.uniform(settings.least_snr_db, settings.most_snr_db, (n, 1))
    amount = np.where(rng.random((n, 1)) < settings.noisy, 10 ** (-snr_db / 20), 0)
    out: FloatArray = audio + picked * (noise.level(audio) * amount).astype(np.float32)
    return out


def _babble(audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Some of the clips at once, each from anywhere on and round, (samples,), at a level of 1."""
    talkers = rng.integers(len(audio), size=TALKERS)
    voices = [np.roll(audio[row], int(rng.integers(audio.shape[1]))) for row in talkers]
    scales = noise.level(np.stack(voices))
    together = np.sum([voice / max(float(scale), 1e-9) for voice, scale in zip(voices, scales[:, 0], strict=True)], 0)
    out: FloatArray = together / np.float32(max(float(noise.level(together[None])[0, 0]), 1e-9))
    return out


def _narrow(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Some clips without what lies below 100 to 400 Hz and above 2.5 to 4 kHz: a telephone has 300 to 3400 Hz."""
    out = audio.copy()
    hz = np.fft.rfftfreq(audio.shape[1], 1 / SAMPLE_RATE_HZ)
    for row in np.flatnonzero(rng.random(len(audio)) < settings.narrow):
        low, high = rng.uniform(100, 400), rng.uniform(2500, 4000)
        gain = 1 / np.sqrt((1 + (low / np.maximum(hz, 1)) ** 4) * (1 + (hz / high) ** 8))  # Butterworth, 2nd and 4th
        out[row] = np.fft.irfft(np.fft.rfft(audio[row]) * gain, audio.shape[1])
    return out


def _clip(settings: Augmentation, audio: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Some clips cut off at 0.2 to 0.9 of their peak."""
    peak = np.abs(audio).max(axis=1, keepdims=True)
    share = np.where(rng.random((len(audio), 1)) < settings.clipped, rng.uniform(0.2, 0.9, (len(audio), 1)), 1)
    ends = (peak * share).astype(np.float32)
    return np.clip(audio, -ends, ends)
