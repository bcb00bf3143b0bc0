"""Which networks a search has time for, by made-up times of real networks."""

from __future__ import annotations

import numpy as np
import pytest

from rena_kws.cli.compare_cmd import SHIPPED_TABLE
from rena_kws.reward.time_filter import LEAST_TRIALS, LONGEST_TRIAL_S, TimeFilter
from rena_kws.search_benchmark import table
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.search_space import seed_architecture

NETWORKS = [row.architecture for row in table.read(SHIPPED_TABLE)]
TINY, LARGE = seed_architecture(10, channels=8, blocks=1), seed_architecture(10, channels=96, blocks=6)


def train_s(network: Architecture) -> float:
    return 0.6 * (1 + len(network.layers)) + 9e-6 * cost(network).macs


def filter_of(share_s: float, first: Architecture = TINY, workers: int = 2) -> TimeFilter:
    """One whose trials may take `share_s` each."""
    return TimeFilter(share_s * LEAST_TRIALS / workers, workers, 20_000, first)


def test_without_an_end_there_is_time_for_what_a_worker_is_given() -> None:
    endless = TimeFilter(float("inf"), 2, 20_000, TINY)
    assert endless(LARGE)
    endless.learn(LARGE, 0.9 * LONGEST_TRIAL_S)
    assert endless(LARGE)
    endless.learn(LARGE, 2 * LONGEST_TRIAL_S)
    assert not endless(LARGE)


@pytest.mark.parametrize("share_s", [5.0, 10.0, 20.0])
def test_some_times_tell_those_of_others(share_s: float) -> None:
    in_time = filter_of(share_s)
    rng = np.random.default_rng(0)
    for network in NETWORKS[:20]:
        in_time.learn(network, train_s(network) * rng.uniform(0.85, 1.15))
    for network in NETWORKS[20:]:
        if not 0.8 < train_s(network) / share_s < 1.25:
            assert in_time(network) == (train_s(network) <= share_s)
    assert {in_time(network) for network in NETWORKS[20:]} == {True, False}


def test_before_any_was_timed_only_the_far_too_large_are_refused() -> None:
    in_time = filter_of(20.0)
    assert not in_time(LARGE) and in_time(seed_architecture(10))
    in_time.learn(TINY, 0.05)  # a machine that is much faster
    assert in_time(LARGE)


def test_what_is_no_slower_than_the_first_always_passes() -> None:
    in_time = filter_of(0.001, first=LARGE)
    in_time.learn(LARGE, 60.0)
    assert in_time(LARGE) and in_time(TINY)
    assert not filter_of(0.001, first=TINY)(LARGE)


def test_more_workers_leave_more_time_for_each() -> None:
    few, many = (TimeFilter(300.0, workers, 20_000, TINY) for workers in (1, 8))
    assert not few(LARGE) and many(LARGE)
