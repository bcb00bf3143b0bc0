"""This computer's CPU: LiteRT for .tflite, ONNX Runtime for .onnx, each model in a fresh process with one thread."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices.description import Device
from rena_kws.errors import ModelError, UnavailableError
from rena_kws.profilers.base import Profiler, refuse_custom_operators
from rena_kws.profilers.timing import measure_apart

_SESSION = "rena_kws.profilers.cpu.session"
_RUNTIMES = {"tflite": ("ai_edge_litert", "tflite_runtime"), "onnx": ("onnxruntime",)}


@dataclass(frozen=True)
class CpuProfiler(Profiler):
    """`latency_ms` is the median of single inferences of the first input, after a warm-up that is not counted."""

    timeout_s: float = 120.0

    def unavailable(self) -> str | None:
        for model_format in _RUNTIMES:
            reason = _lacks_runtime(model_format)
            if reason:
                return reason
        return None

    def profile(self, model: ConvertedModel, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        reason = _lacks_runtime(model.format)
        if reason:
            raise UnavailableError(reason)
        # The flatbuffer's own mark; LiteRT may crash where it expects one and gets something else.
        if not model.data or (model.format == "tflite" and model.data[4:8] != b"TFL3"):
            raise ModelError(f"{model.name} is no .{model.format} file: {len(model.data)} bytes without its mark")
        refuse_custom_operators(model, "LiteRT")
        return measure_apart(_SESSION, model, device, inputs, self.timeout_s)


def _lacks_runtime(model_format: str) -> str | None:
    packages = _RUNTIMES[model_format]
    if any(importlib.util.find_spec(package) for package in packages):
        return None
    wanted = packages[0].replace("_", "-")
    return f"profiling .{model_format} on the CPU needs a package that is missing: pip install {wanted}"
