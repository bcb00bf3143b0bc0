"""A model file on disk → ConvertedModel. What a file is, its content says, not its name."""

from __future__ import annotations

from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import ModelError

_TFLITE_MAGIC = b"TFL3"  # the flatbuffer's file identifier, at byte 4
_KERAS_MAGIC = b"PK"  # a .keras file is a zip archive
_ONNX_FIELDS = (0x08, 0x12, 0x3A)  # protobuf tags that open a ModelProto: ir_version, producer_name or graph


def load(path: Path) -> ConvertedModel:
    """Read a .tflite or .onnx file; a folder stands for the `model.tflite` in it.

    Raises `ModelError` where there is no such file, or where it is neither.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.tflite"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    if not data:
        raise ModelError(f"the model {path} is empty")
    if data[4:8] == _TFLITE_MAGIC:
        return ConvertedModel("tflite", data, path.stem)
    if data[:2] == _KERAS_MAGIC:
        raise ModelError(
            f"{path} looks like a Keras archive; a model is profiled as .tflite or .onnx: convert it first"
        )
    if data[0] in _ONNX_FIELDS and path.suffix == ".onnx":
        return ConvertedModel("onnx", data, path.stem)
    raise ModelError(
        f"{path} is neither a TFLite nor an ONNX model ({len(data)} bytes that start with {data[:8].hex()})"
    )
