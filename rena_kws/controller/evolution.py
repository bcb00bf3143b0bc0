"""Regularised (aging) evolution: Real et al., "Regularized Evolution for Image Classifier Architecture Search",
arXiv 1802.01548.

A population begins as random walks from the seed network. Then, each time, a few of it are sampled, the best of those
is changed by one random edit, and the child replaces the oldest. A rival of RENA: same edits, no learning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Controller, Draft, Proposal
from rena_kws.controller.decisions import UniformChooser, decide
from rena_kws.controller.random_search import random_walk
from rena_kws.errors import RenaError
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.edits import apply
from rena_kws.spec.search_space import SearchSpace


class AgingEvolution(Controller):
    """`population` networks, of which `sample` compete to be the parent.

    The paper's 100 and 25 are for 20,000 trials; the defaults were the best of a grid for 100 trials. Raises
    `RenaError` where nobody could compete.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed_architecture: Architecture,
        seed: int,
        prefilter: Callable[[Architecture], bool] | None = None,
        *,
        population: int = 16,
        sample: int = 5,
    ) -> None:
        if population < 1 or sample < 1:
            raise RenaError(f"evolution needs a population and a sample of at least 1, not {population} and {sample}")
        super().__init__(space, seed_architecture, seed, prefilter)
        self._population: deque[tuple[float, Architecture]] = deque(maxlen=population)
        self._sample = sample

    def _draft(self, rng: np.random.Generator) -> Draft:
        if len(self._population) < (self._population.maxlen or 0):
            return random_walk(self.seed_architecture, self.space, rng)
        drawn = rng.choice(len(self._population), min(self._sample, len(self._population)), replace=False)
        _, parent = max((self._population[index] for index in drawn), key=lambda member: member[0])
        edit = decide(parent, self.space, UniformChooser(rng))
        return Draft(apply(parent, edit, self.space), parent.id, (edit,))

    def _learn(self, proposal: Proposal, evaluation: Evaluation) -> None:
        self._population.append((evaluation.reward, proposal.architecture))
