"""What a front end is: a handful of numbers that fix how a clip becomes the input of a network.

The defaults are those of MLPerf Tiny's keyword spotting: one second at 16 kHz becomes 49 frames of 10 MFCCs.
A manifest stores `as_json`, a feature cache is keyed by `fingerprint`. `MICRO_FRONTEND` is another front end, that of
TensorFlow Lite Micro, which ESPHome listens with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from rena_kws.errors import DatasetError

Kind = Literal["mfcc", "log_mel", "micro_frontend"]
Loudness = Literal["clip_peak", "none"]

_REVISION = 1  # Of the computation in features.py: raise it where the same settings start to give other numbers.

_MICRO_FRONTEND: Mapping[str, Any] = {
    "sample_rate_hz": 16_000,
    "window_ms": 30,
    "hop_ms": 10,
    "fft_size": 512,
    "mel_bands": 40,
    "low_hz": 125.0,
    "high_hz": 7_500.0,
    "loudness": "none",
}
"""What is built into the micro frontend (ESPHome, components/micro_wake_word/preprocessor_settings.h)."""


@dataclass(frozen=True)
class FrontEnd:
    """The settings of a front end. Raises `DatasetError` where they contradict each other.

    `kind` "mfcc" gives `coefficients` values a frame, "log_mel" gives `mel_bands`. `log_floor` is added to a band's
    magnitude before the logarithm, in units of a clip scaled to a peak of 1; 1e-6 is MLPerf Tiny's. "micro_frontend"
    gives `mel_bands` and has no settings of its own but `clip_ms`: it is `MICRO_FRONTEND`, with clips of any length.

    `loudness` "clip_peak" divides a clip by its largest sample, as MLPerf Tiny does: every frame depends on all of the
    clip. With "none" full scale stays 1 and a frame depends on its own samples alone, so that a stream makes its
    features once; the network must then have learnt that words are loud and quiet.
    """

    kind: Kind = "mfcc"
    sample_rate_hz: int = 16_000
    window_ms: int = 30
    hop_ms: int = 20
    fft_size: int = 512
    mel_bands: int = 40
    low_hz: float = 20.0
    high_hz: float = 4_000.0
    coefficients: int = 10
    clip_ms: int = 1_000
    log_floor: float = 1e-6
    loudness: Loudness = "clip_peak"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DatasetError(f"a front end's kind is one of {', '.join(get_args(Kind))}, not {self.kind!r}")
        if self.loudness not in get_args(Loudness):
            raise DatasetError(f"a front end's loudness is {' or '.join(get_args(Loudness))}, not {self.loudness!r}")
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in ("kind", "loudness") and (
                isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0
            ):
                raise DatasetError(f"a front end's {item.name} must be a positive number, not {value!r}")
            if item.type == "int" and not isinstance(value, int):
                raise DatasetError(f"a front end's {item.name} must be a whole number, not {value!r}")
        for name in ("window_ms", "hop_ms", "clip_ms"):
            if getattr(self, name) * self.sample_rate_hz % 1000:
                raise DatasetError(
                    f"a front end's {name} must be a whole number of samples: {getattr(self, name)} ms is not "
                    f"at {self.sample_rate_hz} Hz"
                )
        self._check_order("window_ms", self.window_ms, "clip_ms", self.clip_ms)
        self._check_order("window in samples", self.window_samples, "fft_size", self.fft_size)
        self._check_order("high_hz", self.high_hz, "half the sample rate", self.sample_rate_hz / 2)
        self._check_order("coefficients", self.coefficients, "mel_bands", self.mel_bands)
        if self.low_hz >= self.high_hz:
            raise DatasetError(f"a front end's low_hz must lie below high_hz: {self.low_hz} and {self.high_hz}")
        if self.kind == "micro_frontend":
            self._check_micro_frontend()

    def _check_micro_frontend(self) -> None:
        for name, value in _MICRO_FRONTEND.items():
            if getattr(self, name) != value:
                raise DatasetError(f"{name} of the micro_frontend is always {value}, not {getattr(self, name)!r}")

    @staticmethod
    def _check_order(name: str, value: float, limit_name: str, limit: float) -> None:
        if value > limit:
            raise DatasetError(f"a front end's {name} must not exceed its {limit_name}: {value} > {limit}")

    @property
    def clip_samples(self) -> int:
        return self.clip_ms * self.sample_rate_hz // 1000

    @property
    def window_samples(self) -> int:
        return self.window_ms * self.sample_rate_hz // 1000

    @property
    def hop_samples(self) -> int:
        return self.hop_ms * self.sample_rate_hz // 1000

    @property
    def frames(self) -> int:
        """Frames of a clip; only whole windows count."""
        return 1 + (self.clip_samples - self.window_samples) // self.hop_samples

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, values a frame, 1): the input of a network, without the batch."""
        return self.frames, self.coefficients if self.kind == "mfcc" else self.mel_bands, 1

    def as_json(self) -> dict[str, Any]:
        """The settings as plain JSON types. Left out, the loudness is "clip_peak"."""
        settings = asdict(self)
        if self.loudness == "clip_peak":
            del settings["loudness"]
        return settings

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FrontEnd:
        """The inverse of `as_json`; what is left out has its default. An unknown setting is a `DatasetError`."""
        known = [item.name for item in fields(cls)]
        for name in data:
            if name not in known:
                raise DatasetError(f"unknown front end setting {name!r} (known: {', '.join(known)})")
        return cls(**data)

    @property
    def fingerprint(self) -> str:
        """16 hex digits, the same on every machine, different where the features are."""
        settings = {name: float(v) if name.endswith(("_hz", "_floor")) else v for name, v in self.as_json().items()}
        text = json.dumps([_REVISION, settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


UNSEEN_VOICES = FrontEnd(log_floor=0.1)
"""What a search uses. A loud vowel puts about 100 into a band, so whatever lies 60 dB below is floor: the hiss of each
speaker's microphone, and the digital silence around a short recording, which tells clips apart by their cut. Chosen on
synthetic voices that were not trained on (the ten digits): anything from 0.03 to 1 is better there than MLPerf Tiny's
1e-6, by one to four points in a hundred."""

UNSEEN_VOICES_IN_STREAMS = replace(UNSEEN_VOICES, loudness="none", log_floor=0.01)
"""What a search for streams uses: the same floor for a clip whose peak is a tenth of full scale. Not tuned."""

MICRO_FRONTEND = FrontEnd(kind="micro_frontend", **_MICRO_FRONTEND)
"""TensorFlow Lite Micro's front end as ESPHome's micro_wake_word sets it up: 98 frames of 40 bands for a second."""
