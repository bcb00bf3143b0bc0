"""One candidate's whole flow: specification → Keras → int8 model → measured on the device → trained → scored.

Measure first, train second: what a network costs hardly depends on its weights, so the untrained int8 model is
profiled, and a candidate that breaks a hard limit is never trained.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel, Evaluation, Measurement, Trained
from rena_kws.datasets.base import Progress, open_dataset
from rena_kws.datasets.features import Features, load_features
from rena_kws.datasets.mixed import ValidationAsTraining
from rena_kws.devices import catalogue
from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError, DoesNotFitError, ModelError
from rena_kws.frontend.settings import UNSEEN_VOICES, FrontEnd
from rena_kws.profilers.base import profiler_for
from rena_kws.reward import STREAM_RESOURCES, Limit, over_limits, reward
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.train.settings import TrainSettings

CALIBRATION_CLIPS = 200
MAX_EPOCHS = 60
"""However few clips there are: more passes over the same ones teach little and take their time."""
ONNX_TOLERANCE = 1e-3
"""Of a class probability: the float32 kernels of two libraries add in different orders."""


@dataclass(frozen=True)
class Task:
    """What every candidate of a run is evaluated against. Small and picklable: a worker loads the data itself."""

    device: str
    dataset: str
    dataset_options: Mapping[str, object] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    soft: bool = False
    front_end: FrontEnd = UNSEEN_VOICES
    training: TrainSettings = field(default_factory=TrainSettings)
    train_clips: int = 30_000
    variants: int = 5
    seed: int = 0
    threads: int = 1
    cache_dir: Path | None = None
    bar: float = 0.0
    """The reward that a network must have earned a part of the way through its training to go on with it."""
    refit: bool = False
    """Whether to train on the validation split too."""

    def features(self, split: str, progress: Progress | None = None) -> Features:
        """The features of a split; the training split with its augmented variants."""
        variants = self.variants if split == "train" else 0
        dataset = open_dataset(self.dataset, dict(self.dataset_options))
        found = load_features(dataset, self.front_end, split, self.cache_dir, variants, self.seed, progress)
        if split == "train" and self.refit:
            more = ValidationAsTraining(dataset)
            found = found.and_also(load_features(more, self.front_end, split, self.cache_dir, variants, self.seed))
        return found


@dataclass(frozen=True)
class Outcome:
    """An evaluation with what stands behind it, as far as it came: the int8 model, its profile on the search's device.

    `trained` is what further networks can inherit. A finalist has its ONNX twin too, and `agreement` of both with Keras
    on the validation clips, by format.
    """

    evaluation: Evaluation
    model: ConvertedModel | None = None
    measurement: Measurement | None = None
    onnx: ConvertedModel | None = None
    agreement: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    trained: Trained | None = None


def evaluate(architecture: Architecture, task: Task, final: bool = False, parent: Trained | None = None) -> Outcome:
    """Evaluate one candidate. A candidate that does not work out is a result, never an exception.

    It begins with the weights of `parent` where there is one, and with fresh ones otherwise.

    With `final` the trained model is profiled again and its limits are checked on that profile: some of what a network
    costs does depend on its weights.
    """
    clock = _Stopwatch()
    resources: dict[str, float] = {}
    try:
        return _evaluate(architecture, task, final, parent, clock, resources)
    except DoesNotFitError as error:
        return Outcome(Evaluation("over_limit", 0.0, None, resources, str(error), clock.seconds))
    except CandidateError as error:
        return Outcome(Evaluation("failed", 0.0, None, resources, str(error), clock.seconds))


def _evaluate(
    architecture: Architecture,
    task: Task,
    final: bool,
    parent: Trained | None,
    clock: _Stopwatch,
    resources: dict[str, float],
) -> Outcome:
    """The flow itself. `resources` is filled on the way, so that a failure later can still tell them."""
    _load_tensorflow()
    import keras

    from rena_kws.convert.evaluate_int8 import accuracy
    from rena_kws.convert.tflite import Int8TfliteConverter
    from rena_kws.model.inherit import inherit
    from rena_kws.model.keras_model import build, settle
    from rena_kws.train.trainer import train

    training, validation = _worker_data(_DataKey(task))
    calibration = _calibration(training)
    keras.utils.set_random_seed(task.seed)
    with clock("convert"):
        built = build(architecture)
        settle(built, calibration)
        converter = Int8TfliteConverter()
        model = converter.convert(built, calibration)
    with clock("profile"):
        measurement, costs = measure(architecture, model, task)
    resources.update(costs)
    if refused := _refusal(task, resources):
        return Outcome(Evaluation("over_limit", 0.0, None, resources, refused, clock.seconds), model, measurement)
    with clock("train"):
        if parent:
            inherit(built, parent, calibration)
        epochs = min(MAX_EPOCHS, task.train_clips / len(training.x))
        scale = reward(1.0, resources, task.limits)
        settings = replace(task.training, epochs=epochs, reject_below=task.bar / max(scale, 1e-9))
        result = train(built, training, validation, settings)
    early = None if result.early_accuracy is None else scale * result.early_accuracy
    if result.rejected:
        reason = f"stopped part of the way: {early:.3f}, the better half of the networks had {task.bar:.3f} there"
        evaluation = Evaluation("stopped", early or 0.0, None, resources, reason, clock.seconds, early)
        return Outcome(evaluation, model, measurement, trained=Trained.of(built))
    with clock("convert"):
        model = converter.convert(built, calibration)
    with clock("score"):
        score, _ = accuracy(model, validation)
    onnx: ConvertedModel | None = None
    agreement: Mapping[str, Mapping[str, float]] = {}
    if final:
        with clock("profile"):
            measurement, costs = measure(architecture, model, task)
        resources.update(costs)
        if refused := _refusal(task, resources):
            return Outcome(Evaluation("over_limit", 0.0, score, resources, refused, clock.seconds), model, measurement)
        with clock("convert"):
            onnx, agreement = _to_onnx(built, model, calibration, validation)
    value = reward(score, resources, task.limits)
    evaluation = Evaluation("ok", value, score, resources, "", clock.seconds, early)
    return Outcome(evaluation, model, measurement, onnx, agreement, Trained.of(built))


def _to_onnx(
    built: BuiltModel, model: ConvertedModel, calibration: NDArray[np.float32], validation: Features
) -> tuple[ConvertedModel, Mapping[str, Mapping[str, float]]]:
    """The ONNX twin, and how far both files agree with Keras on all validation clips."""
    from rena_kws.convert.agreement import check
    from rena_kws.convert.onnx import OnnxConverter

    onnx = OnnxConverter().convert(built, calibration)
    agreement: dict[str, dict[str, float]] = {
        file.format: vars(check(built, file, validation.x)) for file in (model, onnx)
    }
    if (difference := agreement["onnx"]["max_difference"]) > ONNX_TOLERANCE:
        raise CandidateError(
            f"the ONNX model differs from Keras by {difference:g}; at most {ONNX_TOLERANCE:g} is rounding"
        )
    return onnx, agreement


def measure(architecture: Architecture, model: ConvertedModel, task: Task) -> tuple[Measurement, dict[str, float]]:
    """Profile on the search's device and on every device that a limit names → (the former's measurement, resources).

    Resources of another device carry its name: `cpu:latency_ms`. Raises `CandidateError` for a network that a device
    cannot run.
    """
    price = cost(architecture)
    resources: dict[str, float] = {"params": price.params, "macs": price.macs, "intensity": price.intensity}
    device = catalogue.get(task.device)
    measurement = _profile(model, device)
    resources |= _device_resources(measurement) | _stream_resources(model, task, None)
    for name in {limit.device for limit in task.limits if limit.device}:
        other = catalogue.get(name)
        costs = _device_resources(_profile(model, other)) | _stream_resources(model, task, name)
        resources |= {f"{name}:{key}": value for key, value in costs.items()}
    return measurement, resources


def _stream_resources(model: ConvertedModel, task: Task, device: str | None) -> dict[str, float]:
    """On a device of the limits, None for the search's; empty where no limit asks, for a stream takes its time."""
    if not any(limit.name in STREAM_RESOURCES and limit.device == device for limit in task.limits):
        return {}
    from rena_kws.streaming.resources import stream_resources

    labels = open_dataset(task.dataset, dict(task.dataset_options)).labels
    return stream_resources(model, task.front_end, labels, catalogue.get(device or task.device))


