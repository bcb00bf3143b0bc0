"""This computer's CPU: LiteRT for .tflite, ONNX Runtime for .onnx, each model in a fresh process with one thread."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices.description import Device
from rena_kws.errors import DeviceError, ModelError, UnavailableError
from rena_kws.profilers.base import Profiler
from rena_kws.profilers.child import python_command

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
        with tempfile.TemporaryDirectory(prefix="rena-kws-") as name:
            folder = Path(name)
            (folder / "model").write_bytes(model.data)
            if inputs is not None:
                np.save(folder / "inputs.npy", inputs, allow_pickle=False)
            self._run(model, folder)
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            if "model_error" in report:
                raise ModelError(f"{model.name}: {report['model_error']}")
            outputs = np.load(folder / "outputs.npy", allow_pickle=False)
        return Measurement(
            device=device.name,
            how="measured",
            latency_ms=float(np.median(report["samples_ms"])),
            samples_ms=tuple(report["samples_ms"]),
            outputs=outputs,
            ram_bytes=report["ram_bytes"],
            flash_bytes=len(model.data),
            environment=report["environment"],
        )

    def _run(self, model: ConvertedModel, folder: Path) -> None:
        command = python_command("rena_kws.profilers.cpu.session", model.format, str(folder))
        try:
            done = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=self.timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"{model.name} took longer than {self.timeout_s:g} s on the CPU and was stopped"
            ) from None
        if done.returncode < 0:
            raise ModelError(f"{model.name} crashes its runtime (signal {-done.returncode}): the file is damaged")
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            raise DeviceError(f"the CPU profiler's process failed with status {done.returncode}: {lines[-1]}")


def _lacks_runtime(model_format: str) -> str | None:
    packages = _RUNTIMES[model_format]
    if any(importlib.util.find_spec(package) for package in packages):
        return None
    wanted = packages[0].replace("_", "-")
    return f"profiling .{model_format} on the CPU needs a package that is missing: pip install {wanted}"
