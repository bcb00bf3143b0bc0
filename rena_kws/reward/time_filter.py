"""Which networks a search has time for: a few that take all of it teach it nothing, however good they are.

What limits a device sets, a search without them lacks: it grows networks, and one that is twenty times as large learns
more from the same clips and leaves no time for a second one, nor for the long training in the end.
"""

from __future__ import annotations

import numpy as np

from rena_kws.reward.resource_model import fit_nonnegative
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost

LEAST_TRIALS = 20
"""As many networks are to be trained, if the search has the time for any."""
LONGEST_TRIAL_S = 900.0
"""However long the search: half of what a worker is given before it counts as hung."""
MACS_PER_S = 5e9
"""What a worker trains until one has been timed, MACs of an inference times the clips, three for one (forward, and
backward for data and for weights): about a core of 2024."""


class TimeFilter:
    """A predicate on networks. `search_s` is the search's time, inf for no end; `clips` what a trial is shown. What
    takes no longer than the `first` network passes, however short the time."""

    def __init__(self, search_s: float, workers: int, clips: int, first: Architecture) -> None:
        self._share_s = min(search_s * workers / LEAST_TRIALS, LONGEST_TRIAL_S)
        self._first = _terms(first)
        self._coefficients = np.array([0.0, 3 * clips / MACS_PER_S])
        self._trained: list[tuple[list[float], float]] = []

    def learn(self, architecture: Architecture, train_s: float) -> None:
        """Take a network that was trained to the end into account."""
        self._trained.append((_terms(architecture), train_s))
        terms, seconds = zip(*self._trained, strict=True)
        self._coefficients = fit_nonnegative(np.array(terms), np.array(seconds))

    def __call__(self, architecture: Architecture) -> bool:
        train_s, first_s = (float(self._coefficients @ terms) for terms in (_terms(architecture), self._first))
        return train_s <= max(self._share_s, first_s)


def _terms(architecture: Architecture) -> list[float]:
    """A step costs something for each layer, and then for the MACs."""
    return [float(1 + len(architecture.layers)), float(cost(architecture).macs)]
