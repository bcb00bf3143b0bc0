"""A small network without padding along time, with random weights, whose front end takes clips as loud as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flatbuffer_models import ModelBuilder

from rena_kws.artifacts import ConvertedModel
from rena_kws.decisions import DecisionSettings
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.settings import FrontEnd

FRONT_END = FrontEnd(clip_ms=600, mel_bands=20, coefficients=8, log_floor=0.01, loudness="none")
LABELS = ("yes", "no", "_silence_", "maybe")
DECISIONS = DecisionSettings(hops_a_result=4, smoothed_results=2, threshold=0.3, refractory_ms=200)


def model(front_end: FrontEnd = FRONT_END, classes: int = len(LABELS)) -> ConvertedModel:
    """A convolution that halves both axes, a depthwise and a pointwise one, a mean, a dense layer, a softmax."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    frames, values, _ = front_end.shape
    x = builder.tensor((1, frames, values, 1), scale=0.4, zero_point=20)
    padded = builder.tensor((1, frames, values + 2, 1), scale=0.4, zero_point=20)
    amounts = builder.tensor((4, 2), data=np.array([[0, 0], [0, 0], [1, 1], [0, 0]]), dtype="int32")
    builder.op("PAD", [x, amounts], [padded], "PadOptions")
    kernel = builder.tensor((8, 5, 4, 1), scale=[0.01] * 8, data=rng.integers(-127, 128, (8, 5, 4, 1)))
    height, width = (frames - 5) // 2 + 1, (values - 2) // 2 + 1
    image = builder.tensor((1, height, width, 8), scale=0.5, zero_point=-128)
    options = {"padding": 1, "fusedActivationFunction": 1}
    builder.op("CONV_2D", [padded, kernel, -1], [image], "Conv2DOptions", strideH=2, strideW=2, **options)
    wider = builder.tensor((1, height, width + 2, 8), scale=0.5, zero_point=-128)
    builder.op("PAD", [image, amounts], [wider], "PadOptions")
    taps = builder.tensor((1, 3, 3, 8), scale=[0.005] * 8, axis=3, data=rng.integers(-127, 128, (1, 3, 3, 8)))
    deep = builder.tensor((1, height - 2, width, 8), scale=0.3, zero_point=-128)
    more = {"strideH": 1, "strideW": 1, "depthMultiplier": 1}
    builder.op("DEPTHWISE_CONV_2D", [wider, taps], [deep], "DepthwiseConv2DOptions", **options, **more)
    mixing = builder.tensor((8, 1, 1, 8), scale=[0.01] * 8, data=rng.integers(-127, 128, (8, 1, 1, 8)))
    last = builder.tensor((1, height - 2, width, 8), scale=0.3, zero_point=-128)
    builder.op("CONV_2D", [deep, mixing, -1], [last], "Conv2DOptions", strideH=1, strideW=1, **options)
    mean = builder.tensor((1, 8), scale=0.1, zero_point=-128)
    axes = builder.tensor((2,), data=np.array([1, 2]), dtype="int32")
    builder.op("MEAN", [last, axes], [mean], "ReducerOptions", keepDims=False)
    weights = builder.tensor((classes, 8), scale=0.002, data=rng.integers(-127, 128, (classes, 8)))
    logits = builder.tensor((1, classes), scale=0.05)
    builder.op("FULLY_CONNECTED", [mean, weights, -1], [logits], "FullyConnectedOptions")
    shares = builder.tensor((1, classes), scale=1 / 256, zero_point=-128)
    builder.op("SOFTMAX", [logits], [shares], "SoftmaxOptions", beta=1.0)
    return ConvertedModel("tflite", builder.build([x], [shares]), "listening")


def manifest(front_end: FrontEnd = FRONT_END, decisions: DecisionSettings = DECISIONS) -> Manifest:
    return Manifest.of(model(front_end), LABELS, front_end.as_json(), {}).deciding(decisions)


def write_model(folder: Path) -> Path:
    """The model with its manifest → its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(manifest().named("listening.tflite").as_text())
    (folder / "listening.tflite").write_bytes(model().data)
    return folder / "listening.tflite"


def sound(seconds: float, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Noise and tones that come and go, now loud, now quiet."""
    rng = np.random.default_rng(seed)
    n, piece = np.arange(int(16_000 * seconds)), 4_000
    pieces = len(n) // piece + 1
    loudness = np.repeat(10 ** rng.uniform(0, 4, pieces), piece)[: len(n)]
    tones = np.sin(n * np.repeat(rng.uniform(0.05, 1.5, pieces), piece)[: len(n)])
    noise = rng.normal(0, 0.3, len(n)) * np.repeat(rng.integers(0, 2, pieces), piece)[: len(n)]
    return (loudness * (tones + noise)).clip(-32768, 32767).astype(np.int16)
