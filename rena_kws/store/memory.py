"""A store that ends with the process: for benchmarks and tests."""

from __future__ import annotations

from rena_kws.store.base import Store, Trial


class MemoryStore(Store):
    def __init__(self) -> None:
        self._trials: list[Trial] = []

    def append(self, trial: Trial) -> None:
        self._trials.append(trial)

    def replay(self) -> list[Trial]:
        return list(self._trials)
