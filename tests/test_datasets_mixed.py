"""Clips of one dataset mixed into the training split of another: more to train on, nothing else to be scored on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rena_kws.datasets.base import Clip, open_dataset
from rena_kws.datasets.features import load_features
from rena_kws.datasets.mixed import ValidationAsTraining
from rena_kws.errors import DatasetError, UnknownNameError
from rena_kws.frontend.settings import FrontEnd
from rena_kws.pipeline import Task


def arrays(path: Path, labels: tuple[str, ...], level: int) -> str:
    """A dataset with two clips a label and split, all samples at `level`."""
    y = np.tile(np.repeat(np.arange(len(labels)), 2), 3)
    split = np.repeat(("train", "validation", "test"), 2 * len(labels))
    x = np.full((len(y), 16_000), level, np.int16)
    np.savez(path, x=x, y=y, labels=np.array(labels), split=split)
    return f"arrays:{path}"


def described(clips: list[Clip]) -> list[tuple[str, int]]:
    return [(clip.label, round(float(clip.audio[0]) * 32_768)) for clip in clips]


def test_training_gains_the_clips_of_shared_labels_and_the_other_splits_none(tmp_path: Path) -> None:
    main = arrays(tmp_path / "main.npz", ("up", "down"), 1000)
    more = arrays(tmp_path / "more.npz", ("down", "left"), 2000)
    mixed = open_dataset(main, {"augment_with": more})
    assert mixed.labels == ("up", "down")
    own = [("up", 1000)] * 2 + [("down", 1000)] * 2
    assert described(list(mixed.split("train"))) == own + [("down", 2000)] * 2
    assert described(list(mixed.split("validation"))) == own
    assert described(list(mixed.split("test"))) == own
    assert mixed.count("test") == 4 and mixed.count("train") >= 6


def test_what_is_validated_with_can_be_trained_on(tmp_path: Path) -> None:
    mixed = open_dataset(arrays(tmp_path / "main.npz", ("up", "down"), 1000))
    more = ValidationAsTraining(mixed)
    assert described(list(more.split("train"))) == described(list(mixed.split("validation")))
    assert (more.labels, more.count("train"), more.count("test")) == (mixed.labels, 4, 0)
    assert more.fingerprint != mixed.fingerprint
    with pytest.raises(DatasetError, match="there is no test split"):
        next(more.split("test"))
    whole = Task("cortex-m4", f"arrays:{tmp_path / 'main.npz'}", variants=1, cache_dir=tmp_path, refit=True)
    assert len(whole.features("train").x) == 2 * (4 + 4)
    assert len(replace(whole, refit=False).features("train").x) == 2 * 4
    assert len(whole.features("validation").x) == len(whole.features("test").x) == 4


def test_the_fingerprint_tells_what_was_mixed_in(tmp_path: Path) -> None:
    main = arrays(tmp_path / "main.npz", ("up", "down"), 1000)
    one, other = (arrays(tmp_path / f"{level}.npz", ("up", "down"), level) for level in (10, 20))
    prints = [open_dataset(main, options).fingerprint for options in ({}, *({"augment_with": s} for s in (one, other)))]
    assert len(set(prints)) == 3
    assert open_dataset(main, {"augment_with": one}).fingerprint == prints[1]


def test_synthetic_voices_speak_the_words_of_the_dataset(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    main = arrays(tmp_path / "main.npz", ("seven", "eight"), 1000)
    clips = list(open_dataset(main, {"augment_with": "synthetic"}).split("train"))
    assert {clip.label for clip in clips} == {"seven", "eight"}
    own = sum(clip.speaker == "" for clip in clips)
    assert len(clips) == own + 2 * 220
    assert len({clip.speaker for clip in clips}) > 20


def test_few_clips_are_repeated_to_a_fifth_whichever_side_they_are_on(tmp_path: Path) -> None:
    few = arrays(tmp_path / "few.npz", ("up", "down"), 1000)
    y = np.tile(np.arange(2), 60)
    np.savez(
        tmp_path / "many.npz",
        x=np.full((120, 16_000), 2000, np.int16),
        y=y,
        labels=np.array(["up", "down"]),
        split=np.array(["train"] * 80 + ["validation"] * 20 + ["test"] * 20),
    )
    many = f"arrays:{tmp_path / 'many.npz'}"
    for main, more in ((few, many), (many, few)):
        mixed = open_dataset(main, {"augment_with": more})
        levels = [level for _, level in described(list(mixed.split("train")))]
        assert levels.count(1000) == 20 and levels.count(2000) == 80  # four clips, five times
        assert mixed.count("train") == 100
        assert len(list(mixed.split("test"))) == mixed.count("test") == (4 if main == few else 20)


def test_a_mixture_takes_the_features_that_one_of_both_has_already(tmp_path: Path) -> None:
    main = arrays(tmp_path / "main.npz", ("up", "down"), 1000)
    more = arrays(tmp_path / "more.npz", ("down", "left"), 2000)
    plain = load_features(open_dataset(main), FrontEnd(), "train", tmp_path, variants=1)
    mixed = load_features(open_dataset(main, {"augment_with": more}), FrontEnd(), "train", tmp_path, variants=1)
    assert len(list((tmp_path / "features").iterdir())) == 2
    np.testing.assert_array_equal(mixed.x[: len(plain.x)], plain.x)
    assert mixed.labels == ("up", "down") and mixed.y.tolist() == [0, 0, 1, 1] * 2 + [1, 1] * 2
    assert len(mixed.speakers) == len(mixed.x) == 12
    told: list[tuple[int, int]] = []
    same = arrays(tmp_path / "same.npz", ("up", "down"), 3000)
    both = open_dataset(main, {"augment_with": same})
    load_features(both, FrontEnd(), "train", tmp_path / "b", progress=lambda *at: told.append(at))
    assert told == [(4, 8), (8, 8)]
    load_features(open_dataset(same), FrontEnd(), "train", tmp_path / "b")
    assert len(list((tmp_path / "b" / "features").iterdir())) == 2
    none = arrays(tmp_path / "none.npz", ("down", "left"), 2000)
    with np.load(tmp_path / "none.npz") as stored:
        fields = dict(stored)
    fields["split"] = np.where((fields["y"] == 0) & (fields["split"] == "train"), "test", fields["split"])
    np.savez(tmp_path / "none.npz", **fields)
    alone = load_features(open_dataset(main, {"augment_with": none}), FrontEnd(), "train", tmp_path, variants=1)
    np.testing.assert_array_equal(alone.x, plain.x)


def test_mistakes_are_named(tmp_path: Path) -> None:
    main = arrays(tmp_path / "main.npz", ("up", "down"), 1000)
    with pytest.raises(DatasetError, match=r"share a label.*up, down.*left, right"):
        open_dataset(main, {"augment_with": arrays(tmp_path / "more.npz", ("left", "right"), 1)})
    with pytest.raises(UnknownNameError, match="synthetic"):
        open_dataset(main, {"augment_with": "synthetical"})
