"""Bayesian optimisation by Optuna's tree-structured Parzen estimator, a rival of RENA.

The estimator knows no graphs, so a network is a chain of slots with a choice of values each, and an add in slot i reads
slot i − 1 and one tensor further back. The first trials are random walks from the seed network, as in the other rivals:
the estimator's own independent draws hardly ever make a sensible network.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Controller, Draft, Proposal
from rena_kws.controller.random_search import random_walk
from rena_kws.errors import InvalidArchitectureError, UnavailableError
from rena_kws.spec.architecture import HYPERPARAMETERS, Architecture, Layer
from rena_kws.spec.search_space import SearchSpace

START_UP = 10
UNORDERED = ("kind", "stride")
"""Choices without an order. Of the others the estimator learns that neighbours are alike."""

Choose = Callable[[str, Sequence[Any]], Any]
"""Given a choice's name and its values, one of them. A name always comes with the same values."""


class TpeSearch(Controller):
    """Proposes what the estimator samples, given all results so far. Raises `UnavailableError` without Optuna."""

    def __init__(
        self,
        space: SearchSpace,
        seed_architecture: Architecture,
        seed: int,
        prefilter: Callable[[Architecture], bool] | None = None,
    ) -> None:
        super().__init__(space, seed_architecture, seed, prefilter)
        try:
            import optuna
        except ImportError:
            raise UnavailableError("the controller tpe needs Optuna: pip install 'rena-kws[rivals]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna: Any = optuna
        self._results: list[Any] = []
        self._study: Any = None

    def ask(self) -> Proposal:
        self._study = None  # All drafts of a proposal come from one study, seeded by the proposal's number
        return super().ask()

    def _draft(self, rng: np.random.Generator) -> Draft:
        if len(self._results) < START_UP:
            return random_walk(self.seed_architecture, self.space, rng)
        self._study = self._study or self._new_study(int(rng.integers(2**31)))
        trial = self._study.ask()

        def choose(name: str, values: Sequence[Any]) -> Any:
            if name.endswith(UNORDERED):
                return values[trial.suggest_categorical(name, range(len(values)))]
            return values[trial.suggest_int(name, 0, len(values) - 1)]

        return Draft(chain(choose, self.space, self.seed_architecture), None, ())

    def _learn(self, proposal: Proposal, evaluation: Evaluation) -> None:
        try:
            chosen = choices(proposal.architecture, self.space)
        except InvalidArchitectureError:
            return  # a random walk, or a user's first network, that is no chain
        distributions = self._optuna.distributions
        self._results.append(
            self._optuna.trial.create_trial(
                params={name: index for name, (index, _) in chosen.items()},
                distributions={
                    name: distributions.CategoricalDistribution(range(count))
                    if name.endswith(UNORDERED)
                    else distributions.IntDistribution(0, count - 1)
                    for name, (_, count) in chosen.items()
                },
                value=evaluation.reward,
            )
        )

    def _new_study(self, seed: int) -> Any:
        with warnings.catch_warnings():  # what it calls experimental has been so for years
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            sampler = self._optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=1)
        study = self._optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(self._results)
        return study


def chain(choose: Choose, space: SearchSpace, like: Architecture) -> Architecture:
    """The network that `choose` decides. Raises `InvalidArchitectureError` where the choices make none."""
    layers: list[Layer] = []
    for number in range(1, choose("depth", range(space.min_layers, space.max_layers + 1)) + 1):
        kind = choose(f"{number}_kind", space.kinds)
        values = {n: choose(f"{number}_{kind}_{n}", space.options(kind, n)) for n in HYPERPARAMETERS[kind]}
        sources: tuple[int, ...] = (number - 1,)
        if kind == "add":
            sources += (number - choose(f"{number}_skip", range(2, space.max_layers + 1)),)
        layers.append(Layer(kind, sources, **values))
    return replace(like, layers=tuple(layers))


def choices(architecture: Architecture, space: SearchSpace) -> dict[str, tuple[int, int]]:
    """Choice → (index of its value, number of values): those that `chain` takes for this network.

    Raises `InvalidArchitectureError` for a network that is no chain of the space.
    """
    made: dict[str, tuple[int, int]] = {}

    def look_up(name: str, values: Sequence[Any]) -> Any:
        value = _value(architecture, name)
        if value not in values:
            raise InvalidArchitectureError(f"a chain's {name} is one of {', '.join(map(str, values))}; got {value}")
        made[name] = (list(values).index(value), len(values))
        return value

    if chain(look_up, space, architecture) != architecture:
        raise InvalidArchitectureError(f"network {architecture.id} must be a chain of layers")
    return made


def _value(architecture: Architecture, name: str) -> Any:
    """What a choice of `chain` is in a network."""
    if name == "depth":
        return len(architecture.layers)
    number, _, rest = name.partition("_")
    layer = architecture.layers[int(number) - 1]
    if rest == "skip":
        return int(number) - layer.sources[1]
    return layer.kind if rest == "kind" else getattr(layer, rest.removeprefix(f"{layer.kind}_"))
