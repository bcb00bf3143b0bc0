"""Long streams: what they are made of, what is counted on them, and a detector whose rates are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import beeps
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rena_kws import api
from rena_kws.cli.evaluate_cmd import describe
from rena_kws.cli.main import main
from rena_kws.datasets.base import open_dataset
from rena_kws.decisions import DecisionSettings, Detection, detect, keyword_indices, smooth
from rena_kws.errors import DatasetError, ModelError, RunFolderError
from rena_kws.export.manifest import Manifest
from rena_kws.report.det import Operating, det_plot
from rena_kws.report.files import write_pair
from rena_kws.streaming.bundle import stream_bundle
from rena_kws.streaming.evaluation import StreamReport, StreamSettings, _choose
from rena_kws.streaming.rates import Heard, Results, Smoothed, match, poisson_interval
from rena_kws.streaming.stream_sound import SEGMENT_S, Clips, Said, keyword_segments, negative_segments


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tones and rattles, twelve of each in every split."""
    path = tmp_path_factory.mktemp("beeps") / "beeps.npz"
    rng = np.random.default_rng(5)
    splits = [split for split in ("train", "validation", "test") for _ in range(36)]
    y = np.arange(len(splits)) % 3
    clips = np.stack([beeps.word(beeps.LABELS[label], rng) for label in y])
    speakers = np.array([f"{split} {number % 2}" for number, split in enumerate(splits)])
    np.savez(path, x=clips, y=y, labels=np.array(beeps.LABELS), split=np.array(splits), speakers=speakers)
    return f"arrays:{path}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return beeps.write_model(tmp_path_factory.mktemp("model"))


def clips_of(dataset: str) -> Clips:
    return Clips.of(open_dataset(dataset), "test")


def test_a_stream_is_the_same_for_the_same_seed(dataset: str) -> None:
    clips = clips_of(dataset)
    assert (len(clips.keywords), len(clips.others), clips.voices) == (24, 12, 2)
    first, again, other = ([make() for make in keyword_segments(clips, 10, seed)] for seed in ((0, 0), (0, 0), (1, 0)))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.sound, b.sound)
        assert a.said == b.said
    assert first[0].sound.shape != other[0].sound.shape or (first[0].sound != other[0].sound).any()


def test_every_keyword_is_said_once_where_the_stream_says_so(dataset: str) -> None:
    clips = clips_of(dataset)
    segments = [make() for make in keyword_segments(clips, 40, (0, 0))]
    said = [word for segment in segments for word in segment.said]
    assert sorted(word.label for word in said) == sorted(label for label, _ in clips.keywords)
    for segment in segments:
        assert [word.start for word in segment.said] == sorted(word.start for word in segment.said)
        for word in segment.said:
            assert 0.36 < (word.end - word.start) / 16_000 < 0.41  # the tone is there for 0.4 s
            tone_hz = beeps.TONES_HZ[beeps.LABELS[word.label]]
            spectrum = np.abs(np.fft.rfft(segment.sound[word.start : word.end]))
            assert abs(spectrum.argmax() / (word.end - word.start) * 16_000 - tone_hz) < 5


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_words_lie_as_far_above_the_noise_as_asked(dataset: str, snr_db: float) -> None:
    """The same stream with words that cannot be heard is its noise."""
    clips = clips_of(dataset)
    loud, silent = (next(keyword_segments(clips, db, (3, 0)))() for db in (snr_db, -120.0))
    for word in loud.said:
        background = silent.sound[word.start : word.end].astype(float)
        speech = loud.sound[word.start : word.end] - background
        if np.abs(loud.sound[word.start : word.end]).max() < 32767 and background.std() > 30:
            found_db = 20 * np.log10(np.sqrt(np.mean(speech**2)) / np.sqrt(np.mean(background**2)))
            assert abs(found_db - snr_db) < 3  # the noise swells within a word's second


def test_hours_without_keywords(dataset: str) -> None:
    clips = clips_of(dataset)
    segments = list(negative_segments(clips, 0.5, 10, (0, 1)))
    assert len(segments) == 6
    made = [make() for make in segments[:2]]  # without words, and with some
    assert all(len(segment.sound) == SEGMENT_S * 16_000 and not segment.said for segment in made)
    assert (made[0].sound != made[1].sound).mean() > 0.9
    silence = Clips(clips.keywords, (), 0)
    assert len(next(negative_segments(silence, 0.1, 10, (0, 1)))().sound) == SEGMENT_S * 16_000


