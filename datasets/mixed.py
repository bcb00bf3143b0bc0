"""One dataset with the training clips of another mixed in: recordings are few, synthesised voices are many.

Validation and test stay those of the first, so what is scored is what the user has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from rena_kws.datasets.base import Clip, Dataset
from rena_kws.errors import DatasetError


class MixedDataset(Dataset):
    """`main` as it is; its training split goes on with those clips of `more` whose label `main` knows."""

    def __init__(self, main: Dataset, more: Dataset) -> None:
        self._main, self._more = main, more
        if not set(main.labels) & set(more.labels):
            raise DatasetError(
                f"what is mixed in must share a label with the dataset: {', '.join(main.labels)}; "
                f"got {', '.join(more.labels)}"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        return self._main.labels

    @property
    def fingerprint(self) -> str:
        both = f"{self._main.fingerprint} {self._more.fingerprint}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        """Clips of labels that only the other dataset knows are counted too, though they are left out."""
        return self._main.count(split) + (self._more.count(split) if split == "train" else 0)

    def split(self, split: str) -> Iterator[Clip]:
        yield from self._main.split(split)
        if split == "train":
            yield from (clip for clip in self._more.split(split) if clip.label in self._main.labels)

    @property
    def skipped(self) -> Mapping[str, str]:
        return {**self._main.skipped, **self._more.skipped}

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._main.notes, *self._more.notes)
