"""A front end's settings: MLPerf Tiny's by default, JSON both ways, nonsense refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.errors import DatasetError
from rena_kws.frontend.settings import FrontEnd


def test_the_default_is_the_input_of_mlperf_tiny() -> None:
    assert FrontEnd().shape == (49, 10, 1)
    assert FrontEnd(kind="log_mel").shape == (49, 40, 1)
    assert (FrontEnd().window_samples, FrontEnd().hop_samples, FrontEnd().clip_samples) == (480, 320, 16_000)


valid = st.builds(
    FrontEnd,
    kind=st.sampled_from(["mfcc", "log_mel"]),
    sample_rate_hz=st.sampled_from([8_000, 16_000]),
    window_ms=st.integers(5, 32),
    hop_ms=st.integers(5, 40),
    mel_bands=st.integers(20, 64),
    low_hz=st.floats(10, 200),
    high_hz=st.sampled_from([3_800, 4_000.0]),
    coefficients=st.integers(1, 20),
    clip_ms=st.integers(40, 2_000),
    loudness=st.sampled_from(["clip_peak", "none"]),
)


@given(valid)
def test_json_goes_both_ways_and_keeps_the_fingerprint(settings: FrontEnd) -> None:
    again = FrontEnd.from_json(json.loads(json.dumps(settings.as_json())))
    assert again == settings
    assert again.fingerprint == settings.fingerprint
    assert again.shape[0] >= 1


def test_the_fingerprint_tells_every_setting_apart_and_does_not_change() -> None:
    changes: dict[str, Any] = {
        "kind": "log_mel", "sample_rate_hz": 8_000, "window_ms": 20, "hop_ms": 10, "fft_size": 1024,
        "mel_bands": 32, "low_hz": 40, "high_hz": 3_000, "coefficients": 13, "clip_ms": 500,
        "log_floor": 1e-3, "loudness": "none",
    }  # fmt: skip
    assert set(changes) == {item.name for item in dataclasses.fields(FrontEnd)}
    prints = {dataclasses.replace(FrontEnd(), **{name: value}).fingerprint for name, value in changes.items()}
    assert len(prints | {FrontEnd().fingerprint}) == len(changes) + 1
    # Spelt out, because a cache and a manifest outlive the process that wrote them.
    assert FrontEnd().fingerprint == FrontEnd(low_hz=20).fingerprint == "102050ea7a4fff1d"
    assert "loudness" not in FrontEnd().as_json()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "plp"}, "mfcc, log_mel, micro_frontend, not 'plp'"),
        ({"loudness": "loud"}, "clip_peak or none, not 'loud'"),
        ({"hop_ms": 0}, "hop_ms must be a positive number, not 0"),
        ({"hop_ms": "20"}, "hop_ms must be a positive number, not '20'"),
        ({"mel_bands": 2.5}, "mel_bands must be a whole number, not 2.5"),
        ({"fft_size": 256}, "480 > 256"),
        ({"high_hz": 9_000}, "9000 > 8000"),
        ({"low_hz": 4_000}, "below high_hz"),
        ({"coefficients": 41}, "41 > 40"),
        ({"window_ms": 2_000}, "2000 > 1000"),
        ({"sample_rate_hz": 11_025}, "whole number of samples"),
        ({"hop": 20}, "unknown front end setting 'hop'"),
    ],
)
def test_contradictions_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        FrontEnd.from_json(settings)
    assert "\n" not in str(caught.value)
