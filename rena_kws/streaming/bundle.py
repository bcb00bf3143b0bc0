"""A model that knows its labels and front end → the C that listens, with what decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.decisions import DecisionSettings
from rena_kws.errors import ModelError
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit import generate
from rena_kws.firmware.emit_features import features_sources
from rena_kws.firmware.emit_stream import StreamEvaluation, evaluation_of, new_rows_of, stream_sources
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize
from rena_kws.frontend.settings import FrontEnd
from rena_kws.streaming.host_stream import HostStream
from rena_kws.streaming.rates import Results, Scorer
from rena_kws.streaming.stream_sound import Sound


@dataclass(frozen=True)
class StreamBundle:
    """Everything that `sources` depend on. `whole`: each result is a run of the whole network, even where it could be
    computed of new rows."""

    model: ConvertedModel
    front_end: FrontEnd
    labels: tuple[str, ...]
    decisions: DecisionSettings
    name: str = "kws"
    optimize: Optimize = DEFAULT_OPTIMIZE
    whole: bool = False

    @cached_property
    def firmware(self) -> Firmware:
        """Raises `ModelError`."""
        new_rows = None if self.whole else new_rows_of(self.front_end, self.decisions)
        return _generated(self.model, self.name, self.optimize, new_rows)

    @property
    def evaluation(self) -> StreamEvaluation:
        return evaluation_of(self.front_end, self.firmware, self.decisions)[0]

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """File name → text of network, front end and stream: those of an exported bundle. Raises `ModelError`."""
        return {
            **self.firmware.sources,
            **features_sources(self.front_end, self.firmware.inputs[0], self.firmware.name),
            **stream_sources(self.front_end, self.firmware, self.labels, self.decisions),
        }

    @property
    def period_ms(self) -> int:
        """Between two results of the network."""
        return self.front_end.hop_ms * self.decisions.hops_a_result

    @property
    def period_samples(self) -> int:
        return self.front_end.hop_samples * self.decisions.hops_a_result

    def deciding(self, decisions: DecisionSettings) -> StreamBundle:
        return replace(self, decisions=decisions)

    def on_this_computer(self) -> HostStream:
        return HostStream(self.sources, self.firmware.name)

    def scorer(self) -> Scorer:
        """The exported C, compiled for this computer."""
        host, first, period = self.on_this_computer(), self.front_end.clip_samples, self.period_samples

        def results(sound: Sound) -> Results:
            scores = host.scores(sound, first, period)
            return Results(scores, first + period * np.arange(len(scores)))

        return results


_generated = lru_cache(maxsize=4)(generate)
"""Bundles that differ in decisions alone share it."""


def stream_bundle(
    model: ConvertedModel,
    manifest: Manifest | None,
    name: str = "kws",
    optimize: Optimize = DEFAULT_OPTIMIZE,
    whole: bool = False,
) -> StreamBundle:
    """Raises `ModelError` where the model's manifest is missing or does not say what a stream needs."""
    if manifest is None or not manifest.front_end or not manifest.labels:
        raise ModelError(
            f"a stream needs the labels and the front end of {model.name}, which a manifest beside "
            "the model tells: take a run's folder, or a file exported from one"
        )
    if model.format != "tflite":
        raise ModelError(f"a stream runs as C, which is made of int8 .tflite models: {model.name} is {model.format}")
    front_end = manifest.read_front_end()
    decisions = DecisionSettings.from_json(manifest.decisions)
    bundle = StreamBundle(model, front_end, manifest.labels, decisions, name, optimize, whole)
    _ = bundle.firmware  # a model that cannot be C is refused here
    return bundle
