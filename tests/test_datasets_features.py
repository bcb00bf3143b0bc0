"""Features of a dataset: right, cached, augmented, repeatable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rena_kws.datasets import features as features_module
from rena_kws.datasets.augment import Augmentation, augment
from rena_kws.datasets.base import Clip, open_dataset
from rena_kws.datasets.features import load_features
from rena_kws.datasets.loudness import LEAST_DB, MOST_DB, vary_loudness
from rena_kws.datasets.noise import EXPONENTS, coloured
from rena_kws.datasets.spoken_digits import SpokenDigits
from rena_kws.errors import DatasetError
from rena_kws.frontend.features import compute
from rena_kws.frontend.settings import FrontEnd


class CountingDigits(SpokenDigits):
    """Two digits, and how often their clips were read."""

    reads = 0

    def split(self, split: str) -> Iterator[Clip]:
        CountingDigits.reads += 1
        return super().split(split)


@pytest.fixture
def digits(reference: Callable[..., Path]) -> CountingDigits:
    CountingDigits.reads = 0
    return CountingDigits(str(reference("datasets", "fsdd")), keywords="one,two")


def test_the_numbers_are_those_of_the_clips(digits: CountingDigits, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    features = load_features(digits, FrontEnd(), "test", tmp_path, progress=lambda *at: done.append(at))
    clips = list(digits.split("test"))
    assert features.x.shape == (100, 49, 10, 1) and features.x.dtype == np.float32 and features.y.dtype == np.int32
    np.testing.assert_array_equal(features.x, compute(FrontEnd(), np.stack([clip.audio for clip in clips])))
    assert [features.labels[index] for index in features.y] == [clip.label for clip in clips]
    assert features.speakers == tuple(clip.speaker for clip in clips)
    assert done[-1] == (100, 100)


def test_the_second_time_nothing_is_computed(digits: CountingDigits, tmp_path: Path) -> None:
    first = load_features(digits, FrontEnd(), "train", tmp_path, variants=1)
    assert CountingDigits.reads == 1
    again = load_features(digits, FrontEnd(), "train", tmp_path, variants=1)
    assert CountingDigits.reads == 1
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, again.y)
    assert (first.speakers, first.labels) == (again.speakers, again.labels)


def test_whatever_matters_is_in_the_key(digits: CountingDigits, tmp_path: Path, reference: Callable[..., Path]) -> None:
    load_features(digits, FrontEnd(), "train", tmp_path)
    load_features(digits, FrontEnd(kind="log_mel"), "train", tmp_path)
    load_features(digits, FrontEnd(), "train", tmp_path, variants=1)
    load_features(digits, FrontEnd(), "train", tmp_path, variants=1, seed=1)
    load_features(digits, FrontEnd(), "validation", tmp_path)
    other = CountingDigits(str(reference("datasets", "fsdd")), keywords="two,one")
    load_features(other, FrontEnd(), "train", tmp_path)
    assert CountingDigits.reads == 6 == len(list((tmp_path / "features").iterdir()))
    load_features(digits, FrontEnd(), "train", tmp_path, seed=5)  # Without variants the seed changes nothing.
    assert CountingDigits.reads == 6


def test_a_damaged_file_is_made_anew(digits: CountingDigits, tmp_path: Path) -> None:
    first = load_features(digits, FrontEnd(), "test", tmp_path)
    (path,) = (tmp_path / "features").iterdir()
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(load_features(digits, FrontEnd(), "test", tmp_path).x, first.x)
    assert [item.name for item in path.parent.iterdir()] == [path.name], "nothing may be left beside it"


def test_variants_follow_the_clips_and_repeat(digits: CountingDigits, tmp_path: Path) -> None:
    plain = load_features(digits, FrontEnd(), "train", tmp_path / "a")
    one, other = (load_features(digits, FrontEnd(), "train", tmp_path / name, variants=2, seed=3) for name in "bc")
    n = len(plain.x)
    assert len(one.x) == 3 * n
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.x[:n], plain.x)
    assert one.y.tolist() == plain.y.tolist() * 3 and one.speakers == plain.speakers * 3
    blocks = one.x.reshape(3, n, -1)
    assert all(np.abs(blocks[a] - blocks[b]).mean() > 0.1 for a, b in ((0, 1), (0, 2), (1, 2)))
    different = load_features(digits, FrontEnd(), "train", tmp_path / "d", variants=2, seed=4)
    assert not np.array_equal(different.x[n:], one.x[n:])


def test_loudness_varies_only_where_the_front_end_hears_it(
    digits: CountingDigits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loudest_frames(front_end: FrontEnd, folder: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        features = load_features(digits, front_end, "train", tmp_path / folder, variants=1)
        return features.x[len(features.x) // 2 :, :, 0, 0].max(axis=1)

    by_peak, as_it_is = FrontEnd(), FrontEnd(loudness="none")
    varied = [loudest_frames(front_end, "varied") for front_end in (by_peak, as_it_is)]
    monkeypatch.setattr(features_module, "vary_loudness", lambda audio, rng: audio)
    even = [loudest_frames(front_end, "even") for front_end in (by_peak, as_it_is)]
    np.testing.assert_array_equal(varied[0], even[0])
    assert varied[1].std() > 1.3 * even[1].std()


def test_gains_are_uniform_and_nothing_is_clipped() -> None:
    clips = np.tile(tone(500), (4000, 1))[:, 4_000:4_100] / 4
    gains_db = 20 * np.log10(np.abs(vary_loudness(clips, np.random.default_rng(0))).max(axis=1) * 4)
    edges = np.linspace(LEAST_DB, MOST_DB, 5)
    assert np.abs(np.histogram(gains_db, edges)[0] / 4000 - 0.25).max() < 0.03
    loud = vary_loudness(4 * clips, np.random.default_rng(0))
    assert np.abs(loud).max() == pytest.approx(1) and (np.abs(loud).max(axis=1) < 0.9).mean() > 0.7
    assert not vary_loudness(0 * clips, np.random.default_rng(0)).any()


def test_only_training_has_variants(digits: CountingDigits, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="only the train split has variants"):
        load_features(digits, FrontEnd(), "test", tmp_path, variants=1)
    with pytest.raises(DatasetError, match="unknown split 'dev'"):
        load_features(digits, FrontEnd(), "dev", tmp_path)
    with pytest.raises(DatasetError, match="clips are one second"):
        load_features(digits, FrontEnd(clip_ms=500), "test", tmp_path)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_a_cache_that_cannot_be_written_is_one_line(digits: CountingDigits, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(DatasetError, match=r"cannot be written .* RENA_KWS_CACHE") as caught:
        load_features(digits, FrontEnd(), "test", blocked)
    assert "\n" not in str(caught.value)


def test_synthetic_features_are_the_same_from_two_caches(tmp_path: Path) -> None:
    dataset = open_dataset("synthetic", {"keywords": "lamp,fan", "clips_per_word": 8})
    one, other = (load_features(dataset, FrontEnd(), "train", tmp_path / name, variants=1) for name in "ab")
    np.testing.assert_array_equal(one.x, other.x)
    assert len(one.x) == 2 * (3 * 8 + 2 * 8)


def tone(hz: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Half a second in the middle of a clip."""
    clip = np.zeros((1, 16_000), np.float32)
    clip[0, 4_000:12_000] = np.sin(2 * np.pi * hz * np.arange(8_000) / 16_000)
    return clip


