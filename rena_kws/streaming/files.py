"""What a stream's evaluation leaves on disk: its figures, its DET curve, and the decisions in the model's manifest."""

from __future__ import annotations

from pathlib import Path

from rena_kws import model_file
from rena_kws.errors import ModelError
from rena_kws.export.manifest import FILE_NAME, Manifest
from rena_kws.report.det import Operating, det_plot
from rena_kws.report.files import write_pair, write_text
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
    write_pair(folder, "stream.json", report.as_json(), "det.svg", picture)


def save_decisions(report: StreamReport, model: Path) -> Path:
    """Keep the chosen decisions in the manifest beside `model`, from where export and listen take them → its path.

    Raises `ModelError` where there is none.
    """
    file = model_file.find(model)
    manifest = Manifest.beside(file)
    if manifest is None:
        raise ModelError(f"there is no manifest beside {file} to keep decisions in")
    path = file.parent / FILE_NAME
    write_text(path, manifest.deciding(report.decisions).as_text())
    return path


def _operating(rates: Rates) -> Operating:
    return Operating(rates.threshold, rates.false_reject_rate, rates.false_accepts_per_hour)
