"""A GPU of this computer: LiteRT over WebGPU for .tflite, ONNX Runtime's providers for .onnx, in a fresh process.

The adapter's name is part of the result. One that is software, as SwiftShader is, is marked: its times say nothing of a
GPU. LiteRT computes in half floats where the adapter has them: on an NVIDIA H200 outputs of MLPerf Tiny's keyword
spotter were at most 10 int8 units from the CPU's; single floats gave equal ones, in the same time.
"""

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

_SESSION = "rena_kws.profilers.gpu.session"
_PACKAGES = {"tflite": ("ai_edge_litert", "ai-edge-litert>=2"), "onnx": ("onnxruntime", "onnxruntime-gpu")}


@dataclass(frozen=True)
class GpuProfiler(Profiler):
    """`latency_ms` is the median of single inferences, the way to the GPU and back included, after a warm-up."""

    timeout_s: float = 300.0

    def unavailable(self) -> str | None:
        package, wanted = _PACKAGES["tflite"]
        return None if importlib.util.find_spec(package) else f"the GPU needs a package: pip install '{wanted}'"

    def profile(self, model: ConvertedModel, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        package, wanted = _PACKAGES[model.format]
        if importlib.util.find_spec(package) is None:
            raise UnavailableError(f"the GPU needs a package: pip install '{wanted}'")
        # The flatbuffer's own mark; LiteRT may crash where it expects one and gets something else.
        if not model.data or (model.format == "tflite" and model.data[4:8] != b"TFL3"):
            raise ModelError(f"{model.name} is no .{model.format} file: {len(model.data)} bytes without its mark")
        refuse_custom_operators(model, "LiteRT")
        return measure_apart(_SESSION, model, device, inputs, self.timeout_s)