STILL = Augmentation(
    gain_db=0, reverberant=0, shift_ms=0, slowest=1, fastest=1, colour=0, noisy=0, babble=0, narrow=0, clipped=0
)  # fmt: skip


def test_gain_wanders_by_as_much_as_asked_for() -> None:
    assert np.array_equal(np.abs(augment(STILL, tone(500), np.random.default_rng(0))), np.abs(tone(500)))
    loud = np.ones((200, 16_000), np.float32)
    changed = augment(replace(STILL, gain_db=10, gain_knot_ms=100), loud, np.random.default_rng(0))
    gains_db = 20 * np.log10(np.abs(changed[:, ::800]))
    each = gains_db.std(axis=1)
    assert each.min() < 0.5 and 3 < each.mean() < 4.5 and 7 < each.max() < 15  # mean strength 5 dB, less between knots
    steps = np.abs(np.diff(20 * np.log10(np.abs(changed)), axis=1))
    assert steps.max() < 60 / 1_600  # straight from knot to knot, 0.1 s apart


def test_echoes_follow_a_sound_and_die_away() -> None:
    click = np.zeros((100, 16_000), np.float32)
    click[:, 4_000] = 1
    changed = augment(replace(STILL, reverberant=1, longest_decay_ms=400), click, np.random.default_rng(0))
    assert np.abs(changed[:, :4_000]).max() < 1e-6 and np.abs(changed[:, 4_000]) == pytest.approx(1, abs=0.2)
    assert np.abs(changed[:, 4_000 + 6_400 + 161 :]).max() < 1e-6
    echo = (changed[:, 4_001:] ** 2).sum(axis=1)
    below_db = -10 * np.log10(echo)
    assert below_db.min() > -0.1 and below_db.max() < 15.1 and below_db.std() > 3
    early, late = (changed[:, 4_161:4_961] ** 2).sum(), (changed[:, 6_000:6_800] ** 2).sum()
    assert early > 10 * late
    some = augment(replace(STILL, reverberant=0.5), click, np.random.default_rng(0))
    assert 30 < np.count_nonzero((np.abs(some) > 1e-6).sum(axis=1) > 1) < 70


