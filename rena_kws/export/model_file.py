"""A model file and its manifest."""

from __future__ import annotations

from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import RenaError
from rena_kws.export.base import require_format, write_bundle
from rena_kws.export.manifest import FILE_NAME, Manifest
from rena_kws.firmware.toolchain import Optimize


def export_tflite(
    model: ConvertedModel, manifest: Manifest, folder: Path, name: str, optimize: Optimize | None = None
) -> None:
    """`NAME.tflite` and the manifest."""
    _export(model, manifest, folder, name, optimize, "tflite")


def export_onnx(
    model: ConvertedModel, manifest: Manifest, folder: Path, name: str, optimize: Optimize | None = None
) -> None:
    """`NAME.onnx` and the manifest."""
    _export(model, manifest, folder, name, optimize, "onnx")


def _export(
    model: ConvertedModel, manifest: Manifest, folder: Path, name: str, optimize: Optimize | None, format: str
) -> None:
    if optimize is not None:
        raise RenaError(f"a model file holds no firmware, so none for {optimize}; leave --optimize out")
    require_format(model, format)
    file = f"{name}.{format}"
    write_bundle(folder, {file: model.data, FILE_NAME: manifest.named(file).as_text()})
