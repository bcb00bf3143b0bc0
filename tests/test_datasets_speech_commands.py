"""Speech Commands, on a small tree laid out like the real one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rena_kws.datasets.base import KEYWORDS, SILENCE, SPLITS, UNKNOWN, open_dataset
from rena_kws.datasets.speech_commands import SpeechCommands, which_split
from rena_kws.errors import DatasetError
from rena_kws.testing.dataset_contract import check_dataset

soundfile = pytest.importorskip("soundfile")

WORDS = (*KEYWORDS, "bed", "cat", "tree")
# Speakers of the published validation_list.txt and testing_list.txt.
LISTED = {
    "validation": "8b775397 2643992f 060cd039 f5e5e8b0 dbb40d24 d57febf0 16db1582 171b56dc 66cff190 22aa3665 026290a7",
    "test": "2d82a556 2c6d3924 7add4c5f adebe223 44260689 37dca74f 84d1e469 7dc95912 95ba4996 e1469561 9a7c1f83",
}
SPEAKERS = (*LISTED["validation"].split()[:4], *LISTED["test"].split()[:4], *(f"{n:08x}" for n in range(12)))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 words by 20 speakers of half a second, and two noise files."""
    root = tmp_path_factory.mktemp("commands")
    rng = np.random.default_rng(0)
    for word in WORDS:
        (root / word).mkdir()
        for speaker in SPEAKERS:
            soundfile.write(root / word / f"{speaker}_nohash_0.wav", rng.normal(0, 0.1, 8_000), 16_000)
    (root / "_background_noise_").mkdir()
    (root / "_background_noise_" / "README.md").write_text("not a sound")
    for name in ("doing_the_dishes", "pink_noise"):
        soundfile.write(root / "_background_noise_" / f"{name}.wav", rng.normal(0, 0.1, 16_000 * 20), 16_000)
    return root


@pytest.mark.parametrize("classes", [12, 35])
def test_contract(tree: Path, classes: int) -> None:
    check_dataset(lambda: open_dataset(f"speech-commands:{tree}", {"classes": classes}))


@pytest.mark.parametrize("split", LISTED)
@pytest.mark.parametrize("repetition", [0, 3])
def test_the_hash_rule_agrees_with_the_published_lists(split: str, repetition: int) -> None:
    for speaker in LISTED[split].split():
        assert which_split(f"{speaker}_nohash_{repetition}.wav") == split


def test_the_hash_rule_holds_out_a_tenth_each() -> None:
    shares = Counter(which_split(f"{number:08x}_nohash_0.wav") for number in range(20_000))
    assert all(0.093 < shares[split] / 20_000 < 0.107 for split in ("validation", "test"))


def test_twelve_classes(tree: Path) -> None:
    dataset = SpeechCommands(str(tree))
    assert dataset.labels == (*sorted(KEYWORDS), SILENCE, UNKNOWN)
    for split in SPLITS:
        clips = list(dataset.split(split))
        assert len(clips) == dataset.count(split)
        counts = Counter(clip.label for clip in clips)
        people = sum(which_split(f"{speaker}_nohash_0.wav") == split for speaker in SPEAKERS)
        assert counts == dict.fromkeys(dataset.labels, people)
        unknown = {clip.source.split("/")[0] for clip in clips if clip.label == UNKNOWN}
        assert unknown <= {"bed", "cat", "tree"}
        assert {clip.source for clip in clips if clip.label == SILENCE} <= {
            "_background_noise_/doing_the_dishes.wav",
            "_background_noise_/pink_noise.wav",
        }


def test_short_recordings_are_padded_at_the_end(tree: Path) -> None:
    clip = next(SpeechCommands(str(tree)).split("train"))
    assert clip.duration_s == 0.5 and clip.audio[:8_000].any() and not clip.audio[8_000:].any()


def test_every_word_a_class(tree: Path) -> None:
    dataset = SpeechCommands(str(tree), classes="35")
    assert dataset.labels == tuple(sorted(WORDS))
    assert sum(dataset.count(split) for split in SPLITS) == len(WORDS) * len(SPEAKERS)


def test_the_lists_decide_where_they_are(tree: Path, tmp_path: Path) -> None:
    for word in ("yes", "no"):
        (tmp_path / word).symlink_to(tree / word)
    (tmp_path / "validation_list.txt").write_text("".join(f"yes/{who}_nohash_0.wav\n" for who in SPEAKERS[:4]))
    (tmp_path / "testing_list.txt").write_text(f"no/{SPEAKERS[5]}_nohash_0.wav\n")
    dataset = SpeechCommands(str(tmp_path), classes=35)
    where = {f"{item.label}/{item.speaker}": item.split for item in dataset.recordings}
    assert [where[f"yes/{who}"] for who in SPEAKERS[:4]] == ["validation"] * 4
    assert where[f"no/{SPEAKERS[5]}"] == "test"
    assert Counter(where.values())["train"] == 2 * len(SPEAKERS) - 5


def test_silence_of_two_splits_comes_from_different_stretches(tree: Path) -> None:
    noise, _ = soundfile.read(tree / "_background_noise_" / "pink_noise.wav", dtype="float32")
    for split, (start, end) in {"train": (0, 16), "validation": (16, 18), "test": (18, 20)}.items():
        part = noise[start * 16_000 : end * 16_000]
        for clip in SpeechCommands(str(tree)).split(split):
            if clip.source.endswith("pink_noise.wav"):
                second = np.lib.stride_tricks.sliding_window_view(part, 50) @ clip.audio[:50]
                at = part[(best := int(np.argmax(second / np.linalg.norm(clip.audio[:50])))) : best + 16_000]
                assert np.corrcoef(at, clip.audio)[0, 1] > 0.999, f"{clip.source} of {split} is from elsewhere"


def test_without_a_noise_folder_silence_is_silent(tree: Path, tmp_path: Path) -> None:
    for word in WORDS:
        (tmp_path / word).symlink_to(tree / word)
    clips = [clip for clip in SpeechCommands(str(tmp_path)).split("test") if clip.label == SILENCE]
    assert clips and not any(clip.audio.any() for clip in clips)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 11}, "classes is 12 .* or 35 .*, not 11"),
        ({"classes": 35, "keywords": "yes,no"}, "keywords goes with classes=12"),
        ({"keywords": "yes,lamp"}, "keywords names 'lamp', which"),
    ],
)
def test_bad_options_get_one_line(tree: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        list(open_dataset(f"speech-commands:{tree}", options).split("train"))
    assert "\n" not in str(caught.value)
