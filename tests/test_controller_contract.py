"""The shipped contract over both controllers."""

from __future__ import annotations

from rena_kws import registry
from rena_kws.controller.base import Controller
from rena_kws.controller.random_search import RandomSearch
from rena_kws.controller.rena import RenaController
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.search_space import SearchSpace
from rena_kws.testing.controller_contract import ControllerContract, Prefilter


class TestRandomSearch(ControllerContract):
    def make(
        self, space: SearchSpace, seed_architecture: Architecture, seed: int, prefilter: Prefilter | None = None
    ) -> Controller:
        return RandomSearch(space, seed_architecture, seed, prefilter)


class TestRena(ControllerContract):
    def make(
        self, space: SearchSpace, seed_architecture: Architecture, seed: int, prefilter: Prefilter | None = None
    ) -> Controller:
        return RenaController(space, seed_architecture, seed, prefilter)


def test_both_are_registered() -> None:
    assert registry.load("controllers", "rena") is RenaController
    assert registry.load("controllers", "random") is RandomSearch
