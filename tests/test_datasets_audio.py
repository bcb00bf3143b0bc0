"""Sound files of every kind, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rena_kws.datasets import audio
from rena_kws.datasets.base import open_dataset
from rena_kws.errors import DatasetError

soundfile = pytest.importorskip("soundfile")


def tone(rate_hz: int, seconds: float = 0.5, hz: float = 440.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_any_rate_and_width_gives_the_same_tone(tmp_path: Path, rate_hz: int, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate_hz), rate_hz, subtype=subtype)
    sound = audio.read(tmp_path / "a.wav")
    assert sound.dtype == np.float32 and abs(len(sound) - 8_000) <= 1
    inner = slice(500, 7_500)  # Resampling rings at the ends of a tone cut short.
    assert np.abs(sound[inner] - tone(16_000)[inner]).max() < (0.02 if subtype == "PCM_U8" else 2e-3)


def test_what_lies_above_the_new_nyquist_frequency_does_not_fold_back(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(44_100, hz=11_000), 44_100)
    assert np.abs(audio.read(tmp_path / "a.wav")[500:-500]).max() < 1e-3


def test_stereo_is_mixed(tmp_path: Path) -> None:
    left = tone(16_000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 16_000)
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav"), left / 2, atol=1e-4)


def bad_files(folder: Path) -> dict[str, str]:
    """Writes files that hold no sound; name → part of the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text_1.wav").write_text("this is text\n" * 20)
    (folder / "empty_1.wav").write_bytes(b"")
    soundfile.write(folder / "short_1.wav", np.zeros(0, np.float32), 16_000)
    soundfile.write(folder / "nan_1.wav", np.full(100, np.nan, np.float32), 16_000, subtype="FLOAT")
    return {"text_1.wav": "not a sound", "empty_1.wav": "not a sound", "short_1.wav": "zero", "nan_1.wav": "finite"}


def test_files_without_sound_say_why(tmp_path: Path) -> None:
    for name, reason in bad_files(tmp_path).items():
        with pytest.raises(audio.UnreadableError, match=reason) as caught:
            audio.read(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(audio.UnreadableError, match="no such file"):
        audio.read(tmp_path / "missing.wav")


def test_a_dataset_skips_and_counts_them(tmp_path: Path) -> None:
    for label in ("yes", "no"):
        (tmp_path / label).mkdir()
        for number in range(10):
            soundfile.write(tmp_path / label / f"{number}.wav", tone(16_000, hz=300 + number), 16_000)
    bad = bad_files(tmp_path / "yes")
    dataset = open_dataset(f"folder:{tmp_path}")
    clips = [clip for split in ("train", "validation", "test") for clip in dataset.split(split)]
    assert len(clips) == 20
    assert {name: reason for name, reason in dataset.skipped.items()}.keys() == {f"yes/{name}" for name in bad}
    list(dataset.split("train"))
    assert len(dataset.skipped) == len(bad), "reading twice must not count twice"


def test_a_dataset_with_nothing_left_is_refused(tmp_path: Path) -> None:
    for label in ("yes", "no"):
        bad_files(tmp_path / label)
    with pytest.raises(DatasetError, match=r"no usable clip: \d files, \d skipped \(first: ") as caught:
        list(open_dataset(f"folder:{tmp_path}").split("train"))
    assert "\n" not in str(caught.value)


def test_fit_centres_pads_and_keeps_the_loudest_second() -> None:
    word = np.ones(1_000, np.float32)
    assert np.flatnonzero(audio.fit(word))[[0, -1]].tolist() == [7_500, 8_499]
    assert np.flatnonzero(audio.fit(word, "start"))[[0, -1]].tolist() == [0, 999]
    long = np.zeros(50_000, np.float32)
    long[30_000:44_000] = 2
    fitted = audio.fit(long)
    assert fitted.shape == (16_000,) and np.count_nonzero(fitted) == 14_000 and fitted.max() == 1
