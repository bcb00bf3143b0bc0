"""Dataset + front end → arrays to train on, computed once and kept on disk.

A file in the cache is named by everything its numbers depend on, so it is never out of date, only unused.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rena_kws import cache
from rena_kws.datasets.augment import Augmentation, augment
from rena_kws.datasets.base import CLIP_SAMPLES, SAMPLE_RATE_HZ, Clip, Dataset, Progress, check_labels, check_split
from rena_kws.datasets.loudness import vary_loudness
from rena_kws.errors import DatasetError
from rena_kws.files import replacing
from rena_kws.frontend.features import compute
from rena_kws.frontend.settings import FrontEnd

_BATCH = 128  # Clips: enough to keep numpy busy, few enough for the processor's cache.
_REVISION = 2  # Of augment.py, loudness.py and of this file: raise it where the same key starts to give other numbers.

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """A split, ready to train on or to test with.

    `x` float32 (n, *front_end.shape); `y` int32 (n,), indices into `labels`; `speakers` n names. With k variants n is
    (1 + k) times the number of clips: of each of the dataset's parts the clips as they are first, in order, then k
    blocks of changed copies.
    """

    x: FloatArray
    y: NDArray[np.int32]
    speakers: tuple[str, ...]
    labels: tuple[str, ...]

    def and_also(self, *more: Features) -> Features:
        """These and then `more`, of the same labels."""
        if not more:
            return self
        every = (self, *more)
        x, y = np.concatenate([each.x for each in every]), np.concatenate([each.y for each in every])
        return Features(x, y, tuple(name for each in every for name in each.speakers), self.labels)


def load_features(
    dataset: Dataset,
    frontend: FrontEnd,
    split: str,
    cache_dir: Path | None = None,
    variants: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Features:
    """The features of a split, with `variants` augmented copies of every clip of the training split.

    `cache_dir` defaults to `cache.root()`. Raises `DatasetError` for a dataset that cannot be used, for variants of
    another split (they would falsify a score) and for a cache that cannot be written.
    """
    check_split(split)
    check_labels(dataset.labels, "this one")
    if variants < 0 or (variants and split != "train"):
        raise DatasetError(f"only the train split has variants, 0 or more of them, not {variants} of {split!r}")
    if (frontend.sample_rate_hz, frontend.clip_samples) != (SAMPLE_RATE_HZ, CLIP_SAMPLES):
        raise DatasetError(
            f"clips are one second at {SAMPLE_RATE_HZ} Hz; the front end expects {frontend.clip_ms} ms "
            f"at {frontend.sample_rate_hz} Hz"
        )
    folder = cache_dir or cache.root()
    found: list[Features] = []
    before, total = 0, dataset.count(split)
    for part in dataset.parts(split):
        found.append(_load(part, frontend, split, folder, variants, seed, _of_the_whole(progress, before, total)))
        before += part.count(split)
    return found[0].and_also(*found[1:])


def _of_the_whole(progress: Progress | None, before: int, total: int) -> Progress | None:
    """What is told of a part, told of the whole: `before` clips came before it."""
    return progress and (lambda done, _: progress(before + done, total))


def _load(
    dataset: Dataset, frontend: FrontEnd, split: str, folder: Path, variants: int, seed: int, progress: Progress | None
) -> Features:
    copies = (variants, seed, Augmentation()) if variants else ()
    key = repr((_REVISION, dataset.fingerprint, dataset.labels, frontend.fingerprint, split, copies))
    path = folder / "features" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
    if (kept := _read(path, dataset.labels)) is not None:
        cache.touch(path)
        return kept
    features = _compute(dataset, frontend, split, variants, seed, progress)
    _write(path, features)
    cache.make_room(folder)
    return features


def _compute(
    dataset: Dataset, frontend: FrontEnd, split: str, variants: int, seed: int, progress: Progress | None
) -> Features:
    index = {label: number for number, label in enumerate(dataset.labels)}
    total, done = dataset.count(split), 0
    y: list[int] = []
    speakers: list[str] = []
    blocks: list[Future[list[FloatArray]]] = []
    clips = dataset.split(split)
    # numpy leaves Python's lock while it computes, so threads use all cores without copying audio between processes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, batch in enumerate(_batches(clips)):
            y += [index[clip.label] for clip in batch]
            speakers += [clip.speaker for clip in batch]
            audio = np.stack([clip.audio for clip in batch])
            blocks.append(pool.submit(_features_of, frontend, audio, variants, (seed, number)))
            if len(blocks) > 8:  # Reading runs ahead of computing by this much at most: memory stays bounded.
                blocks[-8].result()
            done += len(batch)
            if progress:
                progress(done, total)
        by_variant = list(zip(*(block.result() for block in blocks), strict=True))
    copies = 1 + variants
    none = np.zeros((0, *frontend.shape), np.float32)
    return Features(
        np.concatenate([none, *(part for parts in by_variant for part in parts)]),
        np.tile(np.array(y, np.int32), copies),
        tuple(speakers) * copies,
        dataset.labels,
    )


def _features_of(frontend: FrontEnd, audio: FloatArray, variants: int, seed: tuple[int, int]) -> list[FloatArray]:
    """The batch as it is, then its changed copies. A seed a batch keeps the result apart from the order of threads."""
    rng = np.random.default_rng(seed)
    settings = Augmentation()

    def changed() -> FloatArray:
        copy = augment(settings, audio, rng)
        return vary_loudness(copy, rng) if frontend.loudness == "none" else copy

    return [compute(frontend, audio), *(compute(frontend, changed()) for _ in range(variants))]


def _batches(clips: Iterator[Clip]) -> Iterator[list[Clip]]:
    while batch := list(islice(clips, _BATCH)):
        yield batch


def _read(path: Path, labels: tuple[str, ...]) -> Features | None:
    """What the cache holds, or None where there is no such file, or a damaged one, which is then made anew."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Features(stored["x"], stored["y"], tuple(stored["speakers"].tolist()), labels)
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        return None


def _write(path: Path, features: Features) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside, open(aside, "wb") as file:
            np.savez(file, x=features.x, y=features.y, speakers=np.array(features.speakers, dtype=np.str_))
    except OSError as error:
        raise DatasetError(
            f"the feature cache {path.parent} cannot be written ({error.strerror or error}): "
            "free some space, or name another folder in RENA_KWS_CACHE"
        ) from None
