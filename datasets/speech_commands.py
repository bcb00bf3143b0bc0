"""Google's Speech Commands, versions 1 and 2, with the split its authors defined.

A folder a word, `{word}/{speaker}_nohash_{n}.wav`. Who is in validation or test is in `validation_list.txt` and
`testing_list.txt`; without the lists the authors' rule says it (`which_split`), from a hash of the speaker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from rena_kws.datasets import audio
from rena_kws.datasets.base import (
    CLIP_SAMPLES,
    KEYWORDS,
    SAMPLE_RATE_HZ,
    SILENCE,
    SPLITS,
    UNKNOWN,
    Clip,
    as_count,
    as_names,
    check_labels,
    check_split,
    existing,
    order_labels,
)
from rena_kws.datasets.recordings import RecordedDataset, Recording
from rena_kws.datasets.splitting import check_known
from rena_kws.errors import DatasetError

NOISE_FOLDER = "_background_noise_"

_MAX_FILES = 2**27 - 1  # A constant of the authors' rule.
_HELD_OUT_PERCENT = 10
_NOISE_SHARE = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}  # Part of each noise file.


class SpeechCommands(RecordedDataset):
    """`speech-commands:PATH`. `classes` 12: ten keywords, `_silence_`, `_unknown_`; 35: every word (30 in version 1).

    `keywords` replaces the ten. `_unknown_` and `_silence_` are each as many clips as a keyword has on average: other
    words picked by hash, and seconds of the background noise, of which each split has its own stretch of time.
    """

    place = "start"  # The authors' programs pad short recordings at the end.

    def __init__(
        self,
        path: str | None,
        *,
        classes: int | str = 12,
        keywords: str | Sequence[str] | None = None,
        seed: int | str = 0,
    ) -> None:
        super().__init__(existing(path, "speech-commands", "the folder that holds one folder a word"))
        self._classes = as_count(classes, "classes")
        if self._classes not in (12, 35):
            raise DatasetError(f"option classes is 12 (keywords) or 35 (every word), not {classes!r}")
        if self._classes == 35 and keywords is not None:
            raise DatasetError("option keywords goes with classes=12; with classes=35 every word is a class")
        self._keywords = KEYWORDS if keywords is None else as_names(keywords, "keywords")
        self._seed = as_count(seed, "seed")

    @cached_property
    def labels(self) -> tuple[str, ...]:
        words = self._words
        if self._classes == 35:
            return check_labels(words, str(self.root))
        check_known(self._keywords, words, "keywords", str(self.root))
        return order_labels(self._keywords)

    @property
    def options(self) -> Sequence[object]:
        noise = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self._noise_files]
        return self._classes, self._seed, noise

    @cached_property
    def recordings(self) -> tuple[Recording, ...]:
        labels = self.labels
        listed = self._listed()
        found: list[Recording] = []
        unknown: list[Recording] = []
        for word in self._words:
            for path in sorted((self.root / word).glob("*.wav")):
                split = listed.get(f"{word}/{path.name}", "train") if listed else which_split(path.name)
                speaker = path.name.partition("_nohash_")[0]
                (found if word in labels else unknown).append(
                    Recording(path, word if word in labels else UNKNOWN, speaker, split)
                )
        if UNKNOWN in labels:
            for split in SPLITS:
                found += self._pick_unknown(unknown, split, self._mean_count(found, split))
        return tuple(found)

    def count(self, split: str) -> int:
        return super().count(split) + self._silence_count(split)

    def split(self, split: str) -> Iterator[Clip]:
        check_split(split)
        yield from super().split(split)
        if count := self._silence_count(split):
            yield from self._silence(split, count)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self.root.iterdir() if path.is_dir() and path.name[0] not in "_."))

    @cached_property
    def _noise_files(self) -> tuple[Path, ...]:
        return tuple(sorted((self.root / NOISE_FOLDER).glob("*.wav"))) if SILENCE in self.labels else ()

    def _listed(self) -> dict[str, str]:
        """`word/file.wav` → split, from the lists; empty where there are none."""
        where: dict[str, str] = {}
        for name, split in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
            if (path := self.root / name).is_file():
                where |= dict.fromkeys(path.read_text().split(), split)
        return where

    def _pick_unknown(self, unknown: list[Recording], split: str, count: int) -> list[Recording]:
        there = [item for item in unknown if item.split == split]
        rank = {
            item: hashlib.sha1(f"{self._seed}:{item.path.relative_to(self.root)}".encode()).digest() for item in there
        }
        return sorted(there, key=rank.__getitem__)[:count]

    def _mean_count(self, recordings: Sequence[Recording], split: str) -> int:
        counted = sum(item.split == split and item.label != UNKNOWN for item in recordings)
        return max(1, round(counted / len(self._keywords))) if counted else 0

    def _silence_count(self, split: str) -> int:
        return self._mean_count(self.recordings, split) if SILENCE in self.labels else 0

    def _silence(self, split: str, count: int) -> Iterator[Clip]:
        """Seconds of background noise at random loudness; perfect silence where the folder is missing."""
        rng = np.random.default_rng((self._seed, SPLITS.index(split)))
        stretches = []
        for path in self._noise_files:
            try:
                sound = audio.read(path)
            except audio.UnreadableError as error:
                self._skipped[path.relative_to(self.root).as_posix()] = str(error)
                continue
            start, end = (int(share * len(sound)) for share in _NOISE_SHARE[split])
            if end - start >= CLIP_SAMPLES:
                stretches.append((path.name, sound[start:end]))
        stretches = stretches or [("silence", np.zeros(CLIP_SAMPLES, np.float32))]
        for _ in range(count):
            name, sound = stretches[rng.integers(len(stretches))]
            start = int(rng.integers(len(sound) - CLIP_SAMPLES + 1))
            clip = audio.fit(sound[start : start + CLIP_SAMPLES] * np.float32(rng.random()))
            yield Clip(clip, SILENCE, "", f"{NOISE_FOLDER}/{name}", CLIP_SAMPLES / SAMPLE_RATE_HZ)


def which_split(file_name: str) -> str:
    """The split of a file: its speaker's SHA-1 as a percentage, below 10 validation, below 20 test (recalled from
    Speech Commands' README, function which_set): more recordings never move a speaker to another split.
    """
    speaker = file_name.partition("_nohash_")[0]
    percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (_MAX_FILES + 1) * (100 / _MAX_FILES)
    if percent < _HELD_OUT_PERCENT:
        return "validation"
    return "test" if percent < 2 * _HELD_OUT_PERCENT else "train"
