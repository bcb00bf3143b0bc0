"""Your own recordings: a folder a label, sound files in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from rena_kws.datasets.base import as_count, as_flag, as_names, check_labels, existing, printable
from rena_kws.datasets.recordings import RecordedDataset, Recording
from rena_kws.datasets.splitting import by_hash, by_speaker, check_known
from rena_kws.errors import DatasetError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


class LabelFolder(RecordedDataset):
    """`folder:PATH` with `PATH/{label}/*.wav` (or .flac, .ogg, .mp3). `keywords` picks some of the labels.

    Split by speaker, about 80 : 10 : 10, where the file names tell at least three (see `speaker_of`), or as
    `test_speakers` and `validation_speakers` say; else file by file within each label. With `train_only` every file is
    for training: the few recordings of somebody that are mixed into another dataset.
    """

    def __init__(
        self,
        path: str | None,
        *,
        keywords: str | Sequence[str] | None = None,
        test_speakers: str | Sequence[str] | None = None,
        validation_speakers: str | Sequence[str] | None = None,
        train_only: bool | str = False,
        seed: int | str = 0,
    ) -> None:
        super().__init__(existing(path, "folder", "a folder that holds one folder a label"))
        self._keywords = None if keywords is None else as_names(keywords, "keywords")
        self._test = None if test_speakers is None else as_names(test_speakers, "test_speakers")
        self._validation = None if validation_speakers is None else as_names(validation_speakers, "validation_speakers")
        self._train_only = as_flag(train_only, "train_only")
        if self._train_only and (self._test or self._validation):
            raise DatasetError("with option train_only no speaker is left for test_speakers or validation_speakers")
        self._seed = as_count(seed, "seed")

    @cached_property
    def labels(self) -> tuple[str, ...]:
        if not self.root.is_dir():
            raise DatasetError(f"dataset 'folder' needs a folder that holds one folder a label; {self.root} is a file")
        found = sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))
        if self._keywords is not None:
            check_known(self._keywords, found, "keywords", str(self.root))
        return check_labels(found if self._keywords is None else self._keywords, str(self.root))

    @property
    def notes(self) -> tuple[str, ...]:
        if self._speakers or self._train_only:
            return ()
        return ("file names tell no speakers, so the split is file by file: the same voice may be in two splits",)

    @cached_property
    def recordings(self) -> tuple[Recording, ...]:
        if not self._files:
            raise DatasetError(f"the folders in {self.root} hold no sound files ({', '.join(SUFFIXES)})")
        where = self._split()
        return tuple(Recording(path, label, self._speakers.get(path, ""), where[path]) for label, path in self._files)

    @cached_property
    def _files(self) -> tuple[tuple[str, Path], ...]:
        """(label, file) of every sound file."""
        paths = ((label, path) for label in self.labels for path in sorted((self.root / label).iterdir()))
        # Hidden ones are no recordings: macOS leaves one, ._NAME, beside every file that it copies to a foreign disk.
        return tuple(
            (label, path) for label, path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        )

    @cached_property
    def _speakers(self) -> dict[Path, str]:
        """Who speaks in each file; empty unless every name tells, and there are three speakers with two files each."""
        speakers = {path: speaker_of(path, label) for label, path in self._files}
        counts = Counter(speakers.values())
        return speakers if all(counts) and len(counts) >= 3 and min(counts.values()) >= 2 else {}

    def _split(self) -> dict[Path, str]:
        if self._train_only:
            return {path: "train" for _, path in self._files}
        if self._test is not None or self._validation is not None:
            if not self._speakers:
                raise DatasetError(
                    f"options for speakers need file names that tell who speaks; those in {self.root} do not"
                )
            named = by_speaker(self._speakers.values(), self._test, self._validation, str(self.root))
            return {path: named[speaker] for path, speaker in self._speakers.items()}
        if self._speakers:
            ranked = by_hash(self._speakers.values(), self._seed)
            return {path: ranked[speaker] for path, speaker in self._speakers.items()}
        where: dict[Path, str] = {}
        for label in self.labels:
            paths = {f"{label}/{path.name}": path for of, path in self._files if of == label}
            where |= {paths[name]: split for name, split in by_hash(paths, self._seed).items()}
        return where


def speaker_of(path: Path, label: str) -> str:
    """Who a file name says is speaking, or "".

    `{speaker}_nohash_{n}` (Speech Commands) or `{speaker}_{n}`, after an optional `{label}_`; `-` serves as `_` does.
    A speaker's name has a letter in it and is not a word for a recording.
    """
    name = printable(path.stem)
    speaker, marked, _ = name.partition("_nohash_")
    if marked:
        return speaker
    stem = re.sub(rf"^{re.escape(label)}[_-]", "", name, flags=re.IGNORECASE)
    match = re.fullmatch(r"(.*[^\W\d_].*)[_-]\d+", stem)
    ordinary = {"rec", "record", "recording", "clip", "sample", "audio", "sound", "file", "take", label.lower()}
    return match[1] if match and match[1].lower() not in ordinary else ""
