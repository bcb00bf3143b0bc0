"""Does a converted model still say what the Keras model says, and a device what LiteRT says?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel
from rena_kws.convert.evaluate_int8 import LITERT_PATHS, probabilities, run_quantised


@dataclass(frozen=True)
class Agreement:
    """Differences of class probabilities between a converted model and Keras, and the share of equal answers."""

    max_difference: float
    mean_difference: float
    same_answer: float
    clips: int


def check(built: BuiltModel, converted: ConvertedModel, x: NDArray[np.float32]) -> Agreement:
    """Compare on features `x` (clips, *input_shape), of real clips and not of noise.

    A float conversion differs by rounding alone, below 1e-5.
    """
    from rena_kws.train.trainer import predict

    expected, found = predict(built.keras_model, x), probabilities(converted, x)
    difference = np.abs(expected - found)
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return Agreement(float(difference.max()), float(difference.mean()), float(same.mean()), len(x))


@dataclass(frozen=True)
class Difference:
    """Two sets of int8 outputs: the share of equal values, and how many units the others are apart at most."""

    equal: float
    largest: int


def with_litert(model: ConvertedModel, inputs: NDArray[np.int8], outputs: NDArray[np.int8]) -> dict[str, Difference]:
    """A device's `outputs` beside those of each of LiteRT's paths, which differ among themselves. Batch first."""
    found = {}
    for path in LITERT_PATHS:
        apart = np.abs(run_quantised(model, inputs, path).astype(int) - outputs)
        found[path] = Difference(float(np.mean(apart == 0)), int(apart.max()))
    return found