def _profile(model: ConvertedModel, device: Device) -> Measurement:
    """A model that a search made and a device refuses is that candidate's failure, not a user's wrong file."""
    try:
        return profiler_for(device).profile(model, device, None)
    except ModelError as error:
        raise CandidateError(str(error)) from error


def measure_untrained(architecture: Architecture, task: Task) -> Outcome:
    """Only the first half of `evaluate`: what a network costs, whatever its weights."""
    _load_tensorflow()
    from rena_kws.convert.tflite import Int8TfliteConverter
    from rena_kws.model.keras_model import build, settle

    training, _ = _worker_data(_DataKey(task))
    calibration = _calibration(training)
    built = build(architecture)
    settle(built, calibration)
    model = Int8TfliteConverter().convert(built, calibration)
    measurement, resources = measure(architecture, model, task)
    return Outcome(Evaluation("ok", 0.0, None, resources), model, measurement)


def _load_tensorflow() -> None:
    """TensorFlow greets on stderr before it can be told not to, in every worker anew."""
    from rena_kws.convert.base import silenced

    with silenced():
        import tensorflow  # noqa: F401


def _device_resources(measurement: Measurement) -> dict[str, float]:
    names = ("latency_ms", "ram_bytes", "flash_bytes", "energy_uj")
    return {name: float(value) for name in names if (value := getattr(measurement, name)) is not None}


def _refusal(task: Task, resources: Mapping[str, float]) -> str:
    """Why a hard-limited search does not take the candidate; empty where it does."""
    broken = [] if task.soft else over_limits(task.limits, resources)
    return ", ".join(f"{limit} (is {resources[limit.resource]:g})" for limit in broken)


def _calibration(training: Features) -> NDArray[np.float32]:
    """Clips spread over the whole training split: its order may be by label or speaker."""
    step = max(1, len(training.x) // CALIBRATION_CLIPS)
    return training.x[::step][:CALIBRATION_CLIPS]


class _DataKey:
    """A task, compared by what decides its data alone, so that a worker loads them once a run."""

    def __init__(self, task: Task) -> None:
        self.task = task
        stripped = replace(task, limits=(), training=TrainSettings(), train_clips=0, soft=False, bar=0.0)
        self._identity = repr(stripped)

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _DataKey) and self._identity == other._identity


@functools.lru_cache(maxsize=1)
def _worker_data(key: _DataKey) -> tuple[Features, Features]:
    """Training and validation features, kept for the life of a worker. The test split is never touched here."""
    import tensorflow as tf

    threads = key.task.threads
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        pass  # TensorFlow already runs in this process: a notebook's, whose threads are its owner's choice
    return key.task.features("train"), key.task.features("validation")


class _Stopwatch:
    """Adds up the seconds spent in each named stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)
