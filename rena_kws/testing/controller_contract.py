"""What every controller must keep. A plug-in's test subclasses `ControllerContract` and says how to make one:

class TestMine(ControllerContract):
    def make(self, space, seed_architecture, seed, prefilter=None):
        return MyController(space, seed_architecture, seed, prefilter)
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable

from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Controller, Proposal
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.edits import apply
from rena_kws.spec.search_space import SearchSpace, seed_architecture

TRIALS = 25
SPACE = SearchSpace()
SEED_ARCHITECTURE = seed_architecture(classes=12)
Prefilter = Callable[[Architecture], bool]


def evaluate(proposal: Proposal) -> Evaluation:
    """A made-up but fixed result: the deeper the better, every fifth one fails, the large ones are over a limit."""
    macs = cost(proposal.architecture).macs
    if proposal.number % 5 == 4:
        return Evaluation("failed", 0.0, reason="made up")
    if macs > 1_000_000:
        return Evaluation("over_limit", 0.0, resources={"macs": macs})
    reward = 0.5 + 0.03 * len(proposal.architecture.layers)
    return Evaluation("ok", reward, accuracy=reward, resources={"macs": macs})


def search(controller: Controller, trials: int) -> list[Proposal]:
    """Ask and tell in turn."""
    proposals = []
    for _ in range(trials):
        proposals.append(controller.ask())
        controller.tell(proposals[-1], evaluate(proposals[-1]))
    return proposals


class ControllerContract(ABC):
    """Subclass it in a test module; pytest runs its tests over the controller that `make` gives."""

    @abstractmethod
    def make(
        self, space: SearchSpace, seed_architecture: Architecture, seed: int, prefilter: Prefilter | None = None
    ) -> Controller:
        """A fresh controller."""

    def _default(self, seed: int = 1, prefilter: Prefilter | None = None) -> Controller:
        return self.make(SPACE, SEED_ARCHITECTURE, seed, prefilter)

    def test_first_proposal_is_the_seed_network(self) -> None:
        first = self._default().ask()
        assert (first.number, first.architecture, first.parent) == (0, SEED_ARCHITECTURE, None)

    def test_numbers_count_up_and_no_network_comes_twice(self) -> None:
        proposals = search(self._default(), TRIALS)
        assert [proposal.number for proposal in proposals] == list(range(TRIALS))
        assert len({proposal.architecture.id for proposal in proposals}) == TRIALS

    def test_edits_lead_from_the_parent_to_the_proposal(self) -> None:
        known = {SEED_ARCHITECTURE.id: SEED_ARCHITECTURE}
        for proposal in search(self._default(), TRIALS):
            if proposal.parent is not None:
                architecture = known[proposal.parent]
                for edit in proposal.edits:
                    architecture = apply(architecture, edit, SPACE)
                assert architecture == proposal.architecture
            known[proposal.architecture.id] = proposal.architecture

    def test_proposals_survive_json(self) -> None:
        for proposal in search(self._default(), TRIALS):
            assert Proposal.from_json(json.loads(json.dumps(proposal.as_json()))) == proposal

    def test_equal_seeds_repeat_and_others_differ(self) -> None:
        first, again, other = (search(self._default(seed), TRIALS) for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_a_replay_continues_as_if_never_stopped(self) -> None:
        whole = search(self._default(), TRIALS)
        resumed = self._default()
        for proposal in whole[: TRIALS // 2]:
            stored = Proposal.from_json(json.loads(json.dumps(proposal.as_json())))
            resumed.tell(stored, evaluate(stored))
        assert search(resumed, TRIALS - TRIALS // 2) == whole[TRIALS // 2 :]

    def test_every_kind_of_a_space_is_proposed(self) -> None:
        kinds = ("conv2d", "dense", "gru")
        start = Architecture(3, (seed_architecture(3).layers[0],))
        proposals = search(self.make(SearchSpace(kinds=kinds, max_layers=3), start, 1), TRIALS)
        assert {layer.kind for proposal in proposals for layer in proposal.architecture.layers} == set(kinds)

    def test_several_proposals_may_be_outstanding(self) -> None:
        controller = self._default()
        for _ in range(4):
            batch = [controller.ask() for _ in range(4)]
            assert len({proposal.architecture.id for proposal in batch}) == 4
            for proposal in reversed(batch):
                controller.tell(proposal, evaluate(proposal))

    def test_the_filter_is_kept(self) -> None:
        def small(architecture: Architecture) -> bool:
            return cost(architecture).params <= 5000

        assert all(small(proposal.architecture) for proposal in search(self._default(prefilter=small), TRIALS))

    def test_a_filter_that_refuses_all_is_no_dead_end(self) -> None:
        proposals = search(self._default(prefilter=lambda _: False), 4)
        assert len({proposal.architecture.id for proposal in proposals}) == 4

    def test_a_space_with_few_networks_is_no_dead_end(self) -> None:
        space = SearchSpace(
            kinds=("conv2d",), kernel_h=(3,), kernel_w=(3,), stride=((2, 2),), channels=(8, 16), max_layers=1
        )
        only = Architecture(3, (seed_architecture(3).layers[0],))
        assert len(search(self.make(space, only, 1), 8)) == 8
