"""Features against two independent references: tf.signal, which MLPerf Tiny uses, and librosa set up the same way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rena_kws.datasets import audio
from rena_kws.errors import DatasetError
from rena_kws.frontend.features import compute, mel_weights
from rena_kws.frontend.settings import FrontEnd

MFCC = FrontEnd()
LOG_MEL = FrontEnd(kind="log_mel")


@pytest.fixture(scope="module")
def speech(reference: Callable[..., Path]) -> NDArray[np.float32]:
    """Forty spoken digits."""
    paths = sorted(reference("datasets", "fsdd").glob("*_1?.wav"))[:40]
    assert len(paths) == 40
    return np.stack([audio.fit(audio.read(path)) for path in paths])


@pytest.fixture(scope="module")
def sounds() -> NDArray[np.float32]:
    """Tones and noises that need no recordings. A little noise keeps the bands beside a tone above rounding errors."""
    rng = np.random.default_rng(1)
    time_s = np.arange(16_000) / 16_000
    tones = [np.sin(2 * np.pi * hz * time_s) + rng.normal(0, 1e-3, 16_000) for hz in (60, 440, 3_900)]
    noises = [rng.normal(size=16_000) * loudness for loudness in (1e-4, 0.1, 0.3)]
    return np.stack([*tones, *noises]).astype(np.float32)


def tensorflow_features(clips: NDArray[np.float32], kind: str) -> NDArray[Any]:
    """MLPerf Tiny's recipe with tf.signal."""
    tf = pytest.importorskip("tensorflow")
    scaled = clips / tf.reduce_max(clips, axis=1, keepdims=True)
    spectrum = tf.abs(tf.signal.stft(scaled, 480, 320, fft_length=None, window_fn=tf.signal.hann_window))
    weights = tf.signal.linear_to_mel_weight_matrix(40, spectrum.shape[-1], 16_000, 20.0, 4_000.0)
    log_mel = tf.math.log(tf.tensordot(spectrum, weights, 1) + 1e-6)
    chosen = log_mel if kind == "log_mel" else tf.signal.mfccs_from_log_mel_spectrograms(log_mel)[..., :10]
    return np.asarray(chosen)[..., None]


def librosa_spectrum(clip: NDArray[np.float32]) -> NDArray[Any]:
    """|STFT|. librosa puts the window of 480 in the middle of 512 samples: 16 zeros before line the frames up."""
    librosa = pytest.importorskip("librosa")
    padded = np.pad(clip / clip.max(), 16)
    spectrum = librosa.stft(padded, n_fft=512, hop_length=320, win_length=480, window="hann", center=False)
    return np.abs(spectrum).T


@pytest.mark.parametrize("settings", [MFCC, LOG_MEL])
def test_equal_to_tf_signal_on_sounds(settings: FrontEnd, sounds: NDArray[np.float32]) -> None:
    expected = tensorflow_features(sounds, settings.kind)
    assert expected.shape == (len(sounds), *settings.shape)
    np.testing.assert_allclose(compute(settings, sounds), expected, atol=1e-3)


@pytest.mark.parametrize("settings", [MFCC, LOG_MEL])
def test_equal_to_tf_signal_on_speech(settings: FrontEnd, speech: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(compute(settings, speech), tensorflow_features(speech, settings.kind), atol=2e-3)


# Where librosa is used for the first time numba compiles for it, some 20 s.
@pytest.mark.slow
def test_equal_to_librosa_with_our_filters(speech: NDArray[np.float32]) -> None:
    """librosa's spectrum and scipy's DCT (orthonormal, but for its first coefficient's 1/√2) around our mel filters."""
    fft = pytest.importorskip("scipy.fft")
    for clip, ours in zip(speech[:10], compute(MFCC, speech[:10]), strict=True):
        log_mel = np.log(librosa_spectrum(clip) @ mel_weights(MFCC) + FrontEnd().log_floor)
        expected = fft.dct(log_mel, type=2, norm="ortho", axis=1)[:, :10]
        expected[:, 0] *= np.sqrt(2)
        np.testing.assert_allclose(ours[:, :, 0], expected, atol=2e-3)


@pytest.mark.slow
def test_mel_filters_stand_where_librosas_do() -> None:
    """Same HTK edges; librosa's flanks are straight in Hz, ours (and TensorFlow's) in mel: they bow apart."""
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40, fmin=20, fmax=4_000, htk=True, norm=None).T
    ours = mel_weights(MFCC)
    assert ours.shape == theirs.shape == (257, 40)
    assert np.array_equal(ours[1:] > 1e-4, theirs[1:] > 1e-4)
    assert np.abs(ours - theirs).max() < 0.03


@pytest.mark.slow
def test_librosas_own_mfcc_tells_the_same_story(speech: NDArray[np.float32]) -> None:
    """All of librosa, set up like MLPerf Tiny: not one of our tables is used."""
    librosa = pytest.importorskip("librosa")
    mel = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40, fmin=20, fmax=4_000, htk=True, norm=None).T
    for clip, ours in zip(speech[:10], compute(MFCC, speech[:10]), strict=True):
        log_mel = np.log(librosa_spectrum(clip) @ mel + FrontEnd().log_floor)
        theirs = librosa.feature.mfcc(S=log_mel.T, n_mfcc=10, dct_type=2, norm="ortho").T
        for coefficient in range(10):
            assert np.corrcoef(theirs[:, coefficient], ours[:, coefficient, 0])[0, 1] > 0.999


def test_loudness_does_not_matter(sounds: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(compute(MFCC, sounds[4:] * 0.01), compute(MFCC, sounds[4:]), atol=1e-3)


@pytest.mark.parametrize("level", [0.0, -0.5])
def test_clips_without_a_positive_sample_stay_finite(level: float) -> None:
    features = compute(LOG_MEL, np.full((1, 16_000), level, np.float32))
    assert np.isfinite(features).all()
    if level == 0:
        np.testing.assert_allclose(features, np.log(FrontEnd().log_floor), rtol=1e-6)


def test_a_batch_is_its_clips_one_by_one(sounds: NDArray[np.float32]) -> None:
    many = np.concatenate([sounds] * 7)  # More than are computed at a time.
    np.testing.assert_allclose(
        compute(MFCC, many), np.concatenate([compute(MFCC, clip[None]) for clip in many]), atol=1e-4
    )
    assert compute(MFCC, many[:0]).shape == (0, 49, 10, 1)


def test_other_settings_have_the_shape_they_promise() -> None:
    settings = FrontEnd(window_ms=25, hop_ms=10, mel_bands=32, coefficients=13, clip_ms=600, high_hz=7_600)
    clips = np.random.default_rng(0).normal(size=(2, settings.clip_samples)).astype(np.float32)
    assert compute(settings, clips).shape == (2, 58, 13, 1)


def test_audio_of_another_length_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"\(clips, 16000\), not \(2, 15999\)"):
        compute(MFCC, np.zeros((2, 15_999), np.float32))
