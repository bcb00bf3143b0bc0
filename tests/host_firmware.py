"""Generated C on this computer, beside TensorFlow Lite Micro's interpreter: the same inputs into both.

Objects are kept by their source text, so a kernel that many models share is compiled once a session.
"""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.firmware.emit import generate
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize

STRICT_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
GUARD_BYTES = 64
GUARD_VALUE = 0xA5


class HostFirmware:
    """A compiled firmware. Running it checks that it stays inside its arena."""

    def __init__(self, firmware: Firmware, folder: Path, compiler: str) -> None:
        self.firmware = firmware
        headers = {name: text for name, text in firmware.sources.items() if name.endswith(".h")}
        digest = hashlib.sha256(repr(sorted(headers.items())).encode()).hexdigest()[:16]
        include = folder / digest
        include.mkdir(parents=True, exist_ok=True)
        for name, text in headers.items():
            (include / name).write_text(text, encoding="utf-8")
        kernels = repr(sorted(item for item in headers.items() if item[0] != f"{firmware.name}.h"))
        objects = [
            _compile(compiler, include, folder, name, text, kernels)
            for name, text in firmware.sources.items()
            if name.endswith(".c")
        ]
        library = folder / f"{hashlib.sha256(repr(objects).encode()).hexdigest()[:16]}.so"
        if not library.exists():
            subprocess.run([compiler, "-shared", "-o", str(library), *objects], check=True)
        self._run = ctypes.CDLL(str(library))[f"{firmware.name}_run"]

    def __call__(self, inputs: Sequence[NDArray[np.int8]]) -> list[NDArray[np.int8]]:
        size = self.firmware.arena_bytes
        memory = np.full(size + 2 * GUARD_BYTES + 16, GUARD_VALUE, np.uint8)
        start = GUARD_BYTES + (-(memory.ctypes.data + GUARD_BYTES)) % 16
        arena = memory[start : start + size]
        for port, values in zip(self.firmware.inputs, inputs, strict=True):
            arena[port.offset : port.offset + port.size_bytes] = np.ascontiguousarray(values).view(np.uint8).ravel()
        self._run(ctypes.c_void_p(arena.ctypes.data))
        outside = np.concatenate([memory[:start], memory[start + size :]])
        assert (outside == GUARD_VALUE).all(), "the firmware wrote outside its arena"
        return [
            arena[port.offset : port.offset + port.size_bytes].view(np.int8).reshape(port.shape).copy()
            for port in self.firmware.outputs
        ]


def _compile(compiler: str, include: Path, folder: Path, name: str, text: str, kernels: str) -> str:
    """The object of one source. `kernels`: the headers but the model's own, which many models have in common."""
    target = folder / f"{hashlib.sha256((name + text + kernels).encode()).hexdigest()[:16]}.o"
    if not target.exists():
        source = include / name
        source.write_text(text, encoding="utf-8")
        subprocess.run([compiler, *STRICT_FLAGS, "-O1", "-fPIC", "-c", str(source), "-o", str(target)], check=True)
    return str(target)


class MicroInterpreter:
    """TensorFlow Lite Micro on the same model."""

    def __init__(self, data: bytes) -> None:
        from tflite_micro.python.tflite_micro import runtime

        self._interpreter: Any = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)

    def __call__(self, inputs: Sequence[NDArray[np.int8]], outputs: int) -> list[NDArray[np.int8]]:
        for index, values in enumerate(inputs):
            self._interpreter.set_input(values, index)
        self._interpreter.invoke()
        return [self._interpreter.get_output(index).copy() for index in range(outputs)]


def assert_equal_to_micro(
    data: bytes,
    folder: Path,
    compiler: str,
    inputs: Sequence[Sequence[NDArray[np.int8]]],
    optimize: Optimize = DEFAULT_OPTIMIZE,
    firmware: Firmware | None = None,
) -> None:
    """Every output of every set of inputs agrees in every element. `firmware`: None for what `generate` makes of it."""
    firmware = firmware or generate(ConvertedModel("tflite", data), optimize=optimize)
    host, micro = HostFirmware(firmware, folder, compiler), MicroInterpreter(data)
    for values in inputs:
        expected = micro(values, len(firmware.outputs))
        for index, (ours, theirs) in enumerate(zip(host(values), expected, strict=True)):
            np.testing.assert_array_equal(ours, theirs, err_msg=f"output {index}")
