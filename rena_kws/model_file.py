"""A model file → `ConvertedModel`. What it is, its content says; its name may be anything.

A folder, as a search and `rena-kws export` leave it, stands for the model that lies in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import ModelError

_IMAGES = (".elf", ".axf", ".hex", ".ihex", ".bin")
_OTHERS = {
    b"PK\x03\x04": "looks like a Keras archive; convert it to .tflite or .onnx first",
    b"\x89HDF": "is an HDF5 file, as old Keras saved models; convert it to .tflite or .onnx first",
    b"\x7fELF": "is a firmware image, not a network",
}


def load(path: str | Path) -> ConvertedModel:
    """The model in a file or folder, named after its file. Raises `ModelError` where there is none that can be read."""
    file = find(Path(path))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {file}: {error.strerror}") from None
    return ConvertedModel(_format_of(data, file), data, file.stem)


def is_image(path: Path) -> bool:
    """Whether a file is firmware, by its name or as an ELF file by its content."""
    if path.suffix.lower() in _IMAGES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def find(path: Path) -> Path:
    """The model file that `path` means: itself, or the one in the folder of a run or an export, int8 before ONNX."""
    if not path.is_dir():
        return path
    for folder in (path / "winner", path):
        for suffix in (".tflite", ".onnx"):
            models = sorted(folder.glob(f"*{suffix}"))
            if len(models) > 1:
                raise ModelError(f"{folder} holds several models; name one: {', '.join(item.name for item in models)}")
            if models:
                return models[0]
    raise ModelError(f"a model is a .tflite or .onnx file or a folder with one; {path} holds none")


def _format_of(data: bytes, file: Path) -> Literal["tflite", "onnx"]:
    if not data:
        raise ModelError(f"the model {file} is empty")
    if data[4:8] == b"TFL3":
        return "tflite"
    if _is_onnx(data):
        return "onnx"
    other = next((what for magic, what in _OTHERS.items() if data.startswith(magic)), None)
    start = f"{len(data)} bytes that start with {data[:8].hex()}"
    raise ModelError(f"{file} {other or f'is neither a TFLite nor an ONNX model, or not a whole one ({start})'}")


def _is_onnx(data: bytes) -> bool:
    """ONNX has no magic number. It is a protobuf message `ModelProto` with `ir_version` (1) and `graph` (7), whole."""
    try:
        numbers = set(_fields(data))
    except (IndexError, ValueError):
        return False
    return {1, 7} <= numbers


def _fields(data: bytes) -> Iterator[int]:
    """Field numbers of a protobuf message (wire format: protobuf.dev/programming-guides/encoding, recalled)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            _, at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(wire)
        if at > len(data):
            raise IndexError(at)
        yield key >> 3


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts at `at`, seven bits a byte, low ones first, and where the next thing starts."""
    value = 0
    for index in range(10):
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("a varint has at most ten bytes")
