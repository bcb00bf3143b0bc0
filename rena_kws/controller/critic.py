"""The critic: where a network that was not evaluated would rank among those that were, and how sure that is.

A Gaussian process over the networks' descriptors with a Matérn-5/2 kernel (Rasmussen and Williams, "Gaussian Processes
for Machine Learning", eq. 2.25–2.26 and 4.17; length scale and noise by the marginal likelihood, eq. 2.30; recalled).
It is exact, learns from a few dozen observations, and says where it does not know.

It learns ranks, not rewards: the few best networks differ by hundredths while a bad one scores nothing, and one that
failed is simply among the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular

from rena_kws.spec.architecture import Architecture
from rena_kws.spec.descriptor import describe

Array = NDArray[np.float64]

LENGTH_SCALES = (0.5, 1.0, 2.0, 4.0)
"""In units of the root of the number of features, the typical distance of two standardised descriptors."""
NOISES = (0.003, 0.03, 0.1, 0.3)
"""Variance of the noise, that of the ranks being 1."""
JITTER = 1e-8


class Critic:
    """Knows what it is told by `learn`. `reference` networks fix the scale of each feature."""

    def __init__(self, reference: Sequence[Architecture]) -> None:
        described = np.array([describe(architecture) for architecture in reference])
        self._centre = described.mean(axis=0)
        deviation = described.std(axis=0)
        # What is the same in all networks, as the count of a kind that the space lacks, is no feature.
        self._spread = np.maximum(deviation, 1e-3) * float(max(1, int(np.count_nonzero(deviation)))) ** 0.5
        self._x: list[Array] = []
        self._rewards: list[float] = []
        self._fit: _Fit | None = None

    def __len__(self) -> int:
        return len(self._rewards)

    def learn(self, architecture: Architecture, reward: float) -> None:
        """Take an evaluated network into account."""
        self._x.append(self._features(architecture))
        self._rewards.append(reward)
        self._fit = None

    def predict(
        self, architectures: Sequence[Architecture], pending: Sequence[Architecture] = ()
    ) -> tuple[Array, Array]:
        """Mean and standard deviation of the normal score of each network's rank, each of shape (networks,).

        `pending` are being evaluated: the uncertainty is what it will be when they are known (Desautels et al.,
        arXiv 1206.6402; recalled), so that proposals made at the same time differ.
        """
        if not self._rewards:
            return np.zeros(len(architectures)), np.ones(len(architectures))
        if self._fit is None:
            self._fit = _Fit.of(np.array(self._x), normal_scores(self._rewards))
        x = np.array([self._features(architecture) for architecture in architectures])
        return self._fit.predict(x, np.array([self._features(architecture) for architecture in pending]))

    def _features(self, architecture: Architecture) -> Array:
        return np.asarray((describe(architecture) - self._centre) / self._spread)


class _Fit:
    """The process given observations x (n, features), y (n,), with a length scale and a noise."""

    def __init__(self, x: Array, y: Array, length: float, noise: float) -> None:
        self._x, self._length, self._noise = x, length, noise
        self._root = self._root_of(x)
        self._weights = cho_solve((self._root, True), y)
        self.log_likelihood = float(-0.5 * y @ self._weights - np.log(np.diag(self._root)).sum())

    @classmethod
    def of(cls, x: Array, y: Array) -> _Fit:
        """The likeliest length scale and noise."""
        fits = [cls(x, y, length, noise) for length, noise in product(LENGTH_SCALES, NOISES)]
        return max(fits, key=lambda fit: fit.log_likelihood)

    def predict(self, x: Array, pending: Array) -> tuple[Array, Array]:
        mean = self._kernel(x, self._x) @ self._weights
        known, root = self._x, self._root
        if len(pending):
            known = np.concatenate((known, pending))
            root = self._root_of(known)
        explained = solve_triangular(root, self._kernel(known, x), lower=True)
        return mean, np.sqrt(np.maximum(1 - (explained**2).sum(axis=0), JITTER))

    def _root_of(self, x: Array) -> Array:
        return np.asarray(np.linalg.cholesky(self._kernel(x, x) + (self._noise + JITTER) * np.eye(len(x))))

    def _kernel(self, a: Array, b: Array) -> Array:
        """Matérn with ν = 5/2 at unit variance, (rows of a, rows of b)."""
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
        scaled = np.sqrt(5 * np.maximum(squares, 0)) / self._length
        return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


def normal_scores(values: Sequence[float]) -> Array:
    """The normal quantile of each value's rank; equal values share the mean of their ranks."""
    given = np.array(values)
    _, group, counts = np.unique(given, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # from 1
    normal = NormalDist()
    scores = np.array([normal.inv_cdf((rank - 0.5) / len(given)) for rank in mean_rank])
    return np.asarray(scores[group])
