"""Clips of a split → long streams of sound, the same for the same seed.

    keywords   every keyword clip once, one to three seconds apart, in noise: what may be missed
    negatives  hours of noise, and in three segments of four other words too: what may be taken for a keyword

Noise is white, pink or brown above 50 Hz, a segment each, and its level wanders between -60 and -30 dB of full scale;
every clip lies `snr_db` above the noise around it (levels as `noise.level` has them). Streams come in segments of
minutes, so that hours need no memory and segments can be heard side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import noise
from rena_kws.datasets.base import SAMPLE_RATE_HZ, Clip, Dataset
from rena_kws.decisions import keyword_indices

Sound = NDArray[np.int16]
FloatArray = NDArray[np.float32]

SEGMENT_S = 300
KEYWORDS_A_SEGMENT = 60
MOST_CLIPS = 4_000
"""Of a split: more take memory, and tell little more."""

_NOISE_DB = (-60.0, -30.0)
_KNOT_S = 4.0  # Between two levels of the noise.
_FADE_SAMPLES = SAMPLE_RATE_HZ // 200
_ENERGY_OUTSIDE = 0.02  # Share of a clip's energy before its word begins, and after it ends.


@dataclass(frozen=True)
class Said:
    """A keyword in a stream: its label's index, and the samples between which it sounds."""

    label: int
    start: int
    end: int


@dataclass(frozen=True)
class Segment:
    """A piece of a stream, at 16 kHz."""

    sound: Sound
    said: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Clips:
    """The clips of a split that streams are made of: those of keywords by label, and all others."""

    keywords: tuple[tuple[int, FloatArray], ...]
    others: tuple[FloatArray, ...]
    voices: int

    @classmethod
    def of(cls, dataset: Dataset, split: str) -> Clips:
        """At most `MOST_CLIPS` of the split, evenly spread. Raises `DatasetError` as the dataset does."""
        every = -(-dataset.count(split) // MOST_CLIPS)
        words = set(keyword_indices(dataset.labels))
        keywords: list[tuple[int, FloatArray]] = []
        others: list[FloatArray] = []
        voices: set[str] = set()
        for clip in islice(dataset.split(split), 0, None, every):
            voices |= {clip.speaker} - {""}
            cls._sort_in(clip, dataset.labels.index(clip.label), words, keywords, others)
        return cls(tuple(keywords), tuple(others), len(voices))

    @staticmethod
    def _sort_in(
        clip: Clip, label: int, words: set[int], keywords: list[tuple[int, FloatArray]], others: list[FloatArray]
    ) -> None:
        if not clip.audio.any():  # Digital silence has no level to set above the noise.
            return
        if label in words:
            keywords.append((label, clip.audio))
        else:
            others.append(clip.audio)


SegmentMaker = Callable[[], Segment]


def keyword_segments(clips: Clips, snr_db: float, seed: Sequence[int]) -> Iterator[SegmentMaker]:
    """Every keyword clip once, in random order; a segment is made when it is called for."""
    order = np.random.default_rng(seed).permutation(len(clips.keywords))
    for number, start in enumerate(range(0, len(order), KEYWORDS_A_SEGMENT)):
        chosen = [clips.keywords[index] for index in order[start : start + KEYWORDS_A_SEGMENT]]

        def make(chosen: list[tuple[int, FloatArray]] = chosen, number: int = number) -> Segment:
            rng = np.random.default_rng((*seed, number))
            return _segment(chosen, (1.0, 3.0), 0, snr_db, rng)

        yield make


def negative_segments(clips: Clips, hours: float, snr_db: float, seed: Sequence[int]) -> Iterator[SegmentMaker]:
    """`hours` without a keyword, to the next whole segment. Other words come up again and again, never alike: in other
    noise, at another loudness."""
    for number in range(max(1, round(hours * 3600 / SEGMENT_S))):

        def make(number: int = number) -> Segment:
            rng = np.random.default_rng((*seed, number))
            count = 2 * SEGMENT_S if clips.others and number % 4 else 0  # More than fit; the rest is left out.
            chosen = [(-1, clips.others[index]) for index in rng.integers(len(clips.others) or 1, size=count)]
            return _segment(chosen, (0.3, 3.0), SEGMENT_S * SAMPLE_RATE_HZ, snr_db, rng)

        yield make


def _segment(
    clips: Sequence[tuple[int, FloatArray]],
    gaps_s: tuple[float, float],
    samples: int,
    snr_db: float,
    rng: np.random.Generator,
) -> Segment:
    """Clips one after the other, in noise: as many as `samples` hold, or, where that is 0, as many samples as it
    takes. A label of -1 is no keyword."""
    lengths = np.array([len(clip) for _, clip in clips], int)
    gaps = (rng.uniform(*gaps_s, len(clips)) * SAMPLE_RATE_HZ).astype(int)
    starts = SAMPLE_RATE_HZ + np.cumsum(gaps + lengths) - lengths  # the first result takes a second of sound
    samples = samples or int(starts[-1] + lengths[-1]) + 3 * SAMPLE_RATE_HZ
    loudness = _loudness(samples, rng)
    mixed = noise.coloured(rng, float(rng.choice(noise.EXPONENTS)), samples) * loudness
    said = []
    for start, (label, clip) in zip(starts.tolist(), clips, strict=True):
        end = start + len(clip)
        if end > samples:
            break
        above = np.float32(10 ** (snr_db / 20) * loudness[start:end].mean() / noise.level(clip[None])[0, 0])
        mixed[start:end] += _faded(clip) * above
        if label >= 0:
            first, last = _sounding(clip)
            said.append(Said(label, start + first, start + last))
    return Segment(np.clip(np.rint(mixed * 32768), -32768, 32767).astype(np.int16), tuple(said))


def _loudness(samples: int, rng: np.random.Generator) -> FloatArray:
    """The noise's root mean square at every sample, of full scale."""
    knots = rng.uniform(*_NOISE_DB, int(samples / SAMPLE_RATE_HZ / _KNOT_S) + 2)
    at = np.arange(samples, dtype=np.float32) / np.float32(_KNOT_S * SAMPLE_RATE_HZ)
    out: FloatArray = (10 ** (np.interp(at, np.arange(len(knots)), knots) / 20)).astype(np.float32)
    return out


def _faded(clip: FloatArray) -> FloatArray:
    """Without the click that the cut of a recording makes."""
    ramp = np.linspace(0, 1, _FADE_SAMPLES, dtype=np.float32)
    out = clip.copy()
    out[:_FADE_SAMPLES] *= ramp
    out[-_FADE_SAMPLES:] *= ramp[::-1]
    return out


def _sounding(clip: FloatArray) -> tuple[int, int]:
    """Where a word begins and ends in its clip, by its energy."""
    energy = np.cumsum(clip.astype(np.float64) ** 2)
    share = energy / energy[-1]
    first, last = np.searchsorted(share, (_ENERGY_OUTSIDE, 1 - _ENERGY_OUTSIDE))
    return int(first), int(last)
