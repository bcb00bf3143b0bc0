"""Which networks are worth measuring: those that could keep the hard limits, by what is known before they are built.

Parameters, MACs and intensity are exact, and weights are in flash whatever else is. Latency, flash, RAM and energy are
estimated from the networks measured so far, with allowance for the error of the estimate: the filter gets better as a
search goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rena_kws.reward.limits import Limit
from rena_kws.reward.resource_model import ResourceModel
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost

WITH_WEIGHTS = ("flash_bytes", "stream_flash_bytes")
"""Resources that are at least the bytes of the weights."""


class LimitFilter:
    """A predicate on networks. Without `limits` everything passes."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = list(limits)
        self._measured: list[tuple[Architecture, Mapping[str, float]]] = []
        self._model: ResourceModel | None = None

    def learn(self, architecture: Architecture, resources: Mapping[str, float]) -> None:
        """Take a measured network into account."""
        if self._limits and all(limit.resource in resources for limit in self._limits):
            self._measured.append((architecture, resources))
            self._model = None

    def __call__(self, architecture: Architecture) -> bool:
        if not self._limits:
            return True
        price = cost(architecture)
        exact = {"params": price.params, "macs": price.macs, "intensity": price.intensity}
        if any(limit.violation(exact) for limit in self._limits if limit.resource in exact):
            return False
        if any(price.weight_bytes > limit.value for limit in self._limits if limit.resource in WITH_WEIGHTS):
            return False
        if self._model is None:
            self._model = ResourceModel(self._measured)
        estimates, error = self._model.estimate(architecture), self._model.error
        return all(
            estimates[limit.resource] <= limit.value * (1 + error[limit.resource])
            for limit in self._limits
            if limit.resource in estimates
        )
