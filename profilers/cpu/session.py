"""The fresh process in which one model is timed on the CPU: `main([format, folder, device])`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import ModelError
from rena_kws.profilers.timing import THREADS, Session, check_ports, one_line, report_on

REFERENCE = "cpu-reference"
"""The device whose .tflite models run in LiteRT's reference kernels."""


class _LiteRt(Session):
    def __init__(self, data: bytes, interpreter: Any, **options: Any) -> None:
        try:
            self._interpreter = interpreter(model_content=data, num_threads=THREADS, **options)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"LiteRT cannot load the model: {one_line(error)}") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        check_ports(len(inputs), len(outputs))
        self.shape, self.dtype = tuple(map(int, inputs[0]["shape"])), np.dtype(inputs[0]["dtype"]).name
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def infer(self, sample: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_tensor(self._input, sample)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


class OnnxRuntime(Session):
    _DTYPES: ClassVar = {
        "tensor(float)": "float32",
        "tensor(int8)": "int8",
        "tensor(uint8)": "uint8",
        "tensor(double)": "float64",
    }

    def __init__(self, data: bytes, runtime: Any, providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        options.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(data, options, providers=list(providers))
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise ModelError(f"ONNX Runtime cannot load the model: {one_line(error)}") from None
        self.providers: list[str] = self._session.get_providers()
        inputs = self._session.get_inputs()
        check_ports(len(inputs), len(self._session.get_outputs()))
        if inputs[0].type not in self._DTYPES:
            raise ModelError(f"an input of type {inputs[0].type} is not supported (known: {', '.join(self._DTYPES)})")
        shape = [1, *inputs[0].shape[1:]]
        if not all(isinstance(size, int) for size in shape):
            raise ModelError(f"the input's shape must be fixed apart from the batch: it is {inputs[0].shape}")
        self.shape, self.dtype, self._name = tuple(shape), self._DTYPES[inputs[0].type], inputs[0].name

    def infer(self, sample: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._session.run(None, {self._name: sample})[0])


def main(arguments: Sequence[str]) -> None:
    """Time the model in the folder."""
    model_format, folder, device = arguments[0], Path(arguments[1]), arguments[2]

    def open_session(data: bytes) -> tuple[Session, dict[str, str]]:
        runtime, package = _load_runtime(model_format)
        if model_format == "onnx":
            return OnnxRuntime(data, runtime), {"runtime": package}
        if device == REFERENCE:
            from rena_kws.litert import OpResolverType

            kernels = {"experimental_op_resolver_type": OpResolverType.BUILTIN_REF}
            return _LiteRt(data, runtime, **kernels), {"runtime": f"{package}, reference kernels"}
        return _LiteRt(data, runtime), {"runtime": f"{package}, XNNPACK"}

    report_on(folder, open_session)


def _load_runtime(model_format: str) -> tuple[Any, str]:
    """The runtime's class or module, and its name and version."""
    if model_format == "tflite":
        from rena_kws import litert

        return litert.Interpreter, litert.package_version()
    import onnxruntime

    return onnxruntime, f"onnxruntime {version('onnxruntime')}"
