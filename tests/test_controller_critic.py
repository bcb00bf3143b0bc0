"""The critic against scikit-learn's Gaussian process, and what it is for: ranking networks it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.controller.critic import Critic, normal_scores
from rena_kws.controller.random_search import RandomSearch
from rena_kws.spec.architecture import KINDS, Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.descriptor import describe
from rena_kws.spec.search_space import SearchSpace, seed_architecture

SEED = seed_architecture(10)


def networks(count: int, seed: int = 0) -> list[Architecture]:
    walker = RandomSearch(SearchSpace(), SEED, seed)
    return [walker.ask().architecture for _ in range(count)]


def taught(known: list[Architecture], reward: np.ndarray) -> Critic:
    critic = Critic(networks(64, seed=9))
    for network, value in zip(known, reward, strict=True):
        critic.learn(network, float(value))
    return critic


def test_mean_and_deviation_equal_those_of_scikit_learn() -> None:
    process = pytest.importorskip("sklearn.gaussian_process")
    kernels = process.kernels
    rng = np.random.default_rng(0)
    known, others = networks(30), networks(10, seed=1)
    critic = taught(known, rng.normal(size=30))
    mean, deviation = critic.predict(others)
    fit = critic._fit
    assert fit is not None
    reference = networks(64, seed=9)
    described = np.array([describe(network) for network in reference])
    lacking = set(KINDS) - set(SearchSpace().kinds)  # whose counts are the same in all networks
    spread = np.maximum(described.std(axis=0), 1e-3) * (described.shape[1] - len(lacking)) ** 0.5

    def scaled(given: list[Architecture]) -> np.ndarray:
        return np.asarray((np.array([describe(network) for network in given]) - described.mean(axis=0)) / spread)

    theirs = process.GaussianProcessRegressor(
        kernels.Matern(length_scale=fit._length, nu=2.5), alpha=fit._noise + 1e-8, optimizer=None
    ).fit(scaled(known), normal_scores(critic._rewards))
    expected_mean, expected_deviation = theirs.predict(scaled(others), return_std=True)
    assert mean == pytest.approx(expected_mean, abs=1e-6)
    assert deviation == pytest.approx(expected_deviation, abs=1e-6)
    assert fit.log_likelihood - 15 * np.log(2 * np.pi) == pytest.approx(theirs.log_marginal_likelihood_value_)


def test_it_ranks_networks_it_has_not_seen() -> None:
    """A reward that rises with MACs and falls with depth, seen on 40 networks, judged on 60 others."""
    everything = networks(100)
    reward = np.array([np.log(cost(network).macs) - 0.3 * len(network.layers) for network in everything])
    mean, _ = taught(everything[:40], reward[:40]).predict(everything[40:])
    ranks = [np.argsort(np.argsort(values)) for values in (mean, reward[40:])]
    assert np.corrcoef(*ranks)[0, 1] > 0.8


def test_it_is_unsure_of_what_it_has_not_seen_and_less_so_of_what_is_pending() -> None:
    known, (_, pending, other) = networks(20), networks(3, seed=5)  # the first is the seed itself
    critic = taught(known, np.arange(20.0))
    mean, deviation = critic.predict([known[0], pending, other])
    assert deviation[0] < deviation[1] and deviation[0] < deviation[2]
    same_mean, with_pending = critic.predict([known[0], pending, other], [pending])
    assert same_mean == pytest.approx(mean)
    assert with_pending[1] < deviation[1]
    assert (with_pending <= deviation + 1e-12).all()


def test_without_observations_it_has_no_opinion() -> None:
    mean, deviation = Critic(networks(8)).predict(networks(3))
    assert not mean.any() and (deviation == 1).all()


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_normal_scores_keep_the_order_and_are_centred(values: list[float]) -> None:
    scores = normal_scores(values)
    for a, score_a in zip(values, scores, strict=True):
        for b, score_b in zip(values, scores, strict=True):
            assert (a < b) == (score_a < score_b)
    if len(set(values)) == len(values):
        assert scores.sum() == pytest.approx(0, abs=1e-9)