def test_a_narrow_band_keeps_its_middle() -> None:
    for hz, least, most in ((60, 0.0, 0.4), (1_000, 0.85, 1.01), (6_500, 0.0, 0.2)):
        changed = augment(replace(STILL, narrow=1), np.repeat(tone(hz), 20, 0), np.random.default_rng(0))
        kept = np.sqrt((changed[:, 6_000:10_000] ** 2).mean(axis=1) * 2)
        assert least <= kept.min() and kept.max() <= most


def test_clipping_cuts_peaks_off_and_nothing_else() -> None:
    sound = np.repeat(tone(500), 40, 0)
    changed = np.abs(augment(replace(STILL, clipped=1), sound, np.random.default_rng(0)))
    peaks = changed.max(axis=1, keepdims=True)
    assert 0.19 < peaks.min() < 0.35 and 0.75 < peaks.max() < 0.91
    np.testing.assert_allclose(changed, np.minimum(np.abs(sound), peaks), atol=1e-6)


def test_babble_is_made_of_the_other_clips() -> None:
    """Tones of two frequencies under a third clip that is silent but for a click: what is heard are the tones."""
    click = np.zeros((1, 16_000), np.float32)
    click[0, 8_000:8_200] = 0.5
    clips = np.concatenate([click, *[tone(hz) for hz in (700, 1_900) * 10]])
    loud = replace(STILL, noisy=1, babble=1, least_snr_db=0, most_snr_db=0)
    heard = np.mean([augment(loud, clips, np.random.default_rng(seed))[0] ** 2 for seed in range(20)], 0)
    assert heard[:7_000].mean() > 0.01 and heard[9_000:].mean() > 0.01
    spectrum = np.abs(np.fft.rfft(augment(loud, clips, np.random.default_rng(3))[0][:7_000]))
    assert {round(int(line) * 16_000 / 7_000, -2) for line in np.argsort(spectrum)[-4:]} <= {700, 1_900}


def test_speed_changes_pitch_and_length_together() -> None:
    alone = replace(STILL, slowest=1.2, fastest=1.2)
    changed = augment(alone, tone(500), np.random.default_rng(0))
    sounding = np.flatnonzero(np.abs(changed[0]) > 1e-6)
    assert abs((sounding[-1] - sounding[0]) - 8_000 / 1.2) < 10
    assert abs((sounding[-1] + sounding[0]) / 2 - 8_000) < 10
    assert abs(np.argmax(np.abs(np.fft.rfft(changed[0]))) - 600) <= 1


def test_shift_moves_without_wrapping_round() -> None:
    alone = replace(STILL, shift_ms=100)
    starts = {int(np.flatnonzero(augment(alone, tone(500), np.random.default_rng(seed))[0])[0]) for seed in range(40)}
    assert 2_400 <= min(starts) < 3_000 and 5_000 < max(starts) <= 5_601
    edge = np.zeros((1, 16_000), np.float32)
    edge[0, -100:] = 1
    assert not any(augment(alone, edge, np.random.default_rng(seed))[0, :8_000].any() for seed in range(20))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_noise_falls_as_its_colour_says_from_50_hz_on(exponent: float) -> None:
    sound = coloured(np.random.default_rng(0), exponent, 160_000)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(1)
    power = np.abs(np.fft.rfft(sound)) ** 2  # a line each 0.1 Hz
    assert power[:499].sum() < 1e-6 * power.sum()
    octaves = [power[10 * hz : 20 * hz].sum() for hz in (100, 400)]
    assert octaves[1] / octaves[0] == pytest.approx(4 ** (1 - exponent), rel=0.15)


def test_noise_has_the_level_asked_for_and_silence_stays_silent() -> None:
    alone = replace(STILL, noisy=1, least_snr_db=20, most_snr_db=20)
    for seed in range(5):
        changed = augment(alone, tone(500), np.random.default_rng(seed))[0]
        noise = np.concatenate([changed[:3_900], changed[12_100:]])
        snr_db = 10 * np.log10(0.5 / np.mean(noise**2))
        assert 15 < snr_db < 25  # Brown noise wanders, so a stretch of it varies.
    assert not augment(alone, np.zeros((3, 16_000), np.float32), np.random.default_rng(0)).any()
