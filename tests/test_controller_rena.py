"""RENA on a made-up reward under limits, against random search and against itself with a frozen policy.

The frozen control (learning rate 0) starts episodes from the same elites, so it separates what the policy learns from
what the choice of starts does. Learning is asserted on the mean reward only: the best network found beats random
search's, but that is the elites' doing, and the frozen control's best is no worse.
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


def rewards(controller: Controller) -> list[float]:
    found = []
    for _ in range(TRIALS):
        proposal = controller.ask()
        evaluation = judge(proposal.architecture)
        controller.tell(proposal, evaluation)
        found.append(evaluation.reward)
    return found


@pytest.mark.slow
def test_learning_raises_the_mean_reward_and_the_search_beats_random() -> None:
    ours = [rewards(RenaController(SPACE, SEED, seed)) for seed in SEEDS]
    random = [rewards(RandomSearch(SPACE, SEED, seed)) for seed in SEEDS]
    frozen = [rewards(RenaController(SPACE, SEED, seed, learning_rate=0.0)) for seed in SEEDS]
    first, last = (mean(mean(run[part]) for run in ours) for part in (slice(0, 50), slice(-50, None)))
    assert last > first
    assert last > mean(mean(run[-50:]) for run in frozen)
    assert last > mean(mean(run[-50:]) for run in random)
    assert median(max(run) for run in ours) > median(max(run) for run in random)


def test_the_policy_moves_towards_what_was_rewarded() -> None:
    """Rewarding inserts alone makes them the likely action."""
    controller = RenaController(SPACE, SEED, 0, learning_rate=0.01, max_edits=1)
    actions = []
    for _ in range(120):
        proposal = controller.ask()
        grown = len(proposal.architecture.layers) > len(SEED.layers)
        controller.tell(proposal, Evaluation("failed", float(grown)))  # a failed one is no start: all edit the seed
        actions.append(grown)
    assert np.mean(actions[-40:]) > 0.8 > np.mean(actions[:20])


def test_a_search_that_begins_over_its_limits_wanders_until_it_finds_a_way() -> None:
    controller = RenaController(SPACE, SEED, 0)
    layers = set()
    for _ in range(30):
        proposal = controller.ask()
        controller.tell(proposal, Evaluation("over_limit", 0.0))
        layers.add(proposal.parent)
    assert len(layers) > 5
