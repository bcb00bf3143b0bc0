"""Estimates against emulated measurements of the shipped table, held out, and the filter that is made of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from rena_kws.cli.compare_cmd import SHIPPED_TABLE
from rena_kws.reward import Limit, over_limits
from rena_kws.reward.limit_filter import LimitFilter
from rena_kws.reward.resource_model import LEAST_NETWORKS, ResourceModel
from rena_kws.search_benchmark import table
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.search_space import seed_architecture

ROWS = table.read(SHIPPED_TABLE)
SEED = seed_architecture(10)


def measured(rows: list[table.Row]) -> list[tuple[Architecture, Mapping[str, float]]]:
    return [(row.architecture, row.resources) for row in rows]


@pytest.mark.parametrize(
    ("resource", "median", "most"), [("latency_ms", 0.12, 0.45), ("flash_bytes", 0.04, 0.12), ("ram_bytes", 0.2, 0.4)]
)
def test_fifty_measurements_predict_the_others(resource: str, median: float, most: float) -> None:
    model = ResourceModel(measured(ROWS[:50]))
    errors = [abs(model.estimate(row.architecture)[resource] / row.resources[resource] - 1) for row in ROWS[50:]]
    assert np.median(errors) < median
    assert np.quantile(errors, 0.9) < most


def test_it_knows_how_wrong_it_is() -> None:
    """About nine of ten networks that it has not seen lie within its own figure of its error."""
    model = ResourceModel(measured(ROWS[:80]))
    for resource, error in model.error.items():
        within = [
            abs(model.estimate(row.architecture)[resource] / row.resources[resource] - 1) <= error for row in ROWS[80:]
        ]
        assert 0.75 < np.mean(within) < 0.99


def test_a_sum_of_its_terms_is_found_exactly() -> None:
    """Made-up costs: two cycles a product of every convolution and nothing else."""
    networks = [row.architecture for row in ROWS[:120]]

    def latency_ms(architecture: Architecture) -> float:
        return 1.0 + 2e-5 * sum(op.macs for op in cost(architecture).ops if op.op in ("conv", "dense", "depthwise"))

    model = ResourceModel([(network, {"latency_ms": latency_ms(network)}) for network in networks])
    for row in ROWS[120:160]:
        estimate = model.estimate(row.architecture)["latency_ms"]
        assert estimate == pytest.approx(latency_ms(row.architecture), rel=0.02)


def test_too_few_measurements_give_no_estimates_and_no_refusals() -> None:
    rows = ROWS[: LEAST_NETWORKS - 1]
    assert ResourceModel(measured(rows)).estimate(SEED) == {}
    may_fit = LimitFilter([Limit("latency_ms", 1e-6)])
    for row in rows:
        may_fit.learn(row.architecture, row.resources)
    assert may_fit(SEED)


def test_the_filter_refuses_most_of_what_breaks_a_limit_and_little_else() -> None:
    limits = [Limit("latency_ms", 10), Limit("ram_bytes", 16_000)]
    may_fit = LimitFilter(limits)
    for row in ROWS[:100]:
        may_fit.learn(row.architecture, row.resources)
    kept = [may_fit(row.architecture) for row in ROWS[100:] if not over_limits(limits, row.resources)]
    broken = [may_fit(row.architecture) for row in ROWS[100:] if over_limits(limits, row.resources)]
    assert np.mean(kept) > 0.95
    assert np.mean(broken) < 0.4


def test_what_is_exact_is_refused_without_any_measurement() -> None:
    price = cost(SEED)
    assert not LimitFilter([Limit("params", price.params - 1)])(SEED)
    assert not LimitFilter([Limit("macs", price.macs - 1)])(SEED)
    assert not LimitFilter([Limit("flash_bytes", price.weight_bytes - 1)])(SEED)
    assert not LimitFilter([Limit("intensity_min", price.intensity * 1.01)])(SEED)
    assert LimitFilter([Limit("params", price.params), Limit("intensity_min", price.intensity)])(SEED)


def test_a_limit_of_another_device_is_estimated_from_its_own_measurements() -> None:
    may_fit = LimitFilter([Limit("latency_ms", 2, "cortex-m7")])
    for row in ROWS[:60]:
        may_fit.learn(row.architecture, {"latency_ms": 99, "cortex-m7:latency_ms": row.resources["latency_ms"] / 4})
    by_latency = sorted(ROWS[60:], key=lambda row: row.resources["latency_ms"])
    assert may_fit(by_latency[0].architecture)
    assert not may_fit(by_latency[-1].architecture)
