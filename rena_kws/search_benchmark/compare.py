"""Controllers on the surrogate: the same space, first network, limits, free filter and budget for all, over many seeds.

An evaluation is one look-up of an accuracy. A proposal over the limits is told so and costs none, but what the filter
is for, it hardly ever happens. Resources are estimates of a model that was fitted to the table's measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rena_kws import registry
from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Controller
from rena_kws.reward import Limit, over_limits
from rena_kws.reward.resource_model import ResourceModel
from rena_kws.search_benchmark import table
from rena_kws.search_benchmark.surrogate import Surrogate
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.search_space import SearchSpace, ladder

CLASSES = 10
PROPOSALS_PER_EVALUATION = 4
"""A controller that proposes nothing that keeps the limits ends too."""
BOOTSTRAPS = 2000
BAND = (2.5, 97.5)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contest:
    """A controller with options under limits, run for so many evaluations."""

    controller: str
    limits: tuple[Limit, ...]
    evaluations: int
    options: Mapping[str, object]


@dataclass(frozen=True)
class Median:
    """Median over the seeds with its 95 % band by bootstrap."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Array) -> Median:
        rng = np.random.default_rng(0)
        resampled = np.median(rng.choice(values, (BOOTSTRAPS, len(values))), axis=1)
        low, high = np.percentile(resampled, BAND)
        return cls(float(np.median(values)), float(low), float(high))


class World:
    """What a network scores and costs, according to a table."""

    def __init__(self, path: Path) -> None:
        rows = table.read(path)
        self._surrogate = Surrogate(rows)
        self._resources = ResourceModel([(row.architecture, row.resources) for row in rows])

    def keeps(self, architecture: Architecture, limits: Sequence[Limit]) -> bool:
        return not over_limits(limits, self._resources.estimate(architecture))

    def evaluate(self, architecture: Architecture, limits: Sequence[Limit]) -> Evaluation:
        resources = self._resources.estimate(architecture)
        if over_limits(limits, resources):
            return Evaluation("over_limit", 0.0, None, resources)
        accuracy = self._surrogate.accuracy(architecture)
        return Evaluation("ok", accuracy, accuracy, resources)


def best_so_far(world: World, contest: Contest, seed: int) -> Array:
    """The best accuracy after each evaluation, shape (evaluations,)."""

    def keeps(architecture: Architecture) -> bool:
        return world.keeps(architecture, contest.limits)

    rungs = ladder(CLASSES)
    start = next(filter(keeps, rungs), rungs[-1])
    make: Callable[..., Controller] = registry.load("controllers", contest.controller)
    controller = make(SearchSpace(), start, seed, prefilter=keeps, **contest.options)
    found: list[float] = []
    for _ in range(PROPOSALS_PER_EVALUATION * contest.evaluations):
        proposal = controller.ask()
        evaluation = world.evaluate(proposal.architecture, contest.limits)
        controller.tell(proposal, evaluation)
        if evaluation.accuracy is not None:
            found.append(evaluation.accuracy)
        if len(found) == contest.evaluations:
            break
    best = np.maximum.accumulate(found) if found else np.zeros(1)
    return np.pad(best, (0, contest.evaluations - len(best)), mode="edge")


def run(path: Path, contests: Sequence[Contest], seeds: int, pool: Executor) -> Iterator[tuple[int, int, Array]]:
    """(number of the contest, seed, best so far) of each run as it ends."""
    futures = {
        pool.submit(_run_one, path, contest, seed): (number, seed)
        for seed in range(seeds)
        for number, contest in enumerate(contests)
    }
    for future in as_completed(futures):
        number, seed = futures[future]
        yield number, seed, future.result()


def _run_one(path: Path, contest: Contest, seed: int) -> Array:
    return best_so_far(_world(path), contest, seed)


@lru_cache(maxsize=1)
def _world(path: Path) -> World:
    return World(path)
