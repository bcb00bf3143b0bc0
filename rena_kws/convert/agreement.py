"""Does a converted model still say what the Keras model says? Checked on real clips, never on noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel
from rena_kws.convert.evaluate_int8 import probabilities


@dataclass(frozen=True)
class Agreement:
    """Differences of class probabilities between a converted model and Keras, and the share of equal answers."""

    max_difference: float
    mean_difference: float
    same_answer: float
    clips: int


def check(built: BuiltModel, converted: ConvertedModel, x: NDArray[np.float32]) -> Agreement:
    """Compare on features `x` (clips, *input_shape). A float conversion differs by rounding alone, below 1e-5."""
    from rena_kws.train.trainer import predict

    expected, found = predict(built.keras_model, x), probabilities(converted, x)
    difference = np.abs(expected - found)
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return Agreement(float(difference.max()), float(difference.mean()), float(same.mean()), len(x))
