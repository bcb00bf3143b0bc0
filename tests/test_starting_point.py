"""Where a search begins: the largest network of the ladder that keeps the limits, measured and not guessed."""

from __future__ import annotations

import pytest

from rena_kws.artifacts import Evaluation
from rena_kws.errors import CandidateError, LimitError
from rena_kws.pipeline import Outcome, Task
from rena_kws.reward import parse_limit
from rena_kws.spec.architecture import KINDS, TFLITE_KINDS, Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.search_space import SearchSpace, ladder
from rena_kws.starting_point import refuse_impossible_limits, search_space, starting_network

CLASSES = 12
SPACE = SearchSpace()
RUNGS = ladder(CLASSES)


def measure(architecture: Architecture) -> Outcome:
    """A device that takes a millisecond for 100,000 multiply-accumulates."""
    return Outcome(Evaluation("ok", 0.0, None, {"latency_ms": cost(architecture).macs / 1e5, "ram_bytes": 5_000.0}))


def task(*limits: str, soft: bool = False) -> Task:
    return Task("cortex-m", "synthetic", limits=tuple(parse_limit(limit) for limit in limits), soft=soft)


def start(given: Task, fits: bool = True) -> Architecture:
    return starting_network(SPACE, CLASSES, given, measure, lambda network: fits or network == RUNGS[2])


def test_the_ladder_goes_down() -> None:
    sizes = [cost(rung).macs for rung in RUNGS]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)
    for rung in RUNGS:
        for layer in rung.layers:
            SearchSpace().check(layer)


def test_the_space_is_what_every_device_runs() -> None:
    assert search_space(task()).kinds == KINDS
    assert search_space(task("ram_bytes=5000")).kinds == KINDS
    assert search_space(task("cpu:latency_ms=5")).kinds == TFLITE_KINDS


@pytest.mark.parametrize("index", range(len(RUNGS)))
def test_the_largest_within_the_limit(index: int) -> None:
    just_enough = cost(RUNGS[index]).macs / 1e5
    assert start(task(f"latency_ms={just_enough}")) == RUNGS[index]


def test_without_hard_limits_the_first_and_where_none_fits_the_last() -> None:
    assert start(task()) == RUNGS[0]
    assert start(task("latency_ms=0.001", soft=True)) == RUNGS[0]
    assert start(task("latency_ms=0.001")) == RUNGS[-1]


def test_what_cannot_fit_is_not_measured_and_what_fails_is_passed_over() -> None:
    assert start(task("latency_ms=1000"), fits=False) == RUNGS[2]

    def refuses_large(architecture: Architecture) -> Outcome:
        if architecture in RUNGS[:2]:
            raise CandidateError("it does not fit into the device's memory")
        return measure(architecture)

    assert starting_network(SPACE, CLASSES, task("latency_ms=1000"), refuses_large, lambda _: True) == RUNGS[2]


def test_a_limit_that_the_least_network_breaks_is_refused_with_its_figure() -> None:
    refuse_impossible_limits(SearchSpace(), CLASSES, task("ram_bytes=5000"), measure)
    with pytest.raises(LimitError, match=r"ram_bytes.*least possible on cortex-m is 5000"):
        refuse_impossible_limits(SearchSpace(), CLASSES, task("ram_bytes=4999"), measure)
    refuse_impossible_limits(SearchSpace(), CLASSES, task("ram_bytes=4999", soft=True), measure)
