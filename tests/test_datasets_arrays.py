"""Clips in an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rena_kws.datasets.base import SPLITS, open_dataset
from rena_kws.errors import DatasetError
from rena_kws.testing.dataset_contract import check_dataset


def content(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.integers(-9_000, 9_000, (60, 4_000)).astype(np.int16),
        "y": np.arange(60) % 2,
        "labels": np.array(["yes", "no"]),
    }
    return {name: value for name, value in {**arrays, **changes}.items() if value is not None}


def saved(path: Path, **changes: Any) -> str:
    np.savez(path / "clips.npz", **content(**changes))
    return f"arrays:{path / 'clips.npz'}"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sample_rate_hz": 8_000},
        {"x": np.random.default_rng(1).uniform(-1, 1, (60, 20_000))},
        {"speakers": np.array(["anna", "ben", "carla", "dan"] * 15)},
        {"split": np.array(["train", "train", "validation", "validation", "test", "test"] * 10)},
    ],
)
def test_contract(tmp_path: Path, changes: dict[str, Any]) -> None:
    spec = saved(tmp_path, **changes)
    check_dataset(lambda: open_dataset(spec))
    dataset = open_dataset(spec)
    assert sum(dataset.count(split) for split in SPLITS) == 60
    assert bool(dataset.notes) == ("speakers" not in changes)


def test_clips_keep_their_values_labels_and_speakers(tmp_path: Path) -> None:
    spec = saved(tmp_path, speakers=np.array(["anna", "ben", "carla", "dan"] * 15), split=np.array(["train"] * 60))
    clip = list(open_dataset(spec).split("train"))[3]
    np.testing.assert_array_equal(clip.audio[6_000:10_000], content()["x"][3].astype(np.float32) / 32_768)
    assert (clip.label, clip.speaker, clip.source, clip.duration_s) == ("no", "dan", "clips.npz[3]", 0.25)
    with pytest.raises(DatasetError, match=r"test split of .* has no clip"):
        list(open_dataset(spec).split("test"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": None}, "must hold x, y and labels; it lacks y"),
        ({"x": np.zeros((60, 40), np.int32)}, "x in .* must be int16 or float"),
        ({"x": np.zeros(60, np.int16)}, "x in .* must be int16 or float"),
        ({"x": np.full((60, 40), 1.5)}, "must lie within -1 and 1"),
        ({"x": np.full((60, 40), np.nan)}, "must lie within -1 and 1"),
        ({"y": np.arange(60)}, "60 integers from 0 to 1"),
        ({"y": np.zeros(59, int)}, "60 integers from 0 to 1"),
        ({"labels": np.array(["yes"])}, "at least two classes"),
        ({"labels": np.array(["yes", "yes"])}, "has 'yes' 2 times"),
        ({"sample_rate_hz": np.array([8000, 16000])}, "at least 1, not"),
        ({"speakers": np.array(["anna"])}, "speakers in .* one entry for each of the 60"),
        ({"split": np.array(["dev"] * 60)}, r"it also holds \['dev'\]"),
        ({"sample_rate_hz": 0}, "at least 1, not 0"),
        ({"x": np.array([[{}]] * 60, object)}, "no .npz file of plain arrays"),
    ],
)
def test_bad_files_get_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        list(open_dataset(saved(tmp_path, **changes)).split("train"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("text")
    np.save(tmp_path / "b.npy", np.zeros(3))
    for name in ("a.npz", "b.npy"):
        with pytest.raises(DatasetError, match=r"no \.npz file of plain arrays"):
            list(open_dataset(f"arrays:{tmp_path / name}").split("train"))
