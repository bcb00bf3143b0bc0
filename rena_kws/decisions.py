"""From a network's scores, result after result, to detections: the mean of the last few, a threshold, a time of rest,
and no second detection of a word while it lasts.

The exported C (`firmware/stream/kws_decisions.c`) decides the same, bit by bit: both calculate in integers, with the
numbers that `DecisionSettings` gives. Smoothing and threshold are those of Chen, Parada and Heigold, Small-footprint
keyword spotting using deep neural networks, ICASSP 2014 (recalled), per keyword instead of over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import ModelError

STEPS = 256  # Of a probability in a network's output: the int8 softmax of TFLite.

Sums = NDArray[np.int32]


@dataclass(frozen=True)
class DecisionSettings:
    """How a stream is decided. Raises `ModelError` for what makes no sense.

    The network runs once in `hops_a_result` hops of the front end. A keyword is detected where the mean of its
    probabilities over the last `smoothed_results` results reaches `threshold`, above 0 and at most 1, at least
    `refractory_ms` after the detection before; where that was of the same keyword, the mean must have fallen below the
    threshold since. An int8 output reaches 255/256 at most, so a threshold above that counts as that.
    """

    hops_a_result: int = 4
    smoothed_results: int = 4
    threshold: float = 0.8
    refractory_ms: int = 1_000

    def __post_init__(self) -> None:
        for name, most in (("hops_a_result", 1_000), ("smoothed_results", 1_000), ("refractory_ms", 600_000)):
            value, least = getattr(self, name), int(name != "refractory_ms")
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ModelError(f"a decision's {name} is a whole number from {least} to {most}, not {value!r}")
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, (int, float)):
            raise ModelError(f"a decision's threshold is a number, not {self.threshold!r}")
        if not 0 < self.threshold <= 1:
            raise ModelError(f"a decision's threshold lies above 0 and is at most 1, not {self.threshold!r}")

    @property
    def full_score(self) -> int:
        """What sums count to at probability 1."""
        return STEPS * self.smoothed_results

    @property
    def threshold_sum(self) -> int:
        """The least sum that is a detection."""
        return min(math.ceil(self.threshold * self.full_score), (STEPS - 1) * self.smoothed_results)

    def resting_results(self, hop_ms: float) -> int:
        """How many results after a detection are not looked at."""
        return max(0, math.ceil(self.refractory_ms / (hop_ms * self.hops_a_result)) - 1)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DecisionSettings:
        """The inverse of `as_json`; what is left out has its default. Raises `ModelError`."""
        known = [item.name for item in fields(cls)]
        for name in data:
            if name not in known:
                raise ModelError(f"unknown decision setting {name!r} (known: {', '.join(known)})")
        return cls(**data)


@dataclass(frozen=True)
class Detection:
    """A keyword: the number of the result that decided, the label's index, its sum over the smoothed results."""

    result: int
    label: int
    score: int


def keyword_indices(labels: Sequence[str]) -> list[int]:
    """Which labels are words to detect; `_silence_`, `_unknown_` and their like are not."""
    return [index for index, label in enumerate(labels) if not (label.startswith("_") and label.endswith("_"))]


def smooth(scores: NDArray[np.int8], smoothed_results: int) -> Sums:
    """Sums of the last `smoothed_results` scores, each plus 128, (results, classes); before the first there is none."""
    total = np.cumsum(scores.astype(np.int32) + 128, axis=0, dtype=np.int32)
    total[smoothed_results:] -= total[:-smoothed_results].copy()
    return total


def detect(sums: Sums, keywords: Sequence[int], threshold_sum: int, resting_results: int) -> list[Detection]:
    """The detections in a stream of `smooth`ed scores, in order. Of equal sums the first keyword's counts."""
    of_keywords = sums[:, list(keywords)]
    above = of_keywords >= threshold_sum
    candidates = np.flatnonzero(above.any(axis=1))
    found: list[Detection] = []
    at, lasting, ends = 0, -1, 0  # `lasting`: the keyword detected last, which lasts until the result `ends`
    while at < len(candidates):
        result = int(candidates[at])
        row = of_keywords[result]
        best = int(np.where(np.arange(len(row)) == lasting, -1, row).argmax()) if result < ends else int(row.argmax())
        if row[best] < threshold_sum or (best == lasting and result < ends):
            at = _next_other(above, candidates, at, lasting, ends)
            continue
        found.append(Detection(result, keywords[best], int(row[best])))
        lasting, ends = best, _end(above[:, best], result)
        at = int(np.searchsorted(candidates, result + resting_results + 1))
    return found


def _next_other(above: NDArray[np.bool_], candidates: NDArray[np.intp], at: int, lasting: int, ends: int) -> int:
    """The next candidate at which another keyword than the lasting one is above the threshold, or it has ended."""
    last = int(np.searchsorted(candidates, ends))
    others = above[candidates[at:last]].sum(axis=1) > above[candidates[at:last], lasting]
    return at + int(others.argmax()) if others.any() else last


def _end(above: NDArray[np.bool_], result: int) -> int:
    """The first result after `result` that is not above the threshold; the number of results where there is none."""
    step = 64
    for start in range(result + 1, len(above), step):
        block = above[start : start + step]
        if not block.all():
            return start + int(block.argmin())
    return len(above)
