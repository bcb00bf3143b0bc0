"""A model file and its manifest."""

from __future__ import annotations

from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.export.base import require_format, write_bundle
from rena_kws.export.manifest import FILE_NAME, Manifest


def export_tflite(model: ConvertedModel, manifest: Manifest, folder: Path, name: str) -> None:
    """`NAME.tflite` and the manifest."""
    _export(model, manifest, folder, name, "tflite")


def export_onnx(model: ConvertedModel, manifest: Manifest, folder: Path, name: str) -> None:
    """`NAME.onnx` and the manifest."""
    _export(model, manifest, folder, name, "onnx")


def _export(model: ConvertedModel, manifest: Manifest, folder: Path, name: str, format: str) -> None:
    require_format(model, format)
    file = f"{name}.{format}"
    write_bundle(folder, {file: model.data, FILE_NAME: manifest.named(file).as_text()})
