"""What every dataset must do. A plug-in's author calls `check_dataset` in a test of their own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np

from rena_kws.datasets.base import CLIP_SAMPLES, SPLITS, Clip, Dataset
from rena_kws.errors import DatasetError


def check_dataset(make: Callable[[], Dataset], clips: int = 20) -> None:
    """Raises `AssertionError` where the dataset that `make` opens breaks the contract.

    `make` is called twice with what must be the same options; the first `clips` clips of each split are compared.
    """
    one, other = make(), make()
    assert len(one.labels) >= 2 and len(set(one.labels)) == len(one.labels), f"labels must differ: {one.labels}"
    assert one.labels == other.labels and one.fingerprint == other.fingerprint, "the same options, another dataset"
    for split in SPLITS:
        first = list(islice(one.split(split), clips))
        assert 0 < len(first) <= one.count(split), f"{split}: {len(first)} clips, counted {one.count(split)}"
        for clip, again in zip(first, islice(other.split(split), clips), strict=True):
            check_clip(clip, one)
            assert np.array_equal(clip.audio, again.audio), f"{clip.source} is not the same the second time"
            assert (clip.label, clip.speaker, clip.source) == (again.label, again.speaker, again.source)
    for ask in (one.count, one.split):
        try:
            answer = ask("no-such-split")
            list(answer if not isinstance(answer, int) else ())
        except DatasetError:
            continue
        raise AssertionError(f"{ask.__name__} of an unknown split must raise DatasetError")


def check_clip(clip: Clip, dataset: Dataset) -> None:
    """One clip by itself."""
    assert clip.audio.dtype == np.float32 and clip.audio.shape == (CLIP_SAMPLES,), f"{clip.source}: {clip.audio.shape}"
    assert np.isfinite(clip.audio).all() and np.abs(clip.audio).max() <= 1, f"{clip.source} leaves ±1"
    assert clip.label in dataset.labels, f"{clip.source} has the label {clip.label!r}, which is no class"
    assert clip.source and clip.duration_s > 0, f"{clip.source!r} lasts {clip.duration_s} s"
