"""What the command line does, as one call each: search, profile, export, evaluate, and the same of streams."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rena_kws import model_file, registry
from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices import catalogue
from rena_kws.errors import ModelError, RunFolderError, UnavailableError
from rena_kws.profilers.base import profiler_for

if TYPE_CHECKING:
    from rena_kws.datasets.features import Features
    from rena_kws.devices.description import Device
    from rena_kws.export.manifest import Manifest
    from rena_kws.firmware.toolchain import Optimize
    from rena_kws.frontend.settings import FrontEnd
    from rena_kws.profilers.cortex_m.stream_profile import StreamCost
    from rena_kws.search import SearchResult, Watcher
    from rena_kws.search_settings import SearchSettings
    from rena_kws.streaming.evaluation import StreamReport, StreamSettings

ModelLike = ConvertedModel | str | Path


@dataclass(frozen=True)
class EvaluationReport:
    """Accuracy of a model on a split. `confusion[i][j]`: clips of label i that were taken for label j."""

    accuracy: float
    n: int
    confusion: NDArray[np.int64]
    labels: tuple[str, ...]
    how: str = "measured"

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "confusion": self.confusion.tolist(), "labels": list(self.labels)}


def search(
    settings: SearchSettings,
    run: str | Path | None = None,
    resume: bool = False,
    watch: Watcher = lambda progress: None,
) -> tuple[SearchResult, Path]:
    """Search, then write the winner into the run's folder: model, firmware and report → (result, the folder).

    `run` defaults to a new folder below `runs/`. Raises `RunFolderError`, `LimitError`, `DatasetError`, ….
    """
    from rena_kws.run_folder import RunFolder, new_run_path
    from rena_kws.search import run_search

    path = Path(run) if run else new_run_path()
    folder = RunFolder(path, settings.identity(), resume)
    try:
        result = run_search(settings, folder, watch)
        _write_winner(settings, result, path)
    finally:
        folder.close()
    return result, path


def profile(
    model: ModelLike, device: str, inputs: NDArray[Any] | None = None, optimize: Optimize | None = None
) -> Measurement:
    """Measure a model on a device. `inputs`: a batch in the model's own dtype, first axis the batch; None: zeros.

    `optimize`: what the firmware is compiled for, where the device runs firmware; None leaves it to the profiler. The
    figures are the network's. On a Cortex-M, `parts` also tells of the front end and of listening to a stream, for a
    model whose manifest lies beside it. Raises `ModelError`, `UnknownNameError`, `UnavailableError`, `DoesNotFitError`.
    """
    target = catalogue.get(device)
    profiler = profiler_for(target)
    if optimize is not None:
        profiler = profiler.optimized_for(optimize)
    if reason := profiler.unavailable():
        raise UnavailableError(reason)
    loaded, manifest = _with_manifest(model)
    measurement = profiler.profile(loaded, target, inputs)
    if target.profiler == "cortex_m" and manifest is not None:
        return _with_parts(measurement, loaded, manifest, target, optimize)
    return measurement


def profile_stream(
    model: ModelLike, device: str, sound: NDArray[np.int16] | None = None, optimize: Optimize | None = None
) -> StreamCost:
    """What listening with a model costs on an emulated device: `sound`, or noise, through the exported stream in C.

    The model's front end, labels and decisions come from the manifest beside it. Raises `ModelError`, `CandidateError`,
    `UnknownNameError`, `UnavailableError`.
    """
    from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE
    from rena_kws.profilers.cortex_m.stream_profile import profile_stream as run_stream
    from rena_kws.streaming.bundle import stream_bundle

    target = catalogue.get(device)
    if reason := profiler_for(target).unavailable():
        raise UnavailableError(reason)
    goal = optimize or DEFAULT_OPTIMIZE
    bundle = stream_bundle(*_with_manifest(model), optimize=goal)
    return run_stream(bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, target, sound, goal)


def profile_image(image: str | Path, device: str, **what: Any) -> Measurement:
    """Run a firmware image (.elf, .hex, .bin) on an emulated device; `what` are the fields of `ImageRun`.

    Raises `ModelError`, `UnknownNameError`, `UnavailableError`, `CandidateError` where the image fails.
    """
    from rena_kws.profilers.cortex_m.image_profiler import ImageRun
    from rena_kws.profilers.cortex_m.image_profiler import profile_image as run_image

    target = catalogue.get(device)
    if reason := profiler_for(target).unavailable():
        raise UnavailableError(reason)
    return run_image(Path(image), target, ImageRun(**what))


def export(
    run_or_model: ModelLike,
    format: str,
    out: str | Path,
    name: str = "kws_model",
    optimize: Optimize | None = None,
    harness: bool = False,
    whole: bool = False,
    word: str | None = None,
) -> Path:
    """Write a run's winner, or a model file, as a bundle of `format` into the folder `out` → the folder.

    For formats with firmware: `optimize` is what it is generated for, as in `profile`; `harness` adds what makes a
    board with a UART a device to profile on; `whole` lets a stream run the whole network for each result, even where it
    could compute new rows alone. `word`: the keyword that a bundle for ESPHome wakes at.
    """
    from rena_kws.export.base import FirmwareOptions
    from rena_kws.export.manifest import Manifest
    from rena_kws.store.weights import WEIGHTS_FILE

    exporter = registry.load("exporters", format)
    source = run_or_model
    if (
        format == "onnx"
        and not isinstance(source, ConvertedModel)
        and (Path(source) / "winner" / "model.onnx").is_file()
    ):
        source = Path(source) / "winner" / "model.onnx"
    model, manifest = _with_manifest(source)
    options = FirmwareOptions(optimize, harness, whole, word)
    if (Path(out) / WEIGHTS_FILE).exists():
        raise RunFolderError(f"{out} is a run's winner, and stays as it is; name another folder with --out")
    exporter(model, manifest.of_model(model) if manifest else Manifest.bare(model), Path(out), name, options)
    return Path(out)


def evaluate(
    model: ModelLike,
    dataset: str,
    split: str = "test",
    options: Mapping[str, object] | None = None,
    speakers: Collection[str] | None = None,
) -> EvaluationReport:
    """Accuracy of a model on a split ("train", "validation", "test" or "all") of a dataset, or on some of its speakers.

    The front end comes from the manifest beside the model, the labels too: the dataset's, or these and more, of which
    each answer is wrong. A model without a manifest is taken to have the default front end and the dataset's labels.
    Raises `ModelError`, `DatasetError`.
    """
    from rena_kws.convert.evaluate_int8 import probabilities
    from rena_kws.frontend.settings import FrontEnd

    loaded, manifest = _with_manifest(model)
    front_end = FrontEnd.from_json(manifest.front_end) if manifest else FrontEnd()
    features = _features(dataset, front_end, split, options or {}, speakers)
    labels = manifest.labels if manifest and manifest.labels else features.labels
    if strange := [label for label in features.labels if label not in labels]:
        raise ModelError(f"the model knows {', '.join(labels)}; the dataset has {', '.join(strange)} too")
    outputs = probabilities(loaded, features.x)
    if outputs.shape[1:] != (len(labels),):
        raise ModelError(f"the model tells {outputs[0].size} classes apart, and the dataset has {len(labels)}")
    y = np.array([labels.index(label) for label in features.labels])[features.y]
    predictions = outputs.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (y, predictions), 1)
    return EvaluationReport(float(np.mean(predictions == y)), len(y), confusion, labels)


def evaluate_stream(
    model: ModelLike,
    dataset: str,
    settings: StreamSettings | None = None,
    options: Mapping[str, object] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> StreamReport:
    """Misses and false accepts of a model on long streams, made of the validation and the test split of a dataset.

    `tell` is told what is going on. Raises `ModelError`, `DatasetError`, `UnavailableError`.
    """
    from rena_kws.datasets.base import open_dataset
    from rena_kws.frontend.settings import MICRO_FRONTEND
    from rena_kws.streaming.bundle import stream_bundle
    from rena_kws.streaming.esphome import EsphomeStream
    from rena_kws.streaming.evaluation import Listening, StreamSettings
    from rena_kws.streaming.evaluation import evaluate_stream as run

    network, manifest = _with_manifest(model)
    listening: Listening
    if manifest and manifest.front_end.get("kind") == MICRO_FRONTEND.kind:
        listening = EsphomeStream.of(network, manifest)
    else:
        listening = stream_bundle(network, manifest)
    return run(listening, open_dataset(dataset, options or {}), settings or StreamSettings(), tell)


def _features(
    dataset: str,
    front_end: FrontEnd,
    split: str,
    options: Mapping[str, object],
    speakers: Collection[str] | None,
) -> Features:
    """The features of a split, or of "all" three, restricted to `speakers` where these are given."""
    from rena_kws.datasets.base import SPLITS, open_dataset
    from rena_kws.datasets.features import load_features
    from rena_kws.datasets.splitting import check_known

    opened = open_dataset(dataset, options)
    first, *more = (load_features(opened, front_end, name) for name in (SPLITS if split == "all" else (split,)))
    found = first.and_also(*more)
    if speakers is None:
        return found
    check_known(speakers, set(found.speakers) - {""}, "speakers", f"the {split} split")
    kept = np.isin(found.speakers, list(speakers))
    who = tuple(name for name in found.speakers if name in speakers)
    return replace(found, x=found.x[kept], y=found.y[kept], speakers=who)


def _with_manifest(model: ModelLike) -> tuple[ConvertedModel, Manifest | None]:
    """The model, and what is known of it where it comes from a file with a manifest beside it."""
    from rena_kws.export.manifest import Manifest

    if isinstance(model, ConvertedModel):
        return model, None
    file = model_file.find(Path(model))
    return model_file.load(file), Manifest.beside(file)


def _as_model(model: ModelLike) -> ConvertedModel:
    return model if isinstance(model, ConvertedModel) else model_file.load(model)


def _with_parts(
    measurement: Measurement, model: ConvertedModel, manifest: Manifest, target: Device, optimize: Optimize | None
) -> Measurement:
    """With what the front end and a stream cost, or, in the environment's `listening`, why there is no stream."""
    from rena_kws.errors import CandidateError
    from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE
    from rena_kws.profilers.cortex_m.features_profile import profile_features
    from rena_kws.profilers.cortex_m.stream_profile import profile_stream
    from rena_kws.streaming.bundle import stream_bundle

    parts, goal = dict(measurement.parts), optimize or DEFAULT_OPTIMIZE
    environment = dict(measurement.environment)
    try:
        bundle = stream_bundle(model, manifest, optimize=goal)
        features = profile_features(bundle.front_end, bundle.firmware.inputs[0], target, optimize=goal)
        parts["features"] = features.as_part()
        stream = profile_stream(
            bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, target, optimize=goal
        )
        parts["stream"] = stream.as_part()
    except (ModelError, CandidateError) as error:
        environment["listening"] = f"not possible: {error}"
    return replace(measurement, parts=parts, environment=environment)


