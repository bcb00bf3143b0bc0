"""The trainer: it learns, repeats itself, keeps the best weights, stops when it should."""

from __future__ import annotations

import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

keras = pytest.importorskip("keras")

from rena_kws.artifacts import BuiltModel  # noqa: E402
from rena_kws.datasets.features import Features  # noqa: E402
from rena_kws.errors import CandidateError, DatasetError  # noqa: E402
from rena_kws.model.keras_model import build  # noqa: E402
from rena_kws.spec.architecture import Architecture, Layer  # noqa: E402
from rena_kws.train import trainer  # noqa: E402
from rena_kws.train.augmentation import Statistics  # noqa: E402
from rena_kws.train.settings import Augmentation, TrainSettings  # noqa: E402
from rena_kws.train.trainer import _batches, _learning_rate, _smooth_targets, predict, train  # noqa: E402

ARCHITECTURE = Architecture(
    3,
    (
        Layer("conv2d", (0,), kernel_h=5, kernel_w=3, stride=(2, 2), channels=8),
        Layer("ds_conv2d", (1,), kernel_h=3, kernel_w=3, channels=8),
    ),
    (20, 6, 1),
)
SETTINGS = TrainSettings(epochs=8, batch_size=16)


def features(count: int, seed: int) -> Features:
    """Three classes: a ridge that stays, rises or falls, somewhere in noise, on the scale of cepstra."""
    rng = np.random.default_rng(seed)
    y = (np.arange(count) % 3).astype(np.int32)
    frames = np.arange(20)
    ridge = rng.uniform(2, 3, (count, 1)) + np.array([0, 0.15, -0.15])[y, None] * (frames - 10)
    distance = np.arange(6)[None, None, :] - ridge[:, :, None]
    x = 8 * np.exp(-(distance**2)) + rng.standard_normal((count, 20, 6))
    return Features(x[..., None].astype(np.float32), y, ("somebody",) * count, ("stays", "rises", "falls"))


TRAINING, VALIDATION = features(240, 0), features(90, 1)


def fresh(seed: int = 0) -> BuiltModel:
    keras.utils.set_random_seed(seed)
    return build(ARCHITECTURE)


def test_it_learns_and_keeps_the_weights_of_its_best_epoch() -> None:
    built = fresh()
    result = train(built, TRAINING, VALIDATION, SETTINGS)
    assert result.accuracy > 0.85  # chance is a third
    assert result.accuracy == max(epoch.validation_accuracy for epoch in result.history)
    assert np.mean(predict(built.keras_model, VALIDATION.x).argmax(axis=1) == VALIDATION.y) == result.accuracy
    assert result.history[-1].loss < result.history[0].loss
    assert len(result.history) == SETTINGS.epochs and not result.rejected


def test_a_seed_repeats_a_run_and_another_does_not() -> None:
    weights = []
    for seed in (5, 5, 6):
        built = fresh()
        train(built, TRAINING, VALIDATION, replace(SETTINGS, epochs=2, seed=seed))
        weights.append(np.concatenate([weight.ravel() for weight in built.keras_model.get_weights()]))
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_predict_is_keras_predict() -> None:
    model = fresh().keras_model
    np.testing.assert_allclose(
        predict(model, VALIDATION.x, batch_size=7), model.predict(VALIDATION.x, verbose=0), atol=1e-6
    )


def test_a_poor_candidate_is_rejected_early() -> None:
    result = train(fresh(), TRAINING, VALIDATION, replace(SETTINGS, reject_after=0.25, reject_below=1.01))
    assert result.rejected and result.early_accuracy == result.accuracy
    assert len(result.history) == 3  # of 8: stopped as the third began


def test_a_rung_within_the_first_epoch_changes_nothing_for_those_that_pass() -> None:
    results = [
        train(fresh(), TRAINING, VALIDATION, replace(SETTINGS, epochs=1, reject_after=after)) for after in (0.3, 2.0)
    ]
    assert results[0].early_accuracy is not None and results[1].early_accuracy is None
    assert [epoch.loss for epoch in results[0].history] == [epoch.loss for epoch in results[1].history]
    poor = train(fresh(), TRAINING, VALIDATION, replace(SETTINGS, epochs=1, reject_after=0.3, reject_below=1.01))
    assert poor.rejected and poor.history[0].learning_rate > results[0].history[0].learning_rate


def test_time_shortens_the_schedule() -> None:
    result = train(fresh(), TRAINING, VALIDATION, replace(SETTINGS, epochs=10_000, max_seconds=1e-3))
    assert len(result.history) == 1
    assert result.history[0].learning_rate == pytest.approx(0, abs=1e-9)


def test_it_stops_when_asked() -> None:
    asked = iter([False, True])
    result = train(fresh(), TRAINING, VALIDATION, SETTINGS, should_stop=lambda: next(asked))
    assert len(result.history) == 2 and not result.rejected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": TRAINING.x[:0], "y": TRAINING.y[:0]}, "at least one clip"),
        ({"x": TRAINING.x[:, :10]}, "input shape"),
        ({"y": TRAINING.y + 1}, "must lie in 0 … 2"),
    ],
)
def test_features_that_do_not_suit_the_network(change: dict[str, object], message: str) -> None:
    bad = replace(TRAINING, **change)
    for pair in ((bad, VALIDATION), (TRAINING, bad)):
        with pytest.raises(DatasetError, match=message) as caught:
            train(fresh(), *pair, SETTINGS)
        assert "\n" not in str(caught.value)


