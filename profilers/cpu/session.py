"""The fresh process in which one model is timed: `main([format, folder])`.

The folder holds `model` and perhaps `inputs.npy`; it gets `outputs.npy` and `report.json`. Memory is the growth of this
process's peak resident set from just before the model is loaded; only Linux lets a process reset that peak.
"""

from __future__ import annotations

import json
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import ModelError
from rena_kws.profilers.base import batch_of

THREADS = 1
_WARM_UP_S, _SAMPLING_S = 0.05, 0.3
_LEAST_SAMPLES, _MOST_SAMPLES = 20, 1000


class _Session(ABC):
    """A loaded model: its input's shape and dtype, and one inference."""

    shape: tuple[int, ...]
    dtype: str

    @abstractmethod
    def infer(self, sample: NDArray[Any]) -> NDArray[Any]:
        """The output for one sample with a batch of one."""


class _LiteRt(_Session):
    def __init__(self, data: bytes, interpreter: Any) -> None:
        try:
            self._interpreter = interpreter(model_content=data, num_threads=THREADS)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"LiteRT cannot load the model: {_one_line(error)}") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _check_ports(len(inputs), len(outputs))
        self.shape, self.dtype = tuple(map(int, inputs[0]["shape"])), np.dtype(inputs[0]["dtype"]).name
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def infer(self, sample: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_tensor(self._input, sample)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


class _OnnxRuntime(_Session):
    _DTYPES: ClassVar = {
        "tensor(float)": "float32",
        "tensor(int8)": "int8",
        "tensor(uint8)": "uint8",
        "tensor(double)": "float64",
    }

    def __init__(self, data: bytes, runtime: Any) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        options.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise ModelError(f"ONNX Runtime cannot load the model: {_one_line(error)}") from None
        inputs = self._session.get_inputs()
        _check_ports(len(inputs), len(self._session.get_outputs()))
        if inputs[0].type not in self._DTYPES:
            raise ModelError(f"an input of type {inputs[0].type} is not supported (known: {', '.join(self._DTYPES)})")
        shape = [1, *inputs[0].shape[1:]]
        if not all(isinstance(size, int) for size in shape):
            raise ModelError(f"the input's shape must be fixed apart from the batch: it is {inputs[0].shape}")
        self.shape, self.dtype, self._name = tuple(shape), self._DTYPES[inputs[0].type], inputs[0].name

    def infer(self, sample: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._session.run(None, {self._name: sample})[0])


def main(arguments: Sequence[str]) -> None:
    """Time the model in the folder; a model that cannot be used is a report, not a failure."""
    model_format, folder = arguments[0], Path(arguments[1])
    try:
        report = _measure(model_format, folder)
    except ModelError as error:
        report = {"model_error": str(error)}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def _measure(model_format: str, folder: Path) -> dict[str, Any]:
    data = (folder / "model").read_bytes()
    runtime, package = _load_runtime(model_format)
    before = _reset_peak_bytes()
    session = _LiteRt(data, runtime) if model_format == "tflite" else _OnnxRuntime(data, runtime)
    given = folder / "inputs.npy"
    batch = batch_of(np.load(given, allow_pickle=False) if given.exists() else None, session.shape, session.dtype)
    samples_ms = _samples_ms(session, batch[:1])
    after = _peak_bytes()
    outputs = np.concatenate([session.infer(batch[index : index + 1]) for index in range(len(batch))])
    np.save(folder / "outputs.npy", outputs, allow_pickle=False)
    return {
        "samples_ms": samples_ms,
        "ram_bytes": after - before if before is not None and after is not None else None,
        "environment": {
            "cpu": _cpu_name(),
            "system": platform.platform(),
            "runtime": package,
            "threads": str(THREADS),
            "warm_up_s": str(_WARM_UP_S),
        },
    }


def _load_runtime(model_format: str) -> tuple[Any, str]:
    """The runtime's class or module, and its name and version."""
    if model_format == "tflite":
        from rena_kws import litert

        return litert.Interpreter, litert.package_version()
    import onnxruntime

    return onnxruntime, f"onnxruntime {version('onnxruntime')}"


def _samples_ms(session: _Session, sample: NDArray[Any]) -> list[float]:
    end = time.perf_counter() + _WARM_UP_S
    session.infer(sample)
    while time.perf_counter() < end:
        session.infer(sample)
    samples: list[float] = []
    end = time.perf_counter() + _SAMPLING_S
    while len(samples) < _LEAST_SAMPLES or (len(samples) < _MOST_SAMPLES and time.perf_counter() < end):
        start = time.perf_counter_ns()
        session.infer(sample)
        samples.append((time.perf_counter_ns() - start) / 1e6)
    return samples


def _check_ports(inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise ModelError(f"a model with one input and one output is needed: it has {inputs} and {outputs}")


def _reset_peak_bytes() -> int | None:
    """Set this process's peak memory back to what it uses now, and return that; None where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak resident set size
    except OSError:
        return None
    return _peak_bytes()


def _peak_bytes() -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return int(line.split()[1]) * 1024 if line else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
