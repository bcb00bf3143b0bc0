"""A detector that needs no training: two tones, `low` and `high`, told from noise and from clicks by their mel bands.

Its weights are templates: over all frames, how far the band of a class's tone stands out from bands near by.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flatbuffer_models import ModelBuilder
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.decisions import DecisionSettings
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.features import compute
from rena_kws.frontend.settings import FrontEnd

FRONT_END = FrontEnd(kind="log_mel", mel_bands=20, log_floor=0.1)
LABELS = ("low", "high", "_unknown_")
DECISIONS = DecisionSettings(hops_a_result=5, smoothed_results=2, threshold=0.8, refractory_ms=300)
SAID = ("low", "high", "_unknown_", "high", "high", "low")
TONES_HZ = {"low": 700.0, "high": 2200.0}
_SCALE, _ZERO = 8 / 128, 0
_WEIGHT_SCALE, _BIAS = 0.002, 5.0


def word(label: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A second with the tone, or a rattle of clicks, of 0.4 s in its middle."""
    n = np.arange(16_000)
    tone = np.sin(2 * np.pi * TONES_HZ[label] * n / 16_000) if label in TONES_HZ else rng.uniform(-1, 1, 16_000)
    if label not in TONES_HZ:
        tone *= (n % 800) < 200
    out: NDArray[np.float32] = (0.5 * tone * ((n > 4_800) & (n < 11_200))).astype(np.float32)
    return out


def said() -> NDArray[np.int16]:
    """The words of `SAID`, one every second and a half, in noise: samples at 16 kHz."""
    rng = np.random.default_rng(4)
    words = [np.concatenate([word(label, rng), np.zeros(8_000)]) for label in SAID]
    noisy = np.concatenate([np.zeros(16_000), *words, np.zeros(8_000)])
    return np.rint(16_000 * (noisy + rng.normal(0, 0.02, len(noisy)))).astype(np.int16)


def model() -> ConvertedModel:
    frames, bands, _ = FRONT_END.shape
    rng = np.random.default_rng(0)
    weights = np.zeros((len(LABELS), frames, bands))
    for index, label in enumerate(LABELS[:2]):
        loudest = int(compute(FRONT_END, word(label, rng)[None])[0, 25, :, 0].argmax())
        weights[index, :, loudest] = 100
        weights[index, :, [loudest - 3, loudest + 3]] = -50
    builder = ModelBuilder()
    x = builder.tensor((1, frames, bands, 1), scale=_SCALE, zero_point=_ZERO)
    flat = builder.tensor((1, frames * bands), scale=_SCALE, zero_point=_ZERO)
    builder.op("RESHAPE", [x], [flat], "ReshapeOptions", newShape=[1, frames * bands])
    data = np.rint(weights.reshape(len(LABELS), -1))
    kernel = builder.tensor(data.shape, scale=_WEIGHT_SCALE, data=data)
    bias = builder.tensor(
        (3,), scale=_SCALE * _WEIGHT_SCALE, data=np.array([0, 0, _BIAS / (_SCALE * _WEIGHT_SCALE)]), dtype="int32"
    )
    logits = builder.tensor((1, 3), scale=0.1, zero_point=0)
    builder.op("FULLY_CONNECTED", [flat, kernel, bias], [logits], "FullyConnectedOptions")
    shares = builder.tensor((1, 3), scale=1 / 256, zero_point=-128)
    builder.op("SOFTMAX", [logits], [shares], "SoftmaxOptions", beta=1.0)
    return ConvertedModel("tflite", builder.build([x], [shares]), "beeps")


def write_model(folder: Path, decisions: DecisionSettings | None = None) -> Path:
    """The model with its manifest → its path."""
    folder.mkdir(parents=True, exist_ok=True)
    built = model()
    manifest = Manifest.of(built, LABELS, FRONT_END.as_json(), {})
    if decisions:
        manifest = manifest.deciding(decisions)
    (folder / "manifest.json").write_text(manifest.named("beeps.tflite").as_text())
    (folder / "beeps.tflite").write_bytes(built.data)
    return folder / "beeps.tflite"
