"""Random search: a few random edits of the seed network, whatever became of the networks before. The rival to beat."""

from __future__ import annotations

import numpy as np

from rena_kws.controller.base import Controller, Draft
from rena_kws.controller.decisions import UniformChooser, decide
from rena_kws.spec.edits import apply

MAX_EDITS = 8


class RandomSearch(Controller):
    """Walks 1 to `MAX_EDITS` uniformly chosen edits from the seed network."""

    def _draft(self, rng: np.random.Generator) -> Draft:
        architecture, edits = self.seed_architecture, []
        chooser = UniformChooser(rng)
        for _ in range(int(rng.integers(1, MAX_EDITS + 1))):
            edits.append(decide(architecture, self.space, chooser))
            architecture = apply(architecture, edits[-1], self.space)
        return Draft(architecture, self.seed_architecture.id, tuple(edits))
