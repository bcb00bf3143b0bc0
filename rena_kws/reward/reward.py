"""RENA's reward: performance, discounted for every resource that goes over its limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rena_kws.reward.limits import Limit

PENALTY = 0.9
"""Base penalty p of a soft limit; p → 0 is a hard one."""


def reward(accuracy: float, resources: Mapping[str, float], limits: Iterable[Limit], penalty: float = PENALTY) -> float:
    """R = P · Π_j p^V_j, with V_j the relative violation of limit j (RENA, arXiv 1806.07912; recalled).

    `accuracy` in [0, 1]; `penalty` in [0, 1], 0 for hard limits: then any violation gives 0. The result is in [0, 1].
    """
    value = accuracy
    for limit in limits:
        value *= penalty ** limit.violation(resources)  # 0 ** 0 is 1: a kept limit never costs anything
    return value
