"""ESPHome's models on long sounds: their results are the network's on its last frames, at the right time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from streamed_networks import on_clips
from window_networks import WindowLayer, network

from rena_kws import api
from rena_kws.decisions import DecisionSettings
from rena_kws.errors import ModelError
from rena_kws.export.esphome.streaming_model import streaming_model
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.settings import MICRO_FRONTEND
from rena_kws.streaming.esphome import EsphomeStream
from rena_kws.streaming.evaluation import StreamSettings
from rena_kws.streaming.files import save_decisions

wakeword = pytest.importorskip("pymicro_wakeword")

LABELS = ("go", "stop", "_unknown_")
LAYERS = [
    WindowLayer("CONV_2D", (5, 3), (2, 2), beside=1, channels=6),
    WindowLayer("DEPTHWISE_CONV_2D", (3, 3), (2, 2)),
    WindowLayer("CONV_2D", (3, 1), (1, 1), dilation=2, channels=8),
]
MODEL = network(LAYERS, 4, len(LABELS), 21, (26 / 255, -128), 0)
MANIFEST = Manifest.of(MODEL, LABELS, MICRO_FRONTEND.as_json(), {})


def sound(seconds: float) -> np.ndarray:
    """Noise that comes and goes, at 16 kHz."""
    rng = np.random.default_rng(0)
    n = np.arange(round(16_000 * seconds))
    return (rng.normal(0, 4_000, len(n)) * (0.5 + 0.5 * np.sin(n / 3_000))).astype(np.int16)


def test_results_are_those_of_the_network_behind_the_front_end_of_another_program() -> None:
    stream = EsphomeStream.of(MODEL, MANIFEST)
    heard = sound(6.3)
    scores, positions = stream.scorer()(heard)
    assert stream.decisions.hops_a_result == 4
    assert scores.shape == (len(positions), 3) and (scores[:, 2] == -128).all()
    assert list(positions[:2]) == [480 + 3 * 160, 480 + 7 * 160]
    assert len(heard) - 4 * 160 < positions[-1] <= len(heard)
    frames = wakeword.MicroWakeWordFeatures().process_streaming(heard.astype("<i2").tobytes())
    numbers = np.rint(np.concatenate(list(frames)).reshape(-1, 40) * 25.6).astype(int)
    given = np.clip((256 * numbers + 333) // 666 - 128, -128, 127).astype(np.int8)[: 4 * len(scores)]
    for label in (0, 1):
        found = (scores[:, label].astype(int) + 128).tolist()
        assert found == on_clips(MODEL, given, streaming_model(MODEL, label), label)
        assert max(found) - min(found) > 8


@pytest.mark.slow
def test_decisions_are_chosen_on_streams_and_exported(tmp_path: Path) -> None:
    """A network that knows nothing: what counts is that figures and decisions come about, and reach the export."""
    rng = np.random.default_rng(0)
    splits = ["train", "validation", "test"] * 12
    y = np.arange(36) // 3 % 3
    np.savez(
        tmp_path / "clips.npz",
        x=rng.normal(0, 0.1, (36, 16_000)).astype(np.float32),
        y=y,
        labels=np.array(LABELS),
        split=np.array(splits),
        speakers=np.array(splits),
    )
    (tmp_path / "net.tflite").write_bytes(MODEL.data)
    (tmp_path / "manifest.json").write_text(MANIFEST.named("net.tflite").as_text())
    dataset = f"arrays:{tmp_path / 'clips.npz'}"
    report = api.evaluate_stream(tmp_path / "net.tflite", dataset, StreamSettings(hours=0.1))
    assert report.decisions.hops_a_result == 4
    assert report.test.said == 8 and report.test.hours == pytest.approx(1 / 12)
    save_decisions(report, tmp_path / "net.tflite")
    bundle = api.export(tmp_path / "net.tflite", "esphome", tmp_path / "out", "go", word="go")
    told = json.loads((bundle / "go.json").read_text())["micro"]
    assert told["probability_cutoff"] == report.decisions.threshold
    assert told["sliding_window_size"] == report.decisions.smoothed_results
    with pytest.raises(ModelError, match="once in 4 hops, which its strides decide; got 2"):
        api.evaluate_stream(tmp_path / "net.tflite", dataset, StreamSettings(hours=0.1, hops_a_result=2))


def test_what_it_cannot_run_is_refused() -> None:
    with pytest.raises(ModelError, match="no keyword among its labels"):
        EsphomeStream.of(MODEL, Manifest.of(MODEL, ("_a_", "_b_", "_c_"), MICRO_FRONTEND.as_json(), {}))
    with pytest.raises(ModelError, match="hops"):
        EsphomeStream.of(MODEL, MANIFEST).deciding(DecisionSettings(hops_a_result=1))
