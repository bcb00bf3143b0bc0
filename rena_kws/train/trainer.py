"""Weights into a `BuiltModel`: one compiled step over arrays in memory, and the best epoch's weights kept.

epoch: shuffle → augment (numpy, some thousand clips at a time) → steps (AdamW, cosine) → validate the weights' average
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel
from rena_kws.errors import CandidateError, DatasetError
from rena_kws.train.augmentation import Statistics, augment, mix
from rena_kws.train.settings import TrainSettings

if TYPE_CHECKING:
    from rena_kws.datasets.features import Features

Array = NDArray[np.float32]

AT_ONCE = 8192
"""Clips that are augmented together: enough for numpy to be quick, and a few dozen megabytes however many there are."""


@dataclass(frozen=True)
class Epoch:
    """One line of a training's history."""

    loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """`accuracy` is the float model's best on the validation clips; its weights then are in the model. `early_accuracy`
    is that after `reject_after` of the schedule, None where training was too short to tell."""

    history: tuple[Epoch, ...]
    accuracy: float
    seconds: float
    rejected: bool
    early_accuracy: float | None


def train(
    built: BuiltModel,
    training: Features,
    validation: Features,
    settings: TrainSettings,
    should_stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train `built.keras_model` in place, from the weights it has.

    The same weights, data and settings give the same result on the same number of threads, unless `max_seconds` or
    `should_stop` (asked after every epoch) ends it early. Raises `DatasetError` for features that do not suit the
    network and `CandidateError` where the loss stops being a number.
    """
    _check(built, training, "training")
    _check(built, validation, "validation")
    model = built.keras_model
    clock = _Clock(settings)
    rng = np.random.default_rng(settings.seed)
    stepper = _Stepper(model, settings)
    statistics = Statistics.of(training.x)
    targets = _smooth_targets(training.y, built.architecture.classes, settings.label_smoothing)

    history: list[Epoch] = []
    best = _Best(model, stepper, validation)
    early: float | None = None
    rejected = False
    for epoch in range(math.ceil(settings.epochs)):
        part = min(1.0, settings.epochs - epoch)
        losses: list[Any] = []
        for position, x, y in _batches(training.x, targets, part, settings, statistics, rng):
            progress = clock.progress(epoch + position)
            if losses and progress >= 1:  # Time is up, and an epoch of a large network may take a minute
                break
            if losses and early is None and progress >= settings.reject_after:
                early = best.look()
                if rejected := early < settings.reject_below:
                    break
            losses.append(stepper.step(x, y, progress))
        loss = float(np.mean([float(value) for value in losses]))
        if not math.isfinite(loss):
            raise CandidateError(f"training must keep a finite loss; it was {loss} in epoch {epoch + 1}")
        accuracy = early if rejected and early is not None else best.look()
        history.append(Epoch(loss, accuracy, stepper.learning_rate, clock.seconds))
        if rejected or clock.progress(epoch + 1) >= 1 or (should_stop is not None and should_stop()):
            break
    model.set_weights(best.weights)
    return TrainResult(tuple(history), best.accuracy, clock.seconds, rejected, early)


class _Best:
    """The averaged weights that did best on the validation clips so far."""

    def __init__(self, model: keras.Model, stepper: _Stepper, validation: Features) -> None:
        self.accuracy = -1.0
        self.weights: list[Array] = model.get_weights()
        self._model, self._stepper, self._validation = model, stepper, validation

    def look(self) -> float:
        """The accuracy of the weights as they are now."""
        with self._stepper.averaged():
            found = predict(self._model, self._validation.x).argmax(axis=1)
            accuracy = float(np.mean(found == self._validation.y))
            if accuracy >= self.accuracy:  # Of equals the later one: it has seen more and is averaged longer
                self.accuracy, self.weights = accuracy, self._model.get_weights()
        return accuracy


def predict(model: Any, x: Array, batch_size: int = 250) -> Array:
    """Class probabilities (clips, classes). Eager: `Model.predict` compiles, and so costs more than it saves here."""
    starts = range(0, len(x), batch_size)
    return np.concatenate([model(x[start : start + batch_size], training=False).numpy() for start in starts])


class _Clock:
    """How far the schedule is, 0 … 1, by epochs or by seconds, whichever is further."""

    def __init__(self, settings: TrainSettings) -> None:
        self._settings = settings
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def progress(self, epochs_done: float) -> float:
        limit = self._settings.max_seconds
        return min(1.0, max(epochs_done / self._settings.epochs, self.seconds / limit if limit else 0.0))


class _Stepper:
    """One optimiser step on a batch, compiled once; keeps an average of all weights over the steps so far, in which the
    last tenth of them counts for six tenths (Shamir and Zhang, arXiv 1212.1824, section 4; recalled): weights that many
    steps agree on suit other voices better than the last ones."""

    def __init__(self, model: keras.Model, settings: TrainSettings) -> None:
        self._settings = settings
        self._model = model
        self._optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(model.trainable_variables)
        self._average = [tf.Variable(weight.value) for weight in model.weights]
        self._steps = tf.Variable(0.0)
        # XLA compiles for longer than a candidate trains, and is slower on a CPU.
        self._compiled = tf.function(self._step, jit_compile=False, autograph=False, reduce_retracing=True)

    @property
    def learning_rate(self) -> float:
        return float(self._optimizer.learning_rate)

    def step(self, x: Array, y: Array, progress: float) -> Any:
        """Train on a batch and return its loss as a scalar tensor."""
        self._optimizer.learning_rate.assign(_learning_rate(self._settings, progress))
        return self._compiled(tf.constant(x), tf.constant(y))

    def averaged(self) -> _Averaged:
        """A context in which the model has the averaged weights."""
        return _Averaged(self._model, self._average)

    def _step(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(y, self._model(x, training=True)))
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        self._steps.assign_add(1.0)
        decay = self._steps / (self._steps + 9.0)
        for average, weight in zip(self._average, self._model.weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight.value)
        return loss


class _Averaged:
    """Swaps a model's weights for others while it is entered."""

    def __init__(self, model: keras.Model, values: list[tf.Variable]) -> None:
        self._model = model
        self._values = values
        self._kept: list[Array] = []

    def __enter__(self) -> None:
        self._kept = self._model.get_weights()
        self._model.set_weights([value.numpy() for value in self._values])

    def __exit__(self, *_: object) -> None:
        self._model.set_weights(self._kept)


def _learning_rate(settings: TrainSettings, progress: float) -> float:
    """Linear warm-up, then half a cosine to zero. `progress` 0 … 1."""
    warmup = settings.warmup_fraction
    if progress < warmup:
        # The first step is at 0 otherwise.
        return settings.learning_rate * max(progress / warmup, 0.01)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def _smooth_targets(y: NDArray[np.int32], classes: int, smoothing: float) -> Array:
    """Labels as distributions (clips, classes) that leave `smoothing` to be shared by all classes."""
    one_hot = np.eye(classes, dtype=np.float32)[y]
    return one_hot * np.float32(1 - smoothing) + np.float32(smoothing / classes)


def _batches(
    x: Array, y: Array, part: float, settings: TrainSettings, statistics: Statistics, rng: np.random.Generator
) -> Iterator[tuple[float, Array, Array]]:
    """(how much of an epoch is done, clips, targets) of each batch of a random `part` of the clips, augmented.

    A last batch that is not full waits for another epoch, and the least part is a batch: batch normalisation learns
    nothing good from a few clips.
    """
    size = min(settings.batch_size, len(x))
    order = rng.permutation(len(x))[: max(size, round(part * len(x)))]
    order = order[: len(order) // size * size]
    block = max(1, AT_ONCE // size) * size
    for start in range(0, len(order), block):
        chosen = order[start : start + block]
        varied, targets = mix(
            augment(x[chosen], statistics, settings.augmentation, rng), y[chosen], settings.augmentation.mixup, rng
        )
        for at in range(0, len(chosen), size):
            yield (start + at) / len(x), varied[at : at + size], targets[at : at + size]


def _check(built: BuiltModel, features: Features, what: str) -> None:
    shape, classes = tuple(built.architecture.input_shape), built.architecture.classes
    if len(features.x) == 0:
        raise DatasetError(f"{what} needs at least one clip; got none")
    if features.x.shape[1:] != shape:
        raise DatasetError(f"{what} features must have the network's input shape {shape}; got {features.x.shape[1:]}")
    if features.y.min() < 0 or features.y.max() >= classes:
        found = f"{features.y.min()} … {features.y.max()}"
        raise DatasetError(f"{what} labels must lie in 0 … {classes - 1}; got {found}")
