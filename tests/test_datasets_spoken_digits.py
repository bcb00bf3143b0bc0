"""Free Spoken Digits: real recordings, split by speaker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from rena_kws.datasets.base import SPLITS, open_dataset
from rena_kws.datasets.spoken_digits import DIGITS, SpokenDigits
from rena_kws.errors import DatasetError
from rena_kws.testing.dataset_contract import check_dataset


@pytest.fixture(scope="module")
def path(reference: Callable[..., Path]) -> str:
    return str(reference("datasets", "fsdd"))


def speakers(dataset: SpokenDigits) -> dict[str, set[str]]:
    return {split: {item.speaker for item in dataset.recordings if item.split == split} for split in SPLITS}


def test_contract(path: str) -> None:
    check_dataset(lambda: open_dataset(f"spoken-digits:{path}"))


def test_the_last_speakers_are_held_out_unless_named(path: str) -> None:
    assert speakers(SpokenDigits(path)) == {
        "train": {"george", "jackson", "nicolas"},
        "validation": {"theo"},
        "test": {"yweweler"},
    }
    fold = SpokenDigits(path, test_speakers="george", validation_speakers=["jackson"])
    assert speakers(fold) == {"train": {"nicolas", "theo", "yweweler"}, "validation": {"jackson"}, "test": {"george"}}
    assert [fold.count(split) for split in SPLITS] == [1500, 500, 500]


def test_the_labels_are_words_and_agree_with_the_file_names(path: str) -> None:
    dataset = SpokenDigits(path, test_speakers="theo")
    assert dataset.labels == DIGITS
    assert Counter(item.label for item in dataset.recordings) == dict.fromkeys(DIGITS, 250)
    for clip in islice(dataset.split("test"), 60):
        assert clip.source.startswith(f"{DIGITS.index(clip.label)}_theo_") and clip.speaker == "theo"


def test_clips_are_resampled_from_8_khz_and_centred(path: str) -> None:
    import numpy as np

    for clip in islice(SpokenDigits(path).split("train"), 0, 500, 50):
        sounding = np.flatnonzero(clip.audio)
        assert abs((sounding[0] + sounding[-1]) / 2 - 8_000) < 700
        power = np.abs(np.fft.rfft(clip.audio)) ** 2
        assert power[4_200:].sum() < 1e-3 * power.sum(), "8 kHz recordings have nothing above 4 kHz"


def test_keywords_pick_digits_in_their_order(path: str) -> None:
    dataset = SpokenDigits(path, keywords="seven,two")
    assert dataset.labels == ("seven", "two")
    assert {item.label for item in dataset.recordings} == {"seven", "two"}


def test_the_fingerprint_follows_options_and_files(path: str, tmp_path: Path) -> None:
    prints = {
        SpokenDigits(path).fingerprint,
        SpokenDigits(path, test_speakers="theo").fingerprint,
        SpokenDigits(path, keywords="one,two").fingerprint,
    }
    assert len(prints) == 3
    for name in ("1_a_0.wav", "1_b_0.wav", "1_c_0.wav"):
        (tmp_path / name).write_bytes(b"x")
    before = SpokenDigits(str(tmp_path)).fingerprint
    assert SpokenDigits(str(tmp_path)).fingerprint == before
    (tmp_path / "1_a_0.wav").write_bytes(b"xy")
    assert SpokenDigits(str(tmp_path)).fingerprint != before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test_speakers": "geroge"}, "test_speakers names 'geroge', which .* lacks"),
        ({"test_speakers": "theo", "validation_speakers": "theo"}, "theo is in both"),
        ({"test_speakers": "george,jackson,nicolas", "validation_speakers": "theo,yweweler"}, "left to train on"),
        ({"keywords": "one,eleven"}, "keywords names 'eleven'"),
        ({"keywords": "one"}, "at least two classes"),
        ({"test_speaker": "theo"}, "has no option 'test_speaker' .*test_speakers"),
    ],
)
def test_bad_options_get_one_line(path: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        list(open_dataset(f"spoken-digits:{path}", options).split("train"))
    assert "\n" not in str(caught.value)


def test_a_path_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="needs the path"):
        open_dataset("spoken-digits")
    with pytest.raises(DatasetError, match="nothing at /no/where"):
        open_dataset("spoken-digits:/no/where")
    with pytest.raises(DatasetError, match="has none such"):
        open_dataset(f"spoken-digits:{tmp_path}").count("train")
