"""What a stream's evaluation leaves on disk: its figures, its DET curve, and the decisions in the model's manifest."""

from __future__ import annotations

import json
from pathlib import Path

from rena_kws import model_file
from rena_kws.errors import ModelError, RunFolderError
from rena_kws.export.manifest import FILE_NAME, Manifest
from rena_kws.files import replacing
from rena_kws.report.det import Operating, det_plot
from rena_kws.streaming.evaluation import StreamReport
from rena_kws.streaming.rates import Rates


def write_report(report: StreamReport, folder: Path) -> None:
    """`stream.json` and `det.svg` into `folder`, which is made where it is missing. Raises `RunFolderError`."""
    picture = det_plot(
        [_operating(rates) for rates in report.det],
        _operating(report.test),
        report.test.hours,
        f"{report.settings.snr_db:g} dB above noise",
    )
    _write(folder / "stream.json", json.dumps(report.as_json(), indent=2) + "\n")
    _write(folder / "det.svg", picture + "\n")


def save_decisions(report: StreamReport, model: Path) -> Path:
    """Keep the chosen decisions in the manifest beside `model`, from where export and listen take them → its path.

    Raises `ModelError` where there is none.
    """
    file = model_file.find(model)
    manifest = Manifest.beside(file)
    if manifest is None:
        raise ModelError(f"there is no manifest beside {file} to keep decisions in")
    path = file.parent / FILE_NAME
    _write(path, manifest.deciding(report.decisions).as_text())
    return path


def _operating(rates: Rates) -> Operating:
    return Operating(rates.threshold, rates.false_reject_rate, rates.false_accepts_per_hour)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror}") from error
