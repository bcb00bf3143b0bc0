"""What datasets made of sound files share: a list of recordings decides everything; reading them is always the same."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from rena_kws.datasets import audio
from rena_kws.datasets.base import SAMPLE_RATE_HZ, Clip, Dataset, check_split, printable
from rena_kws.errors import DatasetError


@dataclass(frozen=True)
class Recording:
    """A sound file, not read yet."""

    path: Path
    label: str
    speaker: str
    split: str


class RecordedDataset(Dataset):
    """A dataset whose clips are sound files below `root`."""

    place: Literal["centre", "start"] = "centre"  # Where a recording shorter than a clip lies in it.

    def __init__(self, root: Path) -> None:
        self.root = root
        self._skipped: dict[str, str] = {}

    @cached_property
    @abstractmethod
    def recordings(self) -> tuple[Recording, ...]:
        """All files in a fixed order."""

    @property
    def options(self) -> Sequence[object]:
        """What the clips depend on beside the files; part of the fingerprint."""
        return ()

    @property
    def skipped(self) -> Mapping[str, str]:
        return dict(self._skipped)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint_of((type(self).__name__, self.labels, *self.options), self.root, self.recordings)

    def count(self, split: str) -> int:
        check_split(split)
        return sum(item.split == split for item in self.recordings)

    def split(self, split: str) -> Iterator[Clip]:
        check_split(split)
        found = False
        for item in self.recordings:
            if item.split == split and (clip := self._read(item)) is not None:
                found = True
                yield clip
        if not found:
            first = next((f" (first: {name}: {why})" for name, why in self._skipped.items()), "")
            raise DatasetError(
                f"the {split} split of {self.root} has no usable clip: {self.count(split)} files, "
                f"{len(self._skipped)} skipped{first}"
            )

    def _read(self, item: Recording) -> Clip | None:
        source = printable(item.path.relative_to(self.root).as_posix())
        try:
            sound = audio.read(item.path)
        except audio.UnreadableError as error:
            self._skipped[source] = str(error)
            return None
        return Clip(audio.fit(sound, self.place), item.label, item.speaker, source, len(sound) / SAMPLE_RATE_HZ)


def fingerprint_of(options: Sequence[object], root: Path, recordings: Iterable[Recording]) -> str:
    """A hash of options and files. Size and time of change stand for a file's content: reading 3 GB would be no key."""
    digest = hashlib.sha256(repr(tuple(options)).encode())
    for item in recordings:
        status = item.path.stat()
        name = item.path.relative_to(root).as_posix()
        entry = (name, item.label, item.speaker, item.split, status.st_size, status.st_mtime_ns)
        digest.update(repr(entry).encode())
    return digest.hexdigest()[:16]
