"""RENA on a made-up reward under limits: what its critic does for the search, and what REINFORCE teaches the policy.

Without critic and dreams (`drafts=1, dreams=0`) the policy learns from evaluations alone. The frozen control (learning
rate 0) starts episodes from the same elites: that separates what the policy learns from what the choice of starts does.
"""

from __future__ import annotations

import math
from statistics import mean, median

import numpy as np
import pytest

from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Controller
from rena_kws.controller.random_search import RandomSearch
from rena_kws.controller.rena import RenaController
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.search_space import SearchSpace, seed_architecture

SPACE = SearchSpace()
SEED = seed_architecture(12)
TRIALS = 200
SEEDS = range(12)  # the paired deviation of the mean over seeds is about 0.09: fewer seeds would be a lottery


def judge(architecture: Architecture) -> Evaluation:
    """Accuracy rises with MACs and depth, falls with dense layers; 1 M MACs and 20 kB of weights are limits."""
    figures = cost(architecture)
    if figures.macs > 1_000_000 or figures.weight_bytes > 20_000:
        return Evaluation("over_limit", 0.0)
    kinds = [layer.kind for layer in architecture.layers]
    depth = min(6, sum(kind.endswith("conv2d") for kind in kinds))
    reward = 0.55 + 0.2 * (1 - math.exp(-figures.macs / 8e5)) + 0.03 * depth - 0.04 * kinds.count("dense")
    return Evaluation("ok", reward, accuracy=reward)


def rewards(controller: Controller, trials: int) -> list[float]:
    found = []
    for _ in range(trials):
        proposal = controller.ask()
        evaluation = judge(proposal.architecture)
        controller.tell(proposal, evaluation)
        found.append(evaluation.reward)
    return found


def keeps(architecture: Architecture) -> bool:
    return judge(architecture).status == "ok"


@pytest.mark.slow
def test_the_critic_finds_better_networks_than_random_search_with_five_times_the_trials() -> None:
    ours = [max(rewards(RenaController(SPACE, SEED, seed, keeps), 30)) for seed in range(4)]
    random = [max(rewards(RandomSearch(SPACE, SEED, seed, keeps), 150)) for seed in range(4)]
    assert median(ours) > median(random)


@pytest.mark.slow
def test_reinforce_raises_the_mean_reward_of_the_policy() -> None:
    def last_rewards(learning_rate: float) -> float:
        options = {"drafts": 1, "dreams": 0, "learning_rate": learning_rate}
        return mean(mean(rewards(RenaController(SPACE, SEED, seed, **options), TRIALS)[-50:]) for seed in SEEDS)

    assert last_rewards(3e-3) > last_rewards(0.0)


@pytest.mark.slow
def test_dreams_teach_the_policy_what_the_critic_likes() -> None:
    """The same critic's opinion of fresh drafts, before and after a hundred rounds of dreams."""

    def gained(seed: int) -> float:
        controller = RenaController(SPACE, SEED, seed, keeps, learning_rate=3e-3)
        rewards(controller, 20)
        at_first = mean_gain(controller)
        for number in range(100):
            gradients = {name: np.zeros_like(value) for name, value in controller.policy.parameters.items()}
            controller._dream(np.random.default_rng([7, number]), gradients)
            controller._adam.step(gradients)
        return mean_gain(controller) - at_first

    def mean_gain(controller: RenaController) -> float:
        rng = np.random.default_rng(5)
        drafts = [draft for _ in range(150) if (draft := controller._imagine(rng)) is not None]
        before, _ = controller._critic.predict([draft.start for draft in drafts])
        return float(np.mean(controller._promise(drafts) - before))

    assert mean(gained(seed) for seed in range(3)) > 0.1


def test_the_policy_moves_towards_what_was_rewarded() -> None:
    """Rewarding inserts alone makes them the likely action."""
    controller = RenaController(SPACE, SEED, 0, learning_rate=0.01, max_edits=1, drafts=1, dreams=0)
    actions = []
    for _ in range(120):
        proposal = controller.ask()
        grown = len(proposal.architecture.layers) > len(SEED.layers)
        controller.tell(proposal, Evaluation("failed", float(grown)))  # a failed one is no start: all edit the seed
        actions.append(grown)
    assert np.mean(actions[-40:]) > 0.8 > np.mean(actions[:20])


def test_a_search_that_begins_over_its_limits_wanders_until_it_finds_a_way() -> None:
    controller = RenaController(SPACE, SEED, 0, drafts=8, dreams=2)
    layers = set()
    for _ in range(30):
        proposal = controller.ask()
        controller.tell(proposal, Evaluation("over_limit", 0.0))
        layers.add(proposal.parent)
    assert len(layers) > 5