@hypothesis_settings(max_examples=15)
@given(count=st.integers(0, 400), probability=st.sampled_from([0.5, 0.9, 0.95]))
def test_the_interval_is_that_of_the_chi_squared_distribution(count: int, probability: float) -> None:
    chi2 = pytest.importorskip("scipy.stats").chi2
    tail = (1 - probability) / 2
    low, high = poisson_interval(count, probability)
    assert low == pytest.approx(chi2.ppf(tail, 2 * count) / 2 if count else 0, rel=1e-9)
    assert high == pytest.approx(chi2.ppf(1 - tail, 2 * count + 2) / 2, rel=1e-9)


def heard(scores: np.ndarray, said: tuple[Said, ...] = (), hours: float = 1.0) -> Heard:
    results = Results(scores.astype(np.int8), 16_000 + 1280 * np.arange(len(scores)))
    return Heard(results, said, hours)


def test_a_detection_counts_for_its_own_word_in_its_time_once() -> None:
    said = (Said(0, 20_000, 26_000), Said(1, 40_000, 46_000), Said(0, 80_000, 86_000))
    silent = heard(np.zeros((100, 3)), said)
    at = {position: (position - 16_000) // 1280 for position in range(16_000, 140_000, 1280)}
    found = [
        Detection(at[16_000 + 8 * 1280], 0, 900),  # 26,240: 240 samples after the first word
        Detection(at[16_000 + 16 * 1280], 0, 900),  # again
        Detection(at[16_000 + 24 * 1280], 0, 900),  # 46,720: the wrong word
        Detection(at[16_000 + 69 * 1280], 0, 900),  # 104,320: more than a second after the third
    ]
    outcome = match(found, silent)
    assert outcome.latencies_ms == [pytest.approx(15.0)]
    assert outcome.stray == 3


def test_rates_are_counts_by_hand() -> None:
    scores = np.full((200, 3), -128)
    scores[20:26, 0] = 100  # said
    scores[120:126, 1] = 100  # not said
    said = (Said(0, 16_000 + 1280 * 16, 16_000 + 1280 * 20), Said(1, 16_000 + 1280 * 160, 16_000 + 1280 * 166))
    negative = np.full((400, 3), -128)
    negative[[50, 51, 200, 201, 300], 1] = 60
    rates = Smoothed([heard(scores, said)], [heard(negative, hours=0.5)], [0, 1], 2).rates(
        DecisionSettings(smoothed_results=2, threshold=0.7, refractory_ms=500), hop_ms=20
    )
    assert (rates.said, rates.missed, rates.stray, rates.false_accepts) == (2, 1, 1, 2)
    assert rates.false_reject_rate == 0.5 and rates.false_accepts_per_hour == 4
    assert rates.latency_ms_median == pytest.approx(1000 * 1280 * 1 / 16_000)  # the second result of the two
    assert rates.interval_per_hour == tuple(2 * limit for limit in poisson_interval(2))


def test_a_detector_of_tones_finds_them(dataset: str, model: Path) -> None:
    report = api.evaluate_stream(model, dataset, StreamSettings(hours=1 / 6, snr_db=10))
    test = report.test
    assert test.said == 24 and test.missed == 0 and test.stray == 0
    assert test.hours == pytest.approx(1 / 6)
    assert report.validation.false_accepts_per_hour <= 1
    assert test.latency_ms_median is not None and -400 < test.latency_ms_median < 500  # the tone lasts 400 ms
    assert 0.05 < report.decisions.threshold <= 1
    thresholds = [point.threshold for point in report.det]
    assert thresholds == sorted(thresholds, reverse=True)
    assert report.det[0].threshold == 255 / 256  # what an output can reach
    deep = api.evaluate_stream(model, dataset, StreamSettings(hours=0.1, snr_db=-15))
    assert deep.test.missed >= 8  # under white or pink noise they are lost


@pytest.mark.slow
def test_the_command_line_reports_saves_and_exports(
    dataset: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(model), "--dataset", dataset, "--stream", "--hours", "0.1", "--json"]
    out = tmp_path / "out"
    assert main([*words, "--save", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((out / "stream.json").read_text())
    assert told["how"] == "measured" and told["material"]["test"] == {"keywords": 24, "other_clips": 12, "voices": 2}
    assert len(told["test"]["false_accepts_per_hour_interval"]) == 2
    ElementTree.fromstring((out / "det.svg").read_text())
    manifest = Manifest.beside(model)
    assert manifest is not None and dict(manifest.decisions) == told["decisions"]
    api.export(model, "c", tmp_path / "bundle")
    settings = (tmp_path / "bundle" / "kws_model_stream_settings.h").read_text()
    decisions = DecisionSettings.from_json(told["decisions"])
    assert f"#define KWS_MODEL_THRESHOLD_MILLIONTHS {round(1e6 * decisions.threshold)}\n" in settings
    assert f"#define KWS_MODEL_SMOOTHED_RESULTS {decisions.smoothed_results}\n" in settings


def test_where_no_threshold_keeps_the_target_the_highest_is_chosen_and_it_is_told(model: Path) -> None:
    """A detector that is sure of everything, all along."""
    sure = np.full((400, 3), 127)
    sounds = [heard(sure, (Said(0, 20_000, 26_000),), 0.1)], [heard(sure, hours=0.1)]
    decisions, rates = _choose(stream_bundle(*api._with_manifest(model)), *sounds, 1.0)
    assert decisions.threshold == 255 / 256 and rates.false_accepts > 0
    material = {"test": {"other_clips": 0, "voices": 0}}
    report = StreamReport(StreamSettings(), decisions, rates, rates, (rates,), material)
    assert "false accepts an hour (no threshold keeps 1)" in describe(report)


def test_clips_leave_their_confusions_as_a_picture(
    dataset: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(model), "--dataset", dataset, "--out", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "out" / "clips.json").read_text())
    root = ElementTree.fromstring((tmp_path / "out" / "confusion.svg").read_text())
    tips = [element.text for element in root.iter() if element.tag.endswith("title")]
    labels = told["labels"]
    expected = [
        f"{labels[i]} taken for {labels[j]}: {count} of {sum(row)}"
        for i, row in enumerate(told["confusion"])
        for j, count in enumerate(row)
        if count
    ]
    assert tips == expected and len(expected) >= 3
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError, match="cannot write"):
        write_pair(tmp_path / "file", "clips.json", told, "confusion.svg", "")


def test_options_of_clips_and_of_streams_do_not_mix(
    dataset: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(model), "--dataset", dataset]
    assert main([*words, "--hours", "3"]) == 2
    assert "--hours is for streams: add --stream" in capsys.readouterr().err
    assert main([*words, "--stream", "--split", "test"]) == 2
    assert "--split is for clips: leave it out" in capsys.readouterr().err
    assert main([*words, "--stream", "--hours", "2000"]) == 2
    assert "at most 1000 hours" in capsys.readouterr().err


def test_what_cannot_be_evaluated_is_refused(dataset: str, model: Path) -> None:
    with pytest.raises(ModelError, match="needs the labels and the front end"):
        api.evaluate_stream(beeps.model(), dataset)
    bundle = stream_bundle(*api._with_manifest(model))
    with pytest.raises(ModelError, match="are not the dataset's"):
        from rena_kws.streaming.evaluation import evaluate_stream

        evaluate_stream(bundle, open_dataset("synthetic"), StreamSettings())
    with pytest.raises(DatasetError, match="-20 to 60 dB"):
        StreamSettings(snr_db=math.nan)


def test_real_words_are_decided_alike_in_python_and_c(reference: Callable[..., Path], model: Path) -> None:
    """Speech with tones in it."""
    bundle = stream_bundle(*api._with_manifest(model))
    dataset = open_dataset(f"spoken-digits:{reference('datasets', 'fsdd')}")
    sound = np.concatenate([clip.audio for clip, _ in zip(dataset.split("test"), range(60), strict=False)])
    rng = np.random.default_rng(0)
    sound += np.concatenate([beeps.word(beeps.LABELS[label], rng) for label in rng.integers(0, 3, 60)])
    sound = np.rint(32767 * sound / np.abs(sound).max()).astype(np.int16)
    tried = bundle.deciding(DecisionSettings(threshold=0.3, smoothed_results=3, refractory_ms=250))
    host = tried.on_this_computer()
    scores = host.scores(sound, bundle.front_end.clip_samples, bundle.period_samples)
    resting = tried.decisions.resting_results(bundle.front_end.hop_ms)
    found = detect(smooth(scores, 3), keyword_indices(bundle.labels), tried.decisions.threshold_sum, resting)
    assert found == host.decide(scores) and len(found) > 20
    assert len(scores) > 700 and np.ptp(scores[:, 0].astype(int)) > 100


def test_the_curve_marks_the_operating_point() -> None:
    curve = [Operating(1.0, 1.0, 0.0), Operating(0.8, 0.3, 0.5), Operating(0.4, 0.1, 90.0)]
    picture = det_plot(curve, curve[1], 10.0, "10 dB <above> noise")
    root = ElementTree.fromstring(picture)
    names = {element.get("class") for element in root.iter()}
    assert {"step", "winner", "front"} <= names
    path = next(element.get("d") for element in root.iter() if element.get("class") == "step")
    points = [tuple(map(float, pair.split())) for pair in path[1:].split("L")]
    assert points == sorted(points)  # more accepted falsely, less rejected: to the right and down
    winner = next(element for element in root.iter() if element.get("class") == "winner")
    assert (float(winner.get("cx")), float(winner.get("cy"))) == points[1]