def _write_winner(settings: SearchSettings, result: SearchResult, path: Path) -> None:
    from rena_kws.export.base import FirmwareOptions, write_bundle
    from rena_kws.export.manifest import FILE_NAME, Manifest
    from rena_kws.firmware.emit import generate
    from rena_kws.report.html import write_html
    from rena_kws.run_folder import read_settings
    from rena_kws.store.weights import WEIGHTS_FILE, as_npz

    model, measurement = result.outcome.model, result.outcome.measurement
    assert model is not None and measurement is not None
    figures = {
        "accuracy": result.outcome.evaluation.accuracy,
        "test_accuracy": result.test_accuracy,
        "refit": result.refit,
        "agreement_with_keras": dict(result.outcome.agreement),
        "measurement": measurement.as_json(),
        "architecture": result.architecture.as_json(),
        "arena": [vars(block) for block in generate(model).arena],
    }
    manifest = Manifest.of(model, result.labels, settings.front_end.as_json(), figures)
    assert result.outcome.onnx is not None
    named = manifest.named("model.tflite", "model.onnx")
    assert result.outcome.trained is not None
    files: dict[str, str | bytes] = {
        "model.tflite": model.data,
        "model.onnx": result.outcome.onnx.data,
        WEIGHTS_FILE: as_npz(result.outcome.trained),
    }
    write_bundle(path / "winner", files | {FILE_NAME: named.as_text()})
    registry.load("exporters", "c")(model, manifest, path / "firmware", "kws_model", FirmwareOptions())
    write_html(path / "report.html", read_settings(path), result.trials, {**figures, "labels": result.labels})
