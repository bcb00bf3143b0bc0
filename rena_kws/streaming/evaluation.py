"""A model on streams: decisions chosen on the validation split, then misses and false accepts on the test split.

    validation ─► smoothing and threshold that err least at the target of false accepts ─► test, at these ─► report
                                                                                     └─► and at all thresholds: the DET

Sound goes through the exported C, compiled for this computer; what it decides is decided here for all thresholds at
once, by the same rules (`rena_kws.decisions`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice, takewhile
from typing import Any, Protocol

from rena_kws.datasets.base import SAMPLE_RATE_HZ, Dataset
from rena_kws.decisions import DecisionSettings, keyword_indices
from rena_kws.errors import DatasetError, ModelError
from rena_kws.frontend.settings import FrontEnd
from rena_kws.streaming.rates import Heard, Rates, Scorer, Smoothed
from rena_kws.streaming.stream_sound import Clips, SegmentMaker, keyword_segments, negative_segments

SMOOTHED_RESULTS = (1, 2, 3, 4, 6, 8)
"""What is tried on validation."""

Tell = Callable[[str], None]


class Listening(Protocol):
    """What is evaluated: a `StreamBundle`, or an `EsphomeStream`."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def front_end(self) -> FrontEnd: ...

    @property
    def decisions(self) -> DecisionSettings: ...

    def deciding(self, decisions: DecisionSettings) -> Listening:
        """The same with other decisions. Raises `ModelError` for hops a result that it cannot have."""

    def scorer(self) -> Scorer:
        """What hears sounds at 16 kHz."""


@dataclass(frozen=True)
class StreamSettings:
    """What to listen to: `hours` without keywords in either split, words `snr_db` above the noise; and how many false
    accepts an hour the threshold may let through on validation. `hops_a_result` None is the manifest's. Raises
    `DatasetError` for what makes no sense."""

    hours: float = 10.0
    snr_db: float = 10.0
    false_accepts_per_hour: float = 1.0
    seed: int = 0
    hops_a_result: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.hours <= 1000:
            raise DatasetError(f"a stream lasts more than 0 and at most 1000 hours, not {self.hours}")
        if not -20 <= self.snr_db <= 60:
            raise DatasetError(f"words lie -20 to 60 dB above the noise, not {self.snr_db}")
        if not self.false_accepts_per_hour >= 0:
            raise DatasetError(f"false accepts an hour are 0 or more, not {self.false_accepts_per_hour}")


@dataclass(frozen=True)
class StreamReport:
    """`decisions` were chosen on validation; `det` are rates on test at falling thresholds. `material`: how many clips
    and voices the streams were made of, by split."""

    settings: StreamSettings
    decisions: DecisionSettings
    validation: Rates
    test: Rates
    det: tuple[Rates, ...]
    material: dict[str, dict[str, int]]
    how: str = "measured"

    def as_json(self) -> dict[str, Any]:
        curve = [
            {
                "threshold": point.threshold,
                "false_reject_rate": point.false_reject_rate,
                "false_accepts_per_hour": point.false_accepts_per_hour,
            }
            for point in self.det
        ]
        return {
            "how": self.how,
            "settings": asdict(self.settings),
            "decisions": self.decisions.as_json(),
            "validation": self.validation.as_json(),
            "test": self.test.as_json(),
            "det": curve,
            "material": self.material,
        }


def evaluate_stream(
    bundle: Listening, dataset: Dataset, settings: StreamSettings, tell: Tell = lambda text: None
) -> StreamReport:
    """Raises `ModelError` where the labels are not the dataset's, `DatasetError` where a split cannot be used."""
    if bundle.labels != dataset.labels:
        raise ModelError(
            f"the model's labels {', '.join(bundle.labels)} are not the dataset's {', '.join(dataset.labels)}"
        )
    if bundle.front_end.sample_rate_hz != SAMPLE_RATE_HZ:
        raise ModelError(f"datasets have {SAMPLE_RATE_HZ} Hz, the model listens at {bundle.front_end.sample_rate_hz}")
    if settings.hops_a_result is not None:
        bundle = bundle.deciding(replace(bundle.decisions, hops_a_result=settings.hops_a_result))
    scorer = bundle.scorer()
    heard, material = {}, {}
    for number, split in enumerate(("validation", "test")):
        clips = Clips.of(dataset, split)
        material[split] = {"keywords": len(clips.keywords), "other_clips": len(clips.others), "voices": clips.voices}
        seed = (settings.seed, number)
        tell(f"listening to the {split} split")
        heard[split] = (
            _hear(scorer, keyword_segments(clips, settings.snr_db, (*seed, 0))),
            _hear(scorer, negative_segments(clips, settings.hours, settings.snr_db, (*seed, 1))),
        )
    tell("choosing the threshold")
    decisions, validation = _choose(bundle, *heard["validation"], settings.false_accepts_per_hour)
    det = _curve(bundle, *heard["test"], decisions)
    smoothed = Smoothed(*heard["test"], keyword_indices(bundle.labels), decisions.smoothed_results)
    test = smoothed.rates(decisions, bundle.front_end.hop_ms)
    return StreamReport(settings, decisions, validation, test, tuple(det), material)


def _hear(scorer: Scorer, segments: Iterable[SegmentMaker]) -> list[Heard]:
    """Each segment by a stream of its own, side by side: networks run without Python's lock."""

    def hear(make: SegmentMaker) -> Heard:
        segment = make()
        return Heard(scorer(segment.sound), segment.said, len(segment.sound) / SAMPLE_RATE_HZ / 3600)

    workers = os.cpu_count() or 1
    waiting = iter(segments)
    out: list[Heard] = []
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(waiting, workers)):
            out += pool.map(hear, batch)
    return out


def _choose(
    bundle: Listening, keyword: Sequence[Heard], negative: Sequence[Heard], target: float
) -> tuple[DecisionSettings, Rates]:
    """The smoothing and threshold with the fewest errors on keywords, missed and stray, among those that keep the
    target, from there on upwards; where none keeps it, that which lets the least through. Of equal thresholds the
    middle one, which has the most room on both sides; of equal smoothings the shortest, which answers first."""
    found: list[tuple[DecisionSettings, Rates]] = []
    for smoothed in SMOOTHED_RESULTS:
        tried = replace(bundle.decisions, smoothed_results=smoothed)
        curve = _curve(bundle, keyword, negative, tried)
        keeping = list(takewhile(lambda rates: rates.false_accepts_per_hour <= target, curve)) or curve[:1]
        least = min(map(_errors, keeping))
        equal = [rates for rates in keeping if _errors(rates) == least]
        middle = equal[len(equal) // 2]
        found.append((replace(tried, threshold=middle.threshold), middle))
    return min(found, key=lambda one: (max(0.0, one[1].false_accepts_per_hour - target), _errors(one[1])))


def _errors(rates: Rates) -> int:
    return rates.missed + rates.stray


def _curve(
    bundle: Listening, keyword: Sequence[Heard], negative: Sequence[Heard], decisions: DecisionSettings
) -> list[Rates]:
    """Rates from the highest threshold downwards."""
    at = Smoothed(keyword, negative, keyword_indices(bundle.labels), decisions.smoothed_results)
    return [at.rates(replace(decisions, threshold=value), bundle.front_end.hop_ms) for value in _thresholds()]


def _thresholds() -> list[float]:
    """From what an output can reach to 0.05, closer together above 0.9, where networks that are sure of themselves give
    most scores."""
    return [1 - step / 1024 for step in range(4, 103, 2)] + [step / 100 for step in range(89, 4, -1)]
