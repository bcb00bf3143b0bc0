"""The micro frontend against TensorFlow's operator of that name with ESPHome's settings, and its place elsewhere."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flatbuffer_models import small_conv_model
from numpy.typing import NDArray

from rena_kws import api
from rena_kws.datasets import audio
from rena_kws.errors import DatasetError, ModelError, UnavailableError
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit import generate
from rena_kws.firmware.emit_features import features_sources
from rena_kws.frontend.features import compute
from rena_kws.frontend.settings import MICRO_FRONTEND, FrontEnd
from rena_kws.streaming.bundle import stream_bundle


def tensorflow_frames(samples: NDArray[np.int16]) -> NDArray[Any]:
    """ESPHome's preprocessor_settings.h, written out for TensorFlow."""
    import tensorflow as tf
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

    frames = audio_microfrontend_op.audio_microfrontend(
        tf.constant(samples), sample_rate=16_000, window_size=30, window_step=10, num_channels=40,
        upper_band_limit=7_500.0, lower_band_limit=125.0, smoothing_bits=10, even_smoothing=0.025,
        odd_smoothing=0.06, min_signal_remaining=0.05, enable_pcan=True, pcan_strength=0.95, pcan_offset=80.0,
        gain_bits=21, enable_log=True, scale_shift=6, out_scale=1,
    )  # fmt: skip
    return np.array(frames)


def test_the_features_are_those_of_tensorflows_operator(reference: Callable[..., Path]) -> None:
    pytest.importorskip("pymicro_features")
    paths = sorted(reference("datasets", "fsdd").glob("*_1?.wav"))[:20]
    clips = np.stack([audio.fit(audio.read(path)) for path in paths])
    found = compute(MICRO_FRONTEND, clips)[..., 0] * 25.6
    expected = np.stack([tensorflow_frames(np.rint(clip * 32767).astype(np.int16)) for clip in clips])
    np.testing.assert_allclose(found, np.round(found), atol=1e-3)
    assert expected.max() > 600
    # Versions of the FFT round apart, which shows where noise reduction leaves next to nothing of a band
    assert np.mean(np.abs(found - expected) <= 1) > 0.99


def test_silence_is_zero_and_each_clip_starts_anew() -> None:
    pytest.importorskip("pymicro_features")
    loud = np.random.default_rng(0).uniform(-2, 2, (1, 16_000)).astype(np.float32)  # beyond full scale: clipped
    clips = np.concatenate([loud, np.zeros_like(loud), loud])
    features = compute(MICRO_FRONTEND, clips)
    assert features.shape == (3, 98, 40, 1) == (3, *MICRO_FRONTEND.shape)
    assert not features[1].any()
    np.testing.assert_array_equal(features[0], features[2])
    with pytest.raises(DatasetError, match="shape"):
        compute(MICRO_FRONTEND, clips[:, :-1])


def test_it_is_missed_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymicro_features", None)
    with pytest.raises(UnavailableError, match=r"pip install 'rena-kws\[esphome\]'"):
        compute(MICRO_FRONTEND, np.zeros((1, 16_000), np.float32))


def test_its_settings_are_fixed() -> None:
    assert FrontEnd.from_json(MICRO_FRONTEND.as_json()) == MICRO_FRONTEND
    assert dataclasses.replace(MICRO_FRONTEND, clip_ms=1_500).shape == (148, 40, 1)
    with pytest.raises(DatasetError, match="hop_ms of the micro_frontend is always 10, not 20"):
        FrontEnd(kind="micro_frontend")


def test_there_is_none_of_it_in_c(tmp_path: Path) -> None:
    """Where a bundle can do without its front end it says so, and where it cannot it is refused."""
    model = small_conv_model()
    short = dataclasses.replace(MICRO_FRONTEND, clip_ms=30)
    with pytest.raises(ModelError, match="none of the front ends in C"):
        features_sources(short, generate(model).inputs[0], "bell")
    (tmp_path / "bell.tflite").write_bytes(model.data)
    labels = ("one", "two", "three", "four", "five")
    manifest = Manifest.of(model, labels, short.as_json(), {}).named("bell.tflite")
    (tmp_path / "manifest.json").write_text(manifest.as_text())
    bundle = api.export(tmp_path / "bell.tflite", "c", tmp_path / "out", "bell")
    assert not list(bundle.glob("*front_end*"))
    assert "none of the front ends in C" in (bundle / "README.md").read_text()
    with pytest.raises(ModelError, match="none of the front ends in C"):
        stream_bundle(model, manifest).on_this_computer()
