"""A small network, trained for a moment on a few recordings of spoken digits: what conversion tests convert."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from rena_kws.artifacts import BuiltModel
from rena_kws.datasets.features import Features, load_features
from rena_kws.datasets.spoken_digits import SpokenDigits
from rena_kws.frontend.settings import UNSEEN_VOICES
from rena_kws.model.keras_model import build
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.train.settings import TrainSettings
from rena_kws.train.trainer import train

DIGITS = ("zero", "one", "two", "six")
ARCHITECTURE = Architecture(
    len(DIGITS),
    (
        Layer("conv2d", (0,), kernel_h=10, kernel_w=4, stride=(2, 2), channels=12),
        Layer("ds_conv2d", (1,), kernel_h=3, kernel_w=3, channels=16),
        Layer("dilated_conv2d", (2,), kernel_h=3, kernel_w=3, dilation=2, channels=12),
        Layer("add", (3, 1)),
        Layer("max_pool", (4,), kernel_h=2, kernel_w=2, stride=(2, 2)),
    ),
)


@dataclass(frozen=True)
class TrainedDigits:
    built: BuiltModel
    training: Features
    validation: Features


def trained_digits(reference: Callable[..., Path], folder: Path) -> TrainedDigits:
    """Ten recordings of each of four digits by each speaker; two speakers are kept for validation and test."""
    source = reference("datasets", "fsdd")
    for recording in sorted(source.rglob("[0126]_*_[0-9].wav")):
        shutil.copy(recording, folder)
    dataset = SpokenDigits(str(folder), keywords=DIGITS)
    training, validation = (load_features(dataset, UNSEEN_VOICES, split) for split in ("train", "validation"))
    keras.utils.set_random_seed(0)
    built = build(ARCHITECTURE)
    train(built, training, validation, TrainSettings(epochs=12, batch_size=16))
    return TrainedDigits(built, training, validation)
