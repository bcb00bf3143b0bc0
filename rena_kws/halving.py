"""Successive halving: a network that does worse than the median of the earlier ones after a part of its training stops.

As in ASHA (Li et al., arXiv 1810.05934; recalled) nobody waits for a rung to fill: the median is over the networks so
far, with one rung and half of the networks promoted. What would have come of a network that stopped is estimated: it
gains what the others gained, in the median, from there to the end.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

from rena_kws.artifacts import Evaluation

LEAST_NETWORKS = 8
"""Before any stops."""


class Halving:
    """What the rung's figures of the networks so far say. All figures are rewards."""

    def __init__(self) -> None:
        self._early: list[float] = []
        self._gains: list[float] = []

    @property
    def bar(self) -> float:
        """What a network has to earn at the rung to go on."""
        return statistics.median(self._early) if len(self._early) >= LEAST_NETWORKS else 0.0

    def judged(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation; of a network that stopped with the reward that it would have had."""
        if evaluation.status != "stopped" or evaluation.early_reward is None or not self._gains:
            return evaluation
        return replace(evaluation, reward=evaluation.early_reward + statistics.median(self._gains))

    def learn(self, evaluation: Evaluation) -> None:
        """Of any evaluation, in the order in which they came."""
        if evaluation.early_reward is None:
            return
        self._early.append(evaluation.early_reward)
        if evaluation.status == "ok":
            self._gains.append(evaluation.reward - evaluation.early_reward)
