"""How often a detector is right and wrong on streams: misses, false accepts an hour, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rena_kws.decisions import DecisionSettings, Detection, Sums, detect, smooth
from rena_kws.streaming.stream_sound import Said, Sound

INTERVAL = 0.9
LATEST_S = 1.0
"""A detection counts for a word if it comes before this long after the word's end."""


class Results(NamedTuple):
    """What a network made of a sound: `scores` (results, classes), and the sample at which each result was there."""

    scores: NDArray[np.int8]
    positions: NDArray[np.int64]


Scorer = Callable[[Sound], Results]
"""Every result of a new stream that hears a sound. Threads may call it side by side."""


@dataclass(frozen=True)
class Heard:
    """The results of a segment, and what was said in it. `hours` of sound."""

    results: Results
    said: tuple[Said, ...]
    hours: float


@dataclass(frozen=True)
class Rates:
    """One operating point. `said` keywords, of which `missed` were not detected; `stray` detections beside them: of
    another word, twice, or of nothing. `false_accepts` in `hours` without keywords. Latencies in milliseconds from the
    end of a word."""

    threshold: float
    said: int
    missed: int
    stray: int
    false_accepts: int
    hours: float
    latency_ms_median: float | None
    latency_ms_90: float | None

    @property
    def false_reject_rate(self) -> float:
        return self.missed / self.said if self.said else 0.0

    @property
    def false_accepts_per_hour(self) -> float:
        return self.false_accepts / self.hours

    @property
    def interval_per_hour(self) -> tuple[float, float]:
        """What holds the rate of false accepts with probability `INTERVAL`."""
        low, high = poisson_interval(self.false_accepts)
        return low / self.hours, high / self.hours

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "false_reject_rate": self.false_reject_rate,
            "false_accepts_per_hour": self.false_accepts_per_hour,
            "false_accepts_per_hour_interval": list(self.interval_per_hour),
            "interval_probability": INTERVAL,
        }


class Smoothed:
    """Segments with keywords, and segments without, at one smoothing: rates for any threshold, quickly."""

    def __init__(self, keyword: Sequence[Heard], negative: Sequence[Heard], labels: Sequence[int], smoothed: int):
        self._keyword = [(heard, smooth(heard.results.scores, smoothed)) for heard in keyword]
        self._negative = [(heard, smooth(heard.results.scores, smoothed)) for heard in negative]
        self._labels = labels

    def rates(self, decisions: DecisionSettings, hop_ms: float) -> Rates:
        """At the threshold of `decisions`."""
        resting = decisions.resting_results(hop_ms)

        def found(sums: Sums) -> list[Detection]:
            return detect(sums, self._labels, decisions.threshold_sum, resting)

        said = missed = stray = 0
        latencies: list[float] = []
        for heard, sums in self._keyword:
            outcome = match(found(sums), heard)
            said += len(heard.said)
            missed += len(heard.said) - len(outcome.latencies_ms)
            stray += outcome.stray
            latencies += outcome.latencies_ms
        accepts = sum(len(found(sums)) for _, sums in self._negative)
        hours = sum(heard.hours for heard, _ in self._negative)
        return Rates(
            threshold=decisions.threshold,
            said=said,
            missed=missed,
            stray=stray,
            false_accepts=accepts,
            hours=hours,
            latency_ms_median=_quantile(latencies, 0.5),
            latency_ms_90=_quantile(latencies, 0.9),
        )


@dataclass(frozen=True)
class Outcome:
    """A segment's detections beside what was said: a latency for each word detected, and how many were stray."""

    latencies_ms: list[float]
    stray: int


def match(found: Iterable[Detection], heard: Heard, sample_rate_hz: int = 16_000) -> Outcome:
    """Each word is detected by the first detection of its label between its beginning and `LATEST_S` after its end."""
    open_words = list(heard.said)
    latencies, stray = [], 0
    for detection in found:
        position = int(heard.results.positions[detection.result])
        fitting = (
            word
            for word in open_words
            if word.label == detection.label and word.start < position <= word.end + LATEST_S * sample_rate_hz
        )
        word = next(fitting, None)
        if word is None:
            stray += 1
        else:
            open_words.remove(word)
            latencies.append((position - word.end) / sample_rate_hz * 1e3)
    return Outcome(latencies, stray)


def poisson_interval(count: int, probability: float = INTERVAL) -> tuple[float, float]:
    """The central interval of the mean of a Poisson variable of which `count` was seen (Garwood, Biometrika 28, 1936):
    below the lower limit so many are as improbable as so few above the upper one."""
    tail = (1 - probability) / 2
    low = _mean_where(lambda mean: 1 - _at_most(count - 1, mean), tail) if count else 0.0
    high = _mean_where(lambda mean: -_at_most(count, mean), -tail)
    return low, high


def _at_most(count: int, mean: float) -> float:
    """P(X <= count) of a Poisson variable."""
    if mean == 0:
        return 1.0
    terms = (number * math.log(mean) - mean - math.lgamma(number + 1) for number in range(count + 1))
    return math.fsum(map(math.exp, terms))


def _mean_where(rising: Any, value: float) -> float:
    """The mean at which `rising` reaches `value`, by halving."""
    low, high = 0.0, 1.0
    while rising(high) < value:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return high


def _quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None
