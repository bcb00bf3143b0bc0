"""Conversion: every converter agrees with Keras on the same clips, and says in one line what it cannot do."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rena_kws.artifacts import BuiltModel
from rena_kws.convert.agreement import check
from rena_kws.convert.base import Converter
from rena_kws.convert.evaluate_int8 import accuracy, dequantise, quantise
from rena_kws.convert.onnx import OnnxConverter, QuantizedOnnxConverter
from rena_kws.convert.tflite import FloatTfliteConverter, Int8TfliteConverter
from rena_kws.datasets.features import Features
from rena_kws.errors import CandidateError
from rena_kws.firmware.graph import read_graph
from rena_kws.model.keras_model import build
from rena_kws.spec.architecture import Architecture, Layer

CLIPS = np.random.default_rng(0).standard_normal((40, 49, 10, 1)).astype(np.float32)
EVERY_KIND = Architecture(
    4,
    (
        Layer("conv2d", (0,), 4, 3, (2, 1), channels=8),
        Layer("ds_conv2d", (1,), 3, 3, (1, 1), channels=8),
        Layer("dilated_conv2d", (2,), 3, 1, dilation=2, channels=8),
        Layer("add", (3, 1)),
        Layer("max_pool", (4,), 2, 2, (2, 2)),
        Layer("avg_pool", (5,), 2, 1, (2, 1)),
        Layer("dense", (6,), channels=16),
    ),
)


@pytest.fixture(scope="module")
def built() -> BuiltModel:
    keras.utils.set_random_seed(0)
    return build(EVERY_KIND)


@pytest.mark.parametrize(
    ("converter", "tolerance"),
    [
        (FloatTfliteConverter(), 1e-5),
        (OnnxConverter(), 1e-5),
        (Int8TfliteConverter(), 0.05),
        (QuantizedOnnxConverter(), 0.05),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Converter) else "",
)
def test_every_converter_agrees_with_keras(converter: Converter, tolerance: float, built: BuiltModel) -> None:
    agreement = check(built, converter.convert(built, CLIPS), CLIPS)
    assert agreement.clips == len(CLIPS)
    assert agreement.max_difference <= tolerance


def test_dilation_stays_whole(built: BuiltModel) -> None:
    ops = [op.name for op in read_graph(Int8TfliteConverter().convert(built, CLIPS)).ops]
    assert "SPACE_TO_BATCH_ND" not in ops
    assert "CONV_2D" in ops


def test_accuracy_counts_every_clip(built: BuiltModel) -> None:
    model = Int8TfliteConverter().convert(built, CLIPS)
    labels = ("a", "b", "c", "d")
    some = Features(x=CLIPS, y=np.zeros(len(CLIPS), np.int32), speakers=("s",) * len(CLIPS), labels=labels)
    _, predictions = accuracy(model, some)
    right = Features(x=CLIPS, y=predictions.astype(np.int32), speakers=some.speakers, labels=labels)
    assert accuracy(model, right)[0] == 1.0
    wrong = Features(x=CLIPS, y=((predictions + 1) % 4).astype(np.int32), speakers=some.speakers, labels=labels)
    assert accuracy(model, wrong)[0] == 0.0


@pytest.mark.parametrize("clips", [CLIPS[:0], CLIPS[:, :40], np.full_like(CLIPS, np.nan)])
def test_calibration_that_will_not_do(clips: np.ndarray, built: BuiltModel) -> None:
    with pytest.raises(CandidateError) as caught:
        Int8TfliteConverter().convert(built, clips)
    assert "\n" not in str(caught.value)


def test_quantisation_saturates_and_inverts() -> None:
    x = np.array([-100.0, -0.26, 0.0, 0.24, 100.0], np.float32)
    values = quantise(x, 0.5, 3)
    assert values.tolist() == [-128, 2, 3, 3, 127]
    np.testing.assert_allclose(dequantise(values, 0.5, 3)[1:4], [-0.5, 0.0, 0.0])