def test_a_loss_that_is_no_number_fails_the_candidate() -> None:
    broken = replace(TRAINING, x=np.full_like(TRAINING.x, np.nan))
    with pytest.raises(CandidateError, match="finite loss"):
        train(fresh(), broken, VALIDATION, SETTINGS)


def test_the_learning_rate_is_keras_cosine_decay() -> None:
    settings = TrainSettings(learning_rate=0.01, warmup_fraction=0.1)
    reference = keras.optimizers.schedules.CosineDecay(0.0, 900, warmup_target=0.01, warmup_steps=100)
    for step in (20, 100, 101, 300, 999, 1000):  # The first steps differ: ours does not start at 0
        assert _learning_rate(settings, step / 1000) == pytest.approx(float(reference(step)), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing_is_keras_label_smoothing(smoothing: float) -> None:
    y = np.array([0, 2, 1], np.int32)
    guess = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]], np.float32)
    expected = keras.losses.categorical_crossentropy(np.eye(3, dtype=np.float32)[y], guess, label_smoothing=smoothing)
    found = keras.losses.categorical_crossentropy(_smooth_targets(y, 3, smoothing), guess)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)


UNCHANGED = Augmentation(
    time_shift_frames=0, time_stretch=0, time_masks=0, frequency_masks=0, noise=0, channel=0, mixup=0
)


@given(
    clips=st.integers(1, 300),
    size=st.integers(1, 100),
    part=st.floats(0.001, 1),
    at_once=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_batches_are_full_and_hold_no_clip_twice(clips: int, size: int, part: float, at_once: int, seed: int) -> None:
    x = np.arange(clips, dtype=np.float32).reshape(-1, 1, 1, 1)
    settings = TrainSettings(batch_size=size, augmentation=UNCHANGED)
    with mock.patch.object(trainer, "AT_ONCE", at_once):
        rng = np.random.default_rng(seed)
        batches = list(_batches(x, 2 * x[:, :, 0, 0], part, settings, Statistics.of(x), rng))
    shown = np.concatenate([batch.ravel() for _, batch, _ in batches])
    np.testing.assert_array_equal(np.concatenate([targets.ravel() for _, _, targets in batches]), 2 * shown)
    wanted = max(min(size, clips), round(part * clips))
    assert len(set(shown.tolist())) == len(shown) and set(shown) <= set(range(clips))
    assert {len(batch) for _, batch, _ in batches} == {min(size, clips)}
    assert 0 <= wanted - len(shown) < min(size, clips)
    positions = [position for position, _, _ in batches]
    assert positions == sorted(positions) and positions[0] == 0 and positions[-1] < max(part, 1.5 / clips)


@pytest.mark.parametrize(("epochs", "steps"), [(0.25, 15), (1.0, 60), (2.5, 150)])
def test_epochs_may_be_parts(epochs: float, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 240 clips in batches of 4: of large datasets a candidate sees a part, and its schedule ends there."""
    seen = spied_steps(monkeypatch)
    result = train(fresh(), TRAINING, VALIDATION, replace(SETTINGS, epochs=epochs, batch_size=4))
    assert len(seen) == steps and seen == sorted(seen) and seen[-1] < 1
    assert len(result.history) == math.ceil(epochs)
    assert result.history[-1].learning_rate < 0.2 * SETTINGS.learning_rate


def spied_steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How far the schedule is at each step."""
    steps: list[float] = []
    step = trainer._Stepper.step
    monkeypatch.setattr(
        trainer._Stepper, "step", lambda self, x, y, progress: (steps.append(progress), step(self, x, y, progress))[1]
    )
    return steps


def test_time_that_is_up_ends_an_epoch_in_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one step, and not after all of an epoch: a large network's epoch takes a minute."""
    steps = spied_steps(monkeypatch)
    train(fresh(), TRAINING, VALIDATION, replace(SETTINGS, epochs=10_000, batch_size=2, max_seconds=1e-6))
    assert len(steps) == 1


def test_the_averaged_weights_are_those_of_all_steps_the_last_tenth_for_six_tenths() -> None:
    """Against the closed form of the average, whose weight of step s of n is (s + 1) … (s + 8) over that for all."""
    built = fresh()
    stepper = trainer._Stepper(built.keras_model, SETTINGS)
    seen = []
    for step in range(60):
        chosen = slice(step % 15 * 16, step % 15 * 16 + 16)
        stepper.step(TRAINING.x[chosen], np.eye(3, dtype=np.float32)[TRAINING.y[chosen]], step / 60)
        seen.append(built.keras_model.get_weights())
    share = np.array([math.prod(range(step + 1, step + 9)) for step in range(1, 61)], float)
    begun = math.factorial(9) / math.prod(range(61, 70))  # of the weights before the first step
    share *= (1 - begun) / share.sum()
    with stepper.averaged():
        averaged = built.keras_model.get_weights()
    start = fresh().keras_model.get_weights()
    for number, found in enumerate(averaged):
        steps = np.stack([weights[number] for weights in seen])
        wanted = begun * start[number] + np.tensordot(share, steps, 1)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
    assert 0.55 < share[-6:].sum() < 0.65
