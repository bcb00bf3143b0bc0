"""Decisions in Python against those of the exported C, and both against what the rules say."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import pytest
from flatbuffer_models import small_conv_model
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_firmware_stream import LABELS, small_stream

from rena_kws.decisions import DecisionSettings, Detection, detect, keyword_indices, smooth
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import generate
from rena_kws.firmware.emit_stream import stream_sources
from rena_kws.firmware.toolchain import compile_host_library
from rena_kws.frontend.settings import FrontEnd

CHOICES = (
    DecisionSettings(hops_a_result=1, smoothed_results=1, threshold=0.5, refractory_ms=0),
    DecisionSettings(hops_a_result=2, smoothed_results=3, threshold=0.3, refractory_ms=90),
    DecisionSettings(hops_a_result=4, smoothed_results=16, threshold=0.7, refractory_ms=1000),
    DecisionSettings(hops_a_result=4, smoothed_results=2, threshold=1.0, refractory_ms=500),
)


@hypothesis_settings(max_examples=40)
@given(
    choice=st.sampled_from(CHOICES),
    results=st.integers(0, 300),
    certainty=st.floats(0, 300),
    seed=st.integers(0, 1 << 16),
)
def test_python_decides_as_the_c(choice: DecisionSettings, results: int, certainty: float, seed: int) -> None:
    """Words that last, in noise; saturated scores and equal ones among them."""
    stream, front_end = small_stream(choice)
    rng = np.random.default_rng(seed)
    words = np.repeat(rng.integers(0, len(LABELS), results + 1), rng.integers(1, 40, results + 1))[:results]
    scores = rng.integers(-128, 128, (results, len(LABELS))).astype(float)
    scores[np.arange(results), words] += certainty
    scores = np.clip(scores, -128, 127).astype(np.int8)
    sums = smooth(scores, choice.smoothed_results)
    found = detect(sums, keyword_indices(LABELS), choice.threshold_sum, choice.resting_results(front_end.hop_ms))
    assert found == stream.decide(scores)


@pytest.mark.parametrize("seed", range(4))
def test_detections_follow_the_rules(seed: int) -> None:
    """By the letter of the documentation, one result at a time."""
    rng = np.random.default_rng(seed)
    words = np.repeat(rng.integers(0, 5, 200), rng.integers(1, 40, 200))[:2000]
    scores = rng.normal(-60, 60, (len(words), 5))
    scores[np.arange(len(words)), words] += 150
    scores = np.clip(scores, -128, 127).astype(np.int8)
    choice = DecisionSettings(hops_a_result=2, smoothed_results=4, threshold=0.55, refractory_ms=400)
    period_ms, last_ms, lasting, expected = 40, -1e9, None, []
    for result in range(len(scores)):
        window = scores[max(0, result - 3) : result + 1]
        means = (window.astype(float) + 128).sum(axis=0) / 4 / 256
        if lasting is not None and means[lasting] < 0.55:
            lasting = None
        label = max((index for index in (0, 1, 4) if index != lasting), key=lambda index: means[index])
        if means[label] >= 0.55 and result * period_ms - last_ms >= 400:
            expected.append(Detection(result, label, round(means[label] * 4 * 256)))
            last_ms, lasting = result * period_ms, label
    found = detect(smooth(scores, 4), keyword_indices(LABELS), choice.threshold_sum, choice.resting_results(20))
    assert len(found) > 20
    assert found == expected


def test_the_highest_threshold_can_be_reached() -> None:
    choice = DecisionSettings(smoothed_results=3, threshold=1.0)
    stream, _ = small_stream(choice)
    scores = np.full((5, len(LABELS)), -128, np.int8)
    scores[:, 1] = 127
    assert detect(smooth(scores, 3), keyword_indices(LABELS), choice.threshold_sum, 0) == stream.decide(scores)
    assert stream.decide(scores) == [Detection(2, 1, 3 * 255)]


NAMES = ("FULL_SCORE", "THRESHOLD", "RESTING_RESULTS")


def in_c(settings: Sequence[str]) -> list[tuple[int, ...]]:
    """What compilers make of the `NAMES` in headers of settings."""
    sources = {f"{number}.h": text for number, text in enumerate(settings)}
    for number in range(len(settings)):
        values = ", ".join(f"BELL_{name}" for name in NAMES)
        sources[f"{number}.c"] = f'#include "{number}.h"\nconst int32_t values_{number}[] = {{{values}}};\n'
    library = ctypes.CDLL(str(compile_host_library(sources, libc=False)))
    return [tuple((ctypes.c_int32 * len(NAMES)).in_dll(library, f"values_{n}")) for n in range(len(settings))]


def test_what_follows_from_the_settings_in_c_is_what_follows_in_python() -> None:
    """For the numbers that are generated, and for those that somebody writes in their place."""
    front_end = FrontEnd(clip_ms=170, mel_bands=20, coefficients=6)
    rng = np.random.default_rng(0)
    choices = [DecisionSettings(threshold=threshold) for threshold in (1.0, 255 / 256, 0.9961, 1e-9, 0.55, 0.8)]
    choices += [DecisionSettings(smoothed_results=count, threshold=0.55) for count in (10, 255, 1000)]
    choices += [DecisionSettings(hops_a_result=hops, refractory_ms=ms) for hops in (1, 7) for ms in (0, 1, 20, 600_000)]
    choices += [DecisionSettings(5, int(rng.integers(1, 99)), float(rng.random())) for _ in range(60)]
    firmware = generate(small_conv_model(), "bell")

    def settings(choice: DecisionSettings) -> str:
        return stream_sources(front_end, firmware, LABELS, choice)["bell_stream_settings.h"]

    def follow(choice: DecisionSettings) -> tuple[int, ...]:
        return choice.full_score, choice.threshold_sum, choice.resting_results(front_end.hop_ms)

    assert in_c([settings(choice) for choice in choices]) == [follow(choice) for choice in choices]
    changed = settings(DecisionSettings())
    for name, before, after in (("SMOOTHED_RESULTS", 4, 8), ("HOPS_A_RESULT", 4, 3), ("REFRACTORY_MS", 1000, 500)):
        assert changed.count(f"#define BELL_{name} {before}\n") == 1
        changed = changed.replace(f"#define BELL_{name} {before}\n", f"#define BELL_{name} {after}\n")
    assert in_c([changed]) == [follow(DecisionSettings(3, 8, refractory_ms=500))]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"threshold": 0}, "threshold lies above 0 and is at most 1, not 0"),
        ({"threshold": 1.5}, "not 1.5"),
        ({"threshold": "high"}, "is a number, not 'high'"),
        ({"smoothed_results": 0}, "smoothed_results is a whole number from 1 to 1000, not 0"),
        ({"hops_a_result": 2.5}, "hops_a_result is a whole number"),
        ({"refractory_ms": -1}, "refractory_ms is a whole number from 0"),
        ({"treshold": 0.5}, "unknown decision setting 'treshold'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        DecisionSettings.from_json(wrong)


def test_settings_survive_json() -> None:
    for choice in CHOICES:
        assert DecisionSettings.from_json(choice.as_json()) == choice
