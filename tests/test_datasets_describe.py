"""What a dataset holds, and what leaks between its splits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rena_kws.datasets.base import open_dataset
from rena_kws.datasets.describe import describe, render

soundfile = pytest.importorskip("soundfile")


def arrays(path: Path, speakers: list[str], split: list[str], twice: bool = False) -> str:
    x = np.random.default_rng(0).integers(-9_000, 9_000, (len(split), 4_000)).astype(np.int16)
    if twice:
        x[-1] = x[0]
    y = np.arange(len(split)) // 2 % 2
    np.savez(path / "a.npz", x=x, y=y, labels=["yes", "no"], speakers=speakers, split=split)
    return f"arrays:{path / 'a.npz'}"


SPLIT = ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
APART = ["anna"] * 4 + ["ben"] * 4 + ["carla"] * 4


def test_counts_speakers_and_durations(tmp_path: Path) -> None:
    about = describe(open_dataset(arrays(tmp_path, APART, SPLIT)))
    assert about["splits"]["train"] == {
        "clips": 4,
        "by_label": {"yes": 2, "no": 2},
        "speakers": ["anna"],
        "duration_s": [0.25, 0.25, 0.25],
    }
    assert about["labels"] == ["yes", "no"] and not about["warnings"] and not about["skipped"]
    assert json.loads(json.dumps(about)) == about


def test_a_speaker_in_two_splits_leaks(tmp_path: Path) -> None:
    speakers = [*APART[:-1], "anna"]
    (warning,) = describe(open_dataset(arrays(tmp_path, speakers, SPLIT)))["warnings"]
    assert warning == "leakage: 1 speaker (anna) both in train and test"


def test_the_same_clip_in_two_splits_leaks(tmp_path: Path) -> None:
    (warning,) = describe(open_dataset(arrays(tmp_path, APART, SPLIT, twice=True)))["warnings"]
    assert warning == "leakage: 1 identical clip (a.npz[0] = a.npz[11]) both in train and test"


def test_a_split_without_a_class_is_named(tmp_path: Path) -> None:
    split = ["train"] * 4 + ["validation"] * 2 + ["test"] * 6
    warnings = describe(open_dataset(arrays(tmp_path, APART, split)))["warnings"]
    assert "the validation split has no clip of no" in warnings


def test_spoken_digits_leak_nothing_and_a_copied_file_does(reference: Callable[..., Path], tmp_path: Path) -> None:
    for path in sorted(reference("datasets", "fsdd").glob("[01]_*_1?.wav")):
        shutil.copy(path, tmp_path)
    spec = f"spoken-digits:{tmp_path}"
    about = describe(open_dataset(spec, {"keywords": "zero,one"}))
    assert not about["warnings"] and about["splits"]["test"]["speakers"] == ["yweweler"]
    assert [about["splits"][split]["clips"] for split in ("train", "validation", "test")] == [60, 20, 20]
    shutil.copy(tmp_path / "0_george_10.wav", tmp_path / "0_yweweler_99.wav")
    (tmp_path / "1_theo_99.wav").write_text("text")
    about = describe(open_dataset(spec, {"keywords": "zero,one"}))
    (warning,) = about["warnings"]
    assert warning.startswith("leakage: 1 identical clip (0_george_10.wav = 0_yweweler_99.wav)")
    text = render(about)
    assert "warning: leakage" in text and "skipped: 1 file (1_theo_99.wav: not a sound file" in text
    assert [line.split() for line in text.splitlines()[:3]] == [
        ["train", "validation", "test"],
        ["zero", "30", "10", "11"],
        ["one", "30", "10", "10"],
    ]
