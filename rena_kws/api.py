"""What the command line does, as one call each: search, profile, export, evaluate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rena_kws import model_file, registry
from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices import catalogue
from rena_kws.errors import ModelError, UnavailableError
from rena_kws.profilers.base import profiler_for

if TYPE_CHECKING:
    from rena_kws.search import SearchResult, SearchSettings, Watcher

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
    from rena_kws.run_folder import RunFolder
    from rena_kws.search import run_search

    path = Path(run) if run else Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    folder = RunFolder(path, settings.identity(), resume)
    try:
        result = run_search(settings, folder, watch)
        _write_winner(settings, result, path)
    finally:
        folder.close()
    return result, path


def profile(model: ModelLike, device: str, inputs: NDArray[Any] | None = None) -> Measurement:
    """Measure a model on a device. `inputs`: a batch in the model's own dtype, first axis the batch; None: zeros.

    Raises `ModelError`, `UnknownNameError`, `UnavailableError`, `DoesNotFitError`.
    """
    target = catalogue.get(device)
    profiler = profiler_for(target)
    if reason := profiler.unavailable():
        raise UnavailableError(reason)
    return profiler.profile(_as_model(model), target, inputs)


def export(run_or_model: ModelLike, format: str, out: str | Path, name: str = "kws_model") -> Path:
    """Write a run's winner, or a model file, as a bundle of `format` into the folder `out` → the folder."""
    from rena_kws.export.manifest import Manifest

    exporter = registry.load("exporters", format)
    source = run_or_model
    if not isinstance(source, ConvertedModel) and (Path(source) / "winner").is_dir():
        source = Path(source) / "winner"
    model = _as_model(source)
    manifest = Manifest.beside(source) if isinstance(source, str | Path) else None
    exporter(model, manifest or Manifest.bare(model), Path(out), name)
    return Path(out)


def evaluate(
    model: ModelLike, dataset: str, split: str = "test", options: Mapping[str, object] | None = None
) -> EvaluationReport:
    """int8 accuracy of a model on a split ("train", "validation", "test" or "all") of a dataset.

    The front end comes from the manifest beside the model, the labels too; both must be the dataset's.
    """
    from rena_kws.convert.evaluate_int8 import accuracy
    from rena_kws.datasets.base import open_dataset
    from rena_kws.datasets.features import load_features
    from rena_kws.export.manifest import Manifest
    from rena_kws.frontend.settings import FrontEnd

    manifest = Manifest.beside(model) if isinstance(model, str | Path) else None
    front_end = FrontEnd.from_json(manifest.front_end) if manifest and manifest.front_end else FrontEnd()
    opened = open_dataset(dataset, options)
    splits = ("train", "validation", "test") if split == "all" else (split,)
    parts = [load_features(opened, front_end, name) for name in splits]
    labels = tuple(parts[0].labels)
    if manifest and manifest.labels and tuple(manifest.labels) != labels:
        raise ModelError(f"the model's labels {', '.join(manifest.labels)} are not the dataset's {', '.join(labels)}")
    x = np.concatenate([part.x for part in parts])
    y = np.concatenate([part.y for part in parts])
    score, predictions = accuracy(_as_model(model), replace(parts[0], x=x, y=y))
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (y, predictions), 1)
    return EvaluationReport(score, len(y), confusion, labels)


def _as_model(model: ModelLike) -> ConvertedModel:
    return model if isinstance(model, ConvertedModel) else model_file.load(Path(model))


def _write_winner(settings: SearchSettings, result: SearchResult, path: Path) -> None:
    from rena_kws.export.manifest import Manifest
    from rena_kws.report.html import write_html
    from rena_kws.run_folder import read_settings

    model, measurement = result.outcome.model, result.outcome.measurement
    assert model is not None and measurement is not None
    figures = {
        "accuracy": result.outcome.evaluation.accuracy,
        "test_accuracy": result.test_accuracy,
        "measurement": measurement.as_json(),
        "architecture": result.architecture.as_json(),
    }
    manifest = Manifest.of(model, result.labels, settings.front_end.as_json(), figures)
    registry.load("exporters", "tflite")(model, manifest, path / "winner", "model")
    registry.load("exporters", "c")(model, manifest, path / "firmware", "kws_model")
    write_html(path / "report.html", read_settings(path), result.trials, {**figures, "labels": result.labels})
