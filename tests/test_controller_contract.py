"""The shipped contract over every controller."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from rena_kws import registry
from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Controller
from rena_kws.controller.evolution import AgingEvolution
from rena_kws.controller.random_search import RandomSearch
from rena_kws.controller.rena import RenaController
from rena_kws.controller.tpe import TpeSearch, chain, choices
from rena_kws.errors import InvalidArchitectureError, RenaError
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.search_space import SearchSpace
from rena_kws.testing.controller_contract import SEED_ARCHITECTURE, SPACE, ControllerContract, Prefilter, search


class TestRandomSearch(ControllerContract):
    def make(
        self, space: SearchSpace, seed_architecture: Architecture, seed: int, prefilter: Prefilter | None = None
    ) -> Controller:
        return RandomSearch(space, seed_architecture, seed, prefilter)


class TestRena(ControllerContract):
    """With fewer drafts and dreams than it has by default, in a quarter of the time."""

    def make(
        self, space: SearchSpace, seed_architecture: Architecture, seed: int, prefilter: Prefilter | None = None
    ) -> Controller:
        return RenaController(space, seed_architecture, seed, prefilter, drafts=16, dreams=4)


class TestEvolution(ControllerContract):
    def make(
        self, space: SearchSpace, seed_architecture: Architecture, seed: int, prefilter: Prefilter | None = None
    ) -> Controller:
        return AgingEvolution(space, seed_architecture, seed, prefilter, population=8, sample=3)


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("optuna"), reason="needs Optuna")
class TestTpe(ControllerContract):
    def make(
        self, space: SearchSpace, seed_architecture: Architecture, seed: int, prefilter: Prefilter | None = None
    ) -> Controller:
        return TpeSearch(space, seed_architecture, seed, prefilter)


def test_all_are_registered() -> None:
    assert registry.load("controllers", "rena") is RenaController
    assert registry.load("controllers", "random") is RandomSearch
    assert registry.load("controllers", "evolution") is AgingEvolution
    assert registry.load("controllers", "tpe") is TpeSearch


def test_the_oldest_of_a_population_dies() -> None:
    """The best network is forgotten once as many younger ones were told as the population holds."""
    controller = AgingEvolution(SPACE, SEED_ARCHITECTURE, 0, population=4, sample=4)
    parents = []
    for number in range(12):
        proposal = controller.ask()
        parents.append(proposal.parent)
        controller.tell(proposal, Evaluation("ok", 1.0 if number == 0 else 0.5, 0.5))
    assert set(parents[4:5]) == {SEED_ARCHITECTURE.id}
    assert SEED_ARCHITECTURE.id not in parents[5:]


@pytest.mark.parametrize("options", [{"population": 0}, {"sample": 0}])
def test_a_population_in_which_nobody_competes_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(RenaError, match="at least 1, not"):
        AgingEvolution(SPACE, SEED_ARCHITECTURE, 0, **options)


def test_a_chain_is_made_again_from_its_choices() -> None:
    made = 0
    for proposal in search(RandomSearch(SPACE, SEED_ARCHITECTURE, 3), 60):
        try:
            chosen = choices(proposal.architecture, SPACE)
        except InvalidArchitectureError:
            continue  # two branches: no chain
        made += 1
        assert (
            chain(lambda name, values, c=chosen: values[c[name][0]], SPACE, SEED_ARCHITECTURE) == proposal.architecture
        )
    assert made > 30
