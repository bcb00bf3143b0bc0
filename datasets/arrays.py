"""Clips in a NumPy file: for recordings that other programs prepared.

The .npz holds

    x         (n, samples)   int16, or float within ±1: clips of any one length
    y         (n,)           integers, indices into labels
    labels    (k,)           text
    sample_rate_hz           optional, 16000 where left out
    speakers  (n,)           optional, text
    split     (n,)           optional, "train", "validation" or "test"; where left out, clips are split by speaker if
                             there are at least three, else one by one within each label
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio
from rena_kws.datasets.base import SAMPLE_RATE_HZ, SPLITS, Clip, Dataset, as_count, check_labels, check_split, existing
from rena_kws.datasets.splitting import by_hash
from rena_kws.errors import DatasetError


@dataclass(frozen=True)
class _Content:
    x: NDArray[Any]
    labels: tuple[str, ...]
    y: tuple[int, ...]
    speakers: tuple[str, ...]
    split: tuple[str, ...]
    sample_rate_hz: int


class Arrays(Dataset):
    """`arrays:FILE.npz`."""

    def __init__(self, path: str | None, *, seed: int | str = 0) -> None:
        self._path = existing(path, "arrays", "an .npz file")
        self._seed = as_count(seed, "seed")

    @property
    def labels(self) -> tuple[str, ...]:
        return self._content.labels

    @property
    def notes(self) -> tuple[str, ...]:
        if any(self._content.speakers):
            return ()
        return ("the file names no speakers: the same voice may be in two splits",)

    @cached_property
    def fingerprint(self) -> str:
        status = self._path.stat()
        key = (self._path.name, status.st_size, status.st_mtime_ns, self._seed)
        return hashlib.sha256(repr(key).encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        check_split(split)
        return self._content.split.count(split)

    def split(self, split: str) -> Iterator[Clip]:
        content = self._content
        if not self.count(split):
            raise DatasetError(f"the {split} split of {self._path} has no clip")
        for row, where in enumerate(content.split):
            if where != split:
                continue
            sound = content.x[row]
            scaled = sound.astype(np.float32) / (32768 if sound.dtype == np.int16 else 1)
            clip = audio.fit(audio.resample(scaled, content.sample_rate_hz))
            label = content.labels[content.y[row]]
            yield Clip(
                clip, label, content.speakers[row], f"{self._path.name}[{row}]", len(sound) / content.sample_rate_hz
            )

    @cached_property
    def _content(self) -> _Content:
        stored = _load(self._path)
        x, y = stored["x"], stored["y"]
        if x.ndim != 2 or not x.size or (x.dtype != np.int16 and x.dtype.kind != "f"):
            raise DatasetError(
                f"x in {self._path} must be int16 or float of shape (n, samples), not {x.dtype} {x.shape}"
            )
        if x.dtype.kind == "f" and not (np.abs(x) <= 1).all():
            raise DatasetError(f"float x in {self._path} must lie within -1 and 1 and be finite")
        labels = check_labels((str(label) for label in stored["labels"].ravel()), str(self._path))
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or not ((y >= 0) & (y < len(labels))).all():
            raise DatasetError(f"y in {self._path} must be {len(x)} integers from 0 to {len(labels) - 1}")
        rate_hz = stored.get("sample_rate_hz", np.array(SAMPLE_RATE_HZ)).squeeze().tolist()
        rate = as_count(rate_hz, "sample_rate_hz", least=1)
        speakers = _column(stored, "speakers", len(x), self._path)
        names = tuple(int(number) for number in y)
        split = _column(stored, "split", len(x), self._path) if "split" in stored else self._split(names, speakers)
        if wrong := set(split) - set(SPLITS):
            raise DatasetError(f"split in {self._path} must be {', '.join(SPLITS)}; it also holds {sorted(wrong)}")
        return _Content(x, labels, names, speakers, split, rate)

    def _split(self, y: tuple[int, ...], speakers: tuple[str, ...]) -> tuple[str, ...]:
        if all(speakers) and len(set(speakers)) >= 3:
            by_name = by_hash(speakers, self._seed)
            return tuple(by_name[speaker] for speaker in speakers)
        where: dict[str, str] = {}
        for label in set(y):
            where |= by_hash((str(row) for row, of in enumerate(y) if of == label), self._seed)
        return tuple(where[str(row)] for row in range(len(y)))


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} is no .npz file of plain arrays ({error})") from None
    if missing := [name for name in ("x", "y", "labels") if name not in stored]:
        raise DatasetError(f"{path} must hold x, y and labels; it lacks {', '.join(missing)}")
    return stored


def _column(stored: dict[str, NDArray[Any]], name: str, rows: int, path: Path) -> tuple[str, ...]:
    column = stored.get(name)
    if column is None:
        return ("",) * rows
    if column.shape != (rows,):
        raise DatasetError(f"{name} in {path} must have one entry for each of the {rows} clips, not {column.shape}")
    return tuple(str(entry) for entry in column)
