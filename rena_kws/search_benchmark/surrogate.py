"""Accuracy of any network of the space, predicted from the table: the mean of two ensembles of trees.

Trees, because they never predict more than was seen (a controller would find where a smooth model extrapolates to
100 %) and because RENA's critic is another kind of model: one of the same kind would be given the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import UnavailableError
from rena_kws.search_benchmark.table import Row
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.descriptor import describe

FOLDS = 10


class Surrogate:
    """Fitted to rows of the table. Raises `UnavailableError` without scikit-learn."""

    def __init__(self, rows: Sequence[Row]) -> None:
        x = np.array([describe(row.architecture) for row in rows])
        y = np.array([row.accuracy for row in rows])
        self._models = [model.fit(x, y) for model in _models()]
        self._known: dict[str, float] = {}

    def accuracy(self, architecture: Architecture) -> float:
        """The predicted int8 accuracy, in [0, 1]."""
        if architecture.id not in self._known:
            self._known[architecture.id] = float(self.accuracies([architecture])[0])
        return self._known[architecture.id]

    def accuracies(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """As `accuracy`, of many networks at once."""
        x = np.array([describe(architecture) for architecture in architectures])
        return np.asarray(np.mean([model.predict(x) for model in self._models], axis=0))


def _models() -> list[Any]:
    try:
        from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
    except ImportError:
        raise UnavailableError("the surrogate needs scikit-learn: pip install 'rena-kws[rivals]'") from None
    return [
        ExtraTreesRegressor(100, max_features=0.5, random_state=0),
        GradientBoostingRegressor(
            n_estimators=600, learning_rate=0.03, max_depth=4, subsample=0.6, max_features=0.3, random_state=0
        ),
    ]


def held_out(rows: Sequence[Row], seed: int = 0) -> NDArray[np.float64]:
    """For each row the prediction of a surrogate that was fitted without it (ten folds)."""
    fold = np.random.default_rng(seed).permutation(len(rows)) % FOLDS
    predicted = np.empty(len(rows))
    for number in range(FOLDS):
        surrogate = Surrogate([row for row, its in zip(rows, fold, strict=True) if its != number])
        predicted[fold == number] = surrogate.accuracies(
            [row.architecture for row, its in zip(rows, fold, strict=True) if its == number]
        )
    return predicted


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's ρ: the correlation of the ranks."""
    first_ranks, second_ranks = (np.argsort(np.argsort(values)) for values in (first, second))
    return float(np.corrcoef(first_ranks, second_ranks)[0, 1])
