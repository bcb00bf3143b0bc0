"""A network for ESPHome on long sounds: the streaming .tflite that ships, one for each keyword, behind its front end.

    sound ─► micro frontend, frame by frame ─► int8 as ESPHome makes it ─► every `stride` frames a probability a keyword

On a device each keyword is a model of its own, with decisions of its own; here they are decided together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.convert.evaluate_int8 import run_quantised
from rena_kws.decisions import DecisionSettings, keyword_indices
from rena_kws.errors import ModelError
from rena_kws.export.base import require_format
from rena_kws.export.esphome.streaming_model import StreamingModel, streaming_model
from rena_kws.export.manifest import Manifest
from rena_kws.frontend import micro_frontend
from rena_kws.frontend.settings import FrontEnd
from rena_kws.streaming.rates import Results, Scorer
from rena_kws.streaming.stream_sound import Sound


@dataclass(frozen=True)
class EsphomeStream:
    """Each keyword's model, by the index of its label. Its results come once in `stride` frames of the front end, which
    is what `decisions` have as hops a result."""

    models: Mapping[int, StreamingModel]
    front_end: FrontEnd
    labels: tuple[str, ...]
    decisions: DecisionSettings

    @classmethod
    def of(cls, model: ConvertedModel, manifest: Manifest) -> EsphomeStream:
        """Raises `ModelError` for a network that ESPHome cannot run on a stream."""
        require_format(model, "tflite")
        models = {label: streaming_model(model, label) for label in keyword_indices(manifest.labels)}
        if not models:
            raise ModelError(f"{model.name} has no keyword among its labels: {', '.join(manifest.labels)}")
        (stride,) = {streaming.stride for streaming in models.values()}
        decisions = replace(DecisionSettings.from_json(manifest.decisions), hops_a_result=stride)
        return cls(models, manifest.read_front_end(), manifest.labels, decisions)

    def deciding(self, decisions: DecisionSettings) -> EsphomeStream:
        """Raises `ModelError` for other hops a result than the network's strides give."""
        if decisions.hops_a_result != self.decisions.hops_a_result:
            raise ModelError(
                f"ESPHome runs this network once in {self.decisions.hops_a_result} hops, which its strides decide; "
                f"got {decisions.hops_a_result}"
            )
        return replace(self, decisions=decisions)

    def scorer(self) -> Scorer:
        return self._scores

    def _scores(self, sound: Sound) -> Results:
        """What new streams make of `sound`. A class that is no keyword has the probability 0."""
        frames = _as_esphome(micro_frontend.frames(sound, self.front_end.hop_samples))
        stride = self.decisions.hops_a_result
        calls = len(frames) // stride
        given = frames[: calls * stride].reshape(calls, stride, -1)
        scores = np.full((calls, len(self.labels)), -128, np.int8)
        for label, streaming in self.models.items():
            scores[:, label] = run_quantised(streaming.model, given)[:, 0].astype(np.int16) - 128
        ends = self.front_end.window_samples + (stride * np.arange(1, calls + 1) - 1) * self.front_end.hop_samples
        return Results(scores, ends)


def _as_esphome(frames: NDArray[np.float32]) -> NDArray[np.int8]:
    """The steps of micro_wake_word.cpp: 666 of the front end's numbers to 256."""
    numbers = np.rint(frames * micro_frontend.NUMBERS_A_FEATURE).astype(np.int32)
    steps: NDArray[np.int8] = np.clip((256 * numbers + 333) // 666 - 128, -128, 127).astype(np.int8)
    return steps
