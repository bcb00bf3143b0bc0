"""How much of its time a run has used, and when its search has to leave the rest to the finalists."""

from __future__ import annotations

import time

from rena_kws.store import Store

FINAL_SHARE = 0.5
"""The part of the time that is kept for training the finalists, at most: less where they need less. Shown twice the
clips, a network tells the digits of an unheard speaker better by one to two points and a half in a hundred (125,000 to
400,000 clips, Free Spoken Digits)."""


class RunClock:
    """The run's own time: what earlier sessions of it used counts too. Without `minutes` it has no end."""

    def __init__(self, store: Store, minutes: float | None) -> None:
        earlier = store.replay()
        self._start = time.monotonic() - (earlier[-1].elapsed_s if earlier else 0.0)
        self._budget_s = minutes * 60.0 if minutes is not None else None

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def remaining_s(self) -> float | None:
        return None if self._budget_s is None else max(0.0, self._budget_s - self.elapsed_s)

    def explore_until_s(self, finals_s: float) -> float:
        """When the search ends, if the finalists then take `finals_s`."""
        if self._budget_s is None:
            return float("inf")
        return self._budget_s - min(finals_s, self._budget_s * FINAL_SHARE)
