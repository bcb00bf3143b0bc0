"""From words to waking: a search makes what ESPHome can run, and pymicro-wakeword wakes at a trained network's word."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from tones import CLASSES, write_tones

from rena_kws import api
from rena_kws.cli import search_cmd
from rena_kws.convert.evaluate_int8 import accuracy
from rena_kws.convert.tflite import Int8TfliteConverter
from rena_kws.datasets.features import load_features
from rena_kws.datasets.synthetic_speech import SyntheticSpeech
from rena_kws.decisions import DecisionSettings
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.toolchain import Optimize
from rena_kws.frontend.settings import MICRO_FRONTEND
from rena_kws.model.keras_model import build
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.train.settings import TrainSettings
from rena_kws.train.trainer import train

pytestmark = pytest.mark.slow
wakeword = pytest.importorskip("pymicro_wakeword")

SPEECH = SyntheticSpeech(None, keywords=("seven", "left"), clips_per_word=100)
ARCHITECTURE = Architecture(
    len(SPEECH.labels),
    (
        Layer("conv2d", (0,), kernel_h=5, kernel_w=4, stride=(2, 2), channels=12),
        Layer("ds_conv2d", (1,), kernel_h=5, kernel_w=3, stride=(2, 2), channels=16),
        Layer("ds_conv2d", (2,), kernel_h=5, kernel_w=3, channels=24),
        Layer("ds_conv2d", (3,), kernel_h=5, kernel_w=3, channels=24),
    ),
    MICRO_FRONTEND.shape,
    "valid",
)
DECISIONS = DecisionSettings(threshold=0.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 network on clips, with its manifest."""
    training = load_features(SPEECH, MICRO_FRONTEND, "train", variants=2)
    validation = load_features(SPEECH, MICRO_FRONTEND, "validation")
    keras.utils.set_random_seed(0)
    built = build(ARCHITECTURE)
    train(built, training, validation, TrainSettings(epochs=16, batch_size=32))
    model = Int8TfliteConverter().convert(built, training.x[::17])
    assert accuracy(model, validation)[0] > 0.85
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.tflite").write_bytes(model.data)
    manifest = Manifest.of(model, SPEECH.labels, MICRO_FRONTEND.as_json(), {}).named("words.tflite")
    (folder / "manifest.json").write_text(manifest.deciding(DECISIONS).as_text())
    return folder


def listener(trained: Path, word: str, optimize: Optimize | None = None) -> Callable[[NDArray[np.float32]], bool]:
    """Export for a word → whether the program that loads the pair wakes at a sound, hop after hop."""
    bundle = api.export(trained, "esphome", trained.parent / f"{word}-{optimize}", word, optimize, word=word)
    ear = wakeword.MicroWakeWord.from_config(bundle / f"{word}.json")
    assert (ear.wake_word, ear.probability_cutoff, ear.stride) == (word, DECISIONS.threshold, 4)
    arena = json.loads((bundle / f"{word}.json").read_text())["micro"]["tensor_arena_size"]
    print(f"{word}, optimized for {optimize}: tensor_arena_size {arena}")

    def wakes(sound: NDArray[np.float32]) -> bool:
        ear.reset()
        samples = np.clip(np.rint(sound * 32767), -32768, 32767).astype("<i2").tobytes()
        frames = wakeword.MicroWakeWordFeatures().process_streaming(samples)
        return any(ear.process_streaming(frame) for frame in frames)

    return wakes


def test_it_wakes_at_its_word_and_at_no_other(trained: Path) -> None:
    """Clips of voices that were not trained on, in the midst of the hiss of a microphone."""
    rng = np.random.default_rng(0)
    ears = {word: listener(trained, word) for word in ("seven", "left")}
    ears["seven, small"] = listener(trained, "seven", "size")
    said: Counter[str] = Counter()
    woken: Counter[tuple[str, str]] = Counter()
    for clip in SPEECH.split("test"):
        hiss = rng.normal(0, 0.002, 3 * 16_000).astype(np.float32)
        hiss[20_000:36_000] += clip.audio
        said[clip.label] += 1
        for word, wakes in ears.items():
            woken[word, clip.label] += wakes(hiss)
    print({f"{word} at {label}": f"{woken[word, label]} of {said[label]}" for word in ears for label in said})
    assert said == dict.fromkeys(SPEECH.labels, 20)
    for word, own, other in (("seven", "seven", "left"), ("left", "left", "seven"), ("seven, small", "seven", "left")):
        assert woken[word, own] >= 12
        assert woken[word, other] <= 1
        assert woken[word, "_silence_"] == 0
        assert woken[word, "_unknown_"] <= 4
    assert abs(woken["seven, small", "seven"] - woken["seven", "seven"]) <= 1


def test_a_search_ends_in_a_wake_word(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    search_cmd.add_arguments(parser)
    spec = write_tones(tmp_path / "tones.npz")
    arguments = ["--dataset", spec, "--front-end", "micro_frontend", "--limit", "ram_bytes=32000", "--trials", "1"]
    asked = search_cmd.settings_of(parser.parse_args([*arguments, "--workers", "1"]))
    _, run = api.search(replace(asked, trial_clips=200, final_clips=400), tmp_path / "run")
    manifest = Manifest.beside(run / "winner")
    assert manifest is not None and manifest.labels == CLASSES
    assert Architecture.from_json(manifest.figures["architecture"]).time_padding == "valid"
    api.export(run, "esphome", tmp_path / "out", "go", word="go")
    ear = wakeword.MicroWakeWord.from_config(tmp_path / "out" / "go.json")
    assert ear.wake_word == "go"
    sound = np.random.default_rng(0).normal(0, 1_000, 32_000).astype("<i2").tobytes()
    shares = [ear.process_streaming_prob(frame) for frame in wakeword.MicroWakeWordFeatures().process_streaming(sound)]
    assert len(shares) == 198 and all(0 <= share <= 1 for share in shares)
