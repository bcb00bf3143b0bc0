"""Random search: a few random edits of the seed network, whatever became of the networks before. The rival to beat."""

from __future__ import annotations

import numpy as np

from rena_kws.controller.base import Controller, Draft
from rena_kws.controller.decisions import UniformChooser, decide
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.edits import apply
from rena_kws.spec.search_space import SearchSpace

MAX_EDITS = 8


class RandomSearch(Controller):
    """Walks 1 to `MAX_EDITS` uniformly chosen edits from the seed network."""

    def _draft(self, rng: np.random.Generator) -> Draft:
        return random_walk(self.seed_architecture, self.space, rng)


def random_walk(start: Architecture, space: SearchSpace, rng: np.random.Generator, max_edits: int = MAX_EDITS) -> Draft:
    """1 to `max_edits` uniformly chosen edits. May raise `InvalidArchitectureError`."""
    architecture, edits = start, []
    chooser = UniformChooser(rng)
    for _ in range(int(rng.integers(1, max_edits + 1))):
        edits.append(decide(architecture, space, chooser))
        architecture = apply(architecture, edits[-1], space)
    return Draft(architecture, start.id, tuple(edits))
