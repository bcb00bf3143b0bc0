"""What a user asks a search for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rena_kws.artifacts import Trained
from rena_kws.datasets.base import open_dataset
from rena_kws.errors import RenaError
from rena_kws.frontend.settings import MICRO_FRONTEND, UNSEEN_VOICES, FrontEnd
from rena_kws.reward import Limit
from rena_kws.spec.architecture import Architecture


@dataclass(frozen=True)
class SearchSettings:
    """`minutes` bounds the whole run, `trials` the search proper; None: unbounded.

    A network begins with the weights of the network it was made from, unless `inherit` is False. The first of all is
    `start`, with its own weights where it has some, for as many words as the dataset has; None: `starting_network`.
    With `halving` the worse half of the networks stops a part of the way through its training.
    With `refit` the winner is trained once more, on the validation split too, which then says nothing about it.
    With `streaming` networks are searched that a stream evaluates by new rows alone (`SearchSpace.streaming`). That
    wants a front end that takes clips as loud as they are, such as `UNSEEN_VOICES_IN_STREAMS`; `RenaError` for another.
    `cluster` is the address of a Dask scheduler, whose workers are used instead of `workers` local processes.
    `trial_clips` and `final_clips` are how many clips a network is shown while it is searched, and as a finalist.
    """

    device: str = "cortex-m"
    dataset: str = "synthetic"
    dataset_options: Mapping[str, object] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    soft: bool = False
    start: Architecture | Trained | None = None
    controller: str = "rena"
    trials: int | None = None
    minutes: float | None = 5.0
    seed: int = 0
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    cluster: str | None = None
    front_end: FrontEnd = UNSEEN_VOICES
    streaming: bool = False
    inherit: bool = True
    halving: bool = True
    refit: bool = False
    trial_clips: int = 20_000
    final_clips: int = 500_000

    def __post_init__(self) -> None:
        if self.streaming and self.front_end.loudness != "none":
            raise RenaError(
                f'a search for streams wants a front end of loudness "none", not {self.front_end.loudness!r}: '
                "its features have to stay as the clip around them moves on"
            )

    @property
    def for_streams(self) -> bool:
        """Whether networks are those that run by new rows alone: asked for, or as ESPHome runs them all."""
        return self.streaming or self.front_end.kind == MICRO_FRONTEND.kind

    def identity(self) -> dict[str, Any]:
        """What makes a run this run and no other: not how long it may take, nor with how many workers. Of the dataset
        the labels too, for a folder may have others when a run is resumed. Raises `DatasetError`."""
        return {
            "device": self.device,
            "dataset": self.dataset,
            "dataset_options": dict(self.dataset_options),
            "labels": list(open_dataset(self.dataset, self.dataset_options).labels),
            "limits": [str(limit) for limit in self.limits],
            "soft": self.soft,
            "start": self._start_identity(),
            "controller": self.controller,
            "seed": self.seed,
            "front_end": self.front_end.as_json(),
            "inherit": self.inherit,
            "halving": self.halving,
            "trial_clips": self.trial_clips,
            **({"streaming": True} if self.for_streams else {}),
        }

    def _start_identity(self) -> dict[str, Any] | None:
        if isinstance(self.start, Trained):
            return {**self.start.architecture.as_json(), "weights": self.start.digest}
        return self.start.as_json() if self.start else None
