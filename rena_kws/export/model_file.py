"""A model file and its manifest."""

from __future__ import annotations

from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.export.base import FirmwareOptions, refuse_options, refuse_word, require_format, write_bundle
from rena_kws.export.manifest import FILE_NAME, Manifest


def export_tflite(model: ConvertedModel, manifest: Manifest, folder: Path, name: str, options: FirmwareOptions) -> None:
    """`NAME.tflite` and the manifest."""
    _export(model, manifest, folder, name, options, "tflite")


def export_onnx(model: ConvertedModel, manifest: Manifest, folder: Path, name: str, options: FirmwareOptions) -> None:
    """`NAME.onnx` and the manifest."""
    _export(model, manifest, folder, name, options, "onnx")


def _export(
    model: ConvertedModel, manifest: Manifest, folder: Path, name: str, options: FirmwareOptions, format: str
) -> None:
    refuse_options(options)
    refuse_word(options)
    require_format(model, format)
    file = f"{name}.{format}"
    write_bundle(folder, {file: model.data, FILE_NAME: manifest.named(file).as_text()})
