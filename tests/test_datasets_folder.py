"""A folder of labelled clips: who the speakers are, how the splits come about."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.datasets.base import SPLITS, open_dataset
from rena_kws.datasets.folder import LabelFolder, speaker_of
from rena_kws.datasets.splitting import by_hash
from rena_kws.errors import DatasetError
from rena_kws.testing.dataset_contract import check_dataset

soundfile = pytest.importorskip("soundfile")


def fill(root: Path, pattern: str, speakers: list[str], labels: tuple[str, ...] = ("yes", "no"), takes: int = 3) -> str:
    rng = np.random.default_rng(0)
    for label in labels:
        (root / label).mkdir(parents=True)
        for speaker in speakers:
            for take in range(takes):
                name = pattern.format(label=label, speaker=speaker, take=take)
                soundfile.write(root / label / name, rng.normal(0, 0.1, 3_000), 16_000)
    return str(root)


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("0a7c2a8d_nohash_2.wav", "0a7c2a8d"),
        ("yes_anna_3.wav", "anna"),
        ("anna-3.flac", "anna"),
        ("Yes-anna_lee-12.wav", "anna_lee"),
        ("yes_3.wav", ""),
        ("003.wav", ""),
        ("recording_17.wav", ""),
        ("anna.wav", ""),
        ("20240131_1.wav", ""),
    ],
)
def test_who_a_file_name_says_is_speaking(name: str, speaker: str) -> None:
    assert speaker_of(Path("yes") / name, "yes") == speaker


@pytest.mark.parametrize("pattern", ["{label}_{speaker}_{take}.wav", "{speaker}_{take}.wav", "{speaker}_{take}.flac"])
def test_a_speaker_is_in_one_split(tmp_path: Path, pattern: str) -> None:
    names = ["anna", "ben", "carla", "dan", "eva"]
    path = fill(tmp_path, pattern, names)
    check_dataset(lambda: open_dataset(f"folder:{path}"))
    dataset = LabelFolder(path)
    assert Counter(dataset.count(split) for split in SPLITS) == {18: 1, 6: 2}
    assert dataset.notes == ()
    where = {(item.speaker, item.split) for item in dataset.recordings}
    assert len(where) == len(names)


def test_speakers_can_be_chosen(tmp_path: Path) -> None:
    path = fill(tmp_path, "{speaker}_{take}.wav", ["anna", "ben", "carla"])
    dataset = LabelFolder(path, test_speakers="ben", validation_speakers="anna")
    assert {item.speaker: item.split for item in dataset.recordings} == {
        "anna": "validation",
        "ben": "test",
        "carla": "train",
    }


def test_a_few_recordings_may_all_be_for_training(tmp_path: Path) -> None:
    root = fill(tmp_path / "mine", "{speaker}_{take}.wav", ["anna"])
    mine = open_dataset(f"folder:{root}?train_only=yes")
    assert [mine.count(split) for split in SPLITS] == [6, 0, 0] and not mine.notes
    options = {"keywords": "yes,no", "clips_per_word": 10, "augment_with": f"folder:{root}?train_only=yes"}
    mixed = open_dataset("synthetic?closed=yes", options)
    assert sum("anna" in clip.source for clip in mixed.split("train")) >= 6
    assert not any("anna" in clip.source for split in ("validation", "test") for clip in mixed.split(split))
    with pytest.raises(DatasetError, match="train_only no speaker is left for test_speakers"):
        open_dataset(f"folder:{root}?train_only=yes", {"test_speakers": "anna"})


def test_without_speakers_each_label_is_split_by_itself_and_a_note_says_so(tmp_path: Path) -> None:
    path = fill(tmp_path, "{take:03d}.wav", ["nobody"], labels=("yes", "no", "maybe"), takes=20)
    check_dataset(lambda: open_dataset(f"folder:{path}"))
    dataset = LabelFolder(path)
    assert dataset.labels == ("maybe", "no", "yes")
    counts = Counter((item.label, item.split) for item in dataset.recordings)
    assert all(counts[label, "train"] == 16 and counts[label, "test"] == 2 for label in dataset.labels)
    assert "same voice may be in two splits" in dataset.notes[0]
    with pytest.raises(DatasetError, match="need file names that tell who speaks"):
        LabelFolder(path, test_speakers="anna").count("test")


@given(st.sets(st.text(min_size=1, max_size=8), min_size=3, max_size=60), st.integers(0, 9))
def test_hash_splits_are_complete_and_never_empty(names: set[str], seed: int) -> None:
    where = by_hash(names, seed)
    counts = Counter(where.values())
    assert where.keys() == names and where == by_hash(sorted(names, reverse=True), seed)
    assert all(counts[split] >= 1 for split in SPLITS)
    assert counts["test"] == counts["validation"] == max(1, round(len(names) / 10))


def test_one_label_or_none_is_refused(tmp_path: Path) -> None:
    path = fill(tmp_path / "one", "{take}.wav", ["nobody"], labels=("yes",))
    with pytest.raises(DatasetError, match=r"at least two classes; .* has 1: yes"):
        list(open_dataset(f"folder:{path}").split("train"))
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match=r"at least two classes; .* has 0"):
        list(open_dataset(f"folder:{tmp_path / 'none'}").split("train"))
    for label in ("a", "b"):
        (tmp_path / "empty" / label).mkdir(parents=True)
    with pytest.raises(DatasetError, match="hold no sound files"):
        list(open_dataset(f"folder:{tmp_path / 'empty'}").split("train"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="is a file"):
        list(open_dataset(f"folder:{tmp_path / 'file'}").split("train"))


def test_files_that_macos_leaves_are_no_recordings(tmp_path: Path) -> None:
    path = Path(fill(tmp_path, "{speaker}_{take}.wav", ["anna", "ben", "carla"]))
    for recording in [*path.glob("*/*.wav")]:
        recording.with_name(f"._{recording.name}").write_bytes(b"\x00\x05\x16\x07")
    dataset = LabelFolder(str(path))
    assert {item.speaker for item in dataset.recordings} == {"anna", "ben", "carla"}
    assert sum(dataset.count(split) for split in SPLITS) == 18


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
@pytest.mark.parametrize("pattern", ["{take}.wav", "{speaker}_{take}.wav"])
def test_names_from_another_system_are_read(tmp_path: Path, pattern: str) -> None:
    path = fill(tmp_path, pattern, ["anna", "ben", "carla"])
    for recording in tmp_path.glob("*/*a*_?.wav" if "speaker" in pattern else "*/?.wav"):
        recording.rename(recording.with_name(f"\udcf6{recording.name}"))  # ö in Latin-1
    check_dataset(lambda: open_dataset(f"folder:{path}"))
    dataset = LabelFolder(path)
    clips = [clip for split in SPLITS for clip in dataset.split(split)]
    assert len(clips) == sum(dataset.count(split) for split in SPLITS) and not dataset.skipped
    assert "".join(clip.speaker + clip.source for clip in clips).encode()  # without surrogates
    (tmp_path / "gr\udcfcn").mkdir()
    with pytest.raises(DatasetError, match=r"names of classes are UTF-8; .* has 'gr.udcfcn': rename it"):
        _ = LabelFolder(path).labels
