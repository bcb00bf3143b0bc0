"""Training clips from elsewhere: of another dataset, mixed in, since recordings are few and synthesised voices many; or
of another split.

Validation and test stay those of the first, so what is scored is what the user has. Where one has very few training
clips they come again and again, to be augmented otherwise each time: a hundred would drown in ten thousand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from rena_kws.datasets.base import Clip, Dataset
from rena_kws.errors import DatasetError

LEAST_SHARE = 0.2
"""Of either dataset in training, as near as whole repetitions of its clips come to it."""


class MixedDataset(Dataset):
    """`main` as it is; its training split goes on with those clips of `more` whose label `main` knows. The smaller of
    both is repeated up to `LEAST_SHARE`."""

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
        both = f"{self._main.fingerprint} {self._more.fingerprint} {LEAST_SHARE}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        """Clips of labels that only the other dataset knows are counted too, though they are left out."""
        return sum(part.count(split) for part in self.parts(split))

    def split(self, split: str) -> Iterator[Clip]:
        for part in self.parts(split):
            yield from part.split(split)

    def parts(self, split: str) -> Sequence[Dataset]:
        """Either as it is, if it may be: voices that take minutes to speak then serve alone and in every mixture."""
        if split != "train":
            return (self._main,)
        both = zip((self._main, self._more), self._repetitions(), strict=True)
        return [
            dataset if times == 1 and dataset.labels == self.labels else _Repeated(dataset, self.labels, times)
            for dataset, times in both
        ]

    def _repetitions(self) -> tuple[int, int]:
        """How often the training clips of either come."""
        main, more = self._main.count("train"), self._more.count("train")
        odds = LEAST_SHARE / (1 - LEAST_SHARE)
        return max(1, round(odds * more / max(1, main))), max(1, round(odds * main / max(1, more)))

    @property
    def skipped(self) -> Mapping[str, str]:
        return {**self._main.skipped, **self._more.skipped}

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._main.notes, *self._more.notes)


class _Repeated(Dataset):
    """Those training clips of a dataset that have one of some labels, over and over."""

    def __init__(self, dataset: Dataset, labels: tuple[str, ...], times: int) -> None:
        self._dataset, self._labels, self._times = dataset, labels, times

    @property
    def labels(self) -> tuple[str, ...]:
        return self._labels

    @property
    def fingerprint(self) -> str:
        what = f"{self._dataset.fingerprint} {self._labels} {self._times}"
        return hashlib.sha256(what.encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        return self._times * self._dataset.count(split)

    def split(self, split: str) -> Iterator[Clip]:
        for _ in range(self._times):
            yield from (clip for clip in self._dataset.split(split) if clip.label in self._labels)


class ValidationAsTraining(Dataset):
    """The clips that `main` validates with, to train on. It has no other split."""

    def __init__(self, main: Dataset) -> None:
        self._main = main

    @property
    def labels(self) -> tuple[str, ...]:
        return self._main.labels

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self._main.fingerprint} validation".encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        return self._main.count("validation") if split == "train" else 0

    def split(self, split: str) -> Iterator[Clip]:
        if split != "train":
            raise DatasetError(f"the validation clips were taken for training: there is no {split} split")
        yield from self._main.split("validation")
