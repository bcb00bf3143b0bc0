"""The fresh process in which one model is timed on the GPU: `main([format, folder, device])`.

.tflite: LiteRT's accelerator over WebGPU (Vulkan, Metal or Direct3D). .onnx: the first of ONNX Runtime's providers for
GPUs that is there. The time of an inference includes writing the input and reading the output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import ModelError, UnavailableError
from rena_kws.profilers.timing import Session, check_ports, one_line, report_on

_NO_GPU = (
    "no GPU is found: install its Vulkan driver and the loader (Debian: apt-get install libvulkan1 mesa-vulkan-drivers)"
)
PROVIDERS = ("CUDAExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider")


class _WebGpu(Session):
    def __init__(self, data: bytes, log: Path) -> None:
        """`log`: where LiteRT's messages go; it tells of adapters nowhere else."""
        try:
            from ai_edge_litert.compiled_model import CompiledModel
            from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        except ImportError:
            raise UnavailableError("the GPU needs LiteRT's CompiledModel: pip install 'ai-edge-litert>=2'") from None
        try:
            self._model: Any = CompiledModel.from_buffer(data, hardware_accel=HardwareAccelerator.GPU)
        except (RuntimeError, ValueError) as error:
            if "No adapters found" in log.read_text(errors="replace"):
                raise UnavailableError(_NO_GPU) from None
            raise ModelError(f"LiteRT cannot load the model for the GPU: {one_line(error)}") from None
        if not self._model.is_fully_accelerated():
            raise ModelError("LiteRT does not run the whole model on the GPU")
        (signature, ports), *_ = self._model.get_signature_list().items()
        check_ports(len(ports["inputs"]), len(ports["outputs"]))
        (source,) = self._model.get_input_tensor_details(signature).values()
        (sink,) = self._model.get_output_tensor_details(signature).values()
        self.shape, self.dtype = tuple(map(int, source["shape"])), str(np.dtype(source["dtype"]))
        self._output_shape, self._output_dtype = tuple(map(int, sink["shape"])), np.dtype(sink["dtype"])
        self._inputs, self._outputs = self._model.create_input_buffers(0), self._model.create_output_buffers(0)

    def infer(self, sample: NDArray[Any]) -> NDArray[Any]:
        self._inputs[0].write(np.ascontiguousarray(sample).reshape(-1))
        self._model.run_by_index(0, self._inputs, self._outputs)
        size = int(np.prod(self._output_shape))
        return np.asarray(self._outputs[0].read(size, self._output_dtype)).reshape(self._output_shape)


def main(arguments: Sequence[str]) -> None:
    """Time the model in the folder."""
    model_format, folder = arguments[0], Path(arguments[1])

    log = folder / "log"
    with log.open("w") as file:
        os.dup2(file.fileno(), 2)

    def open_session(data: bytes) -> tuple[Session, dict[str, str]]:
        if model_format == "onnx":
            return _onnx(data)
        session = _WebGpu(data, log)
        runtime = f"ai-edge-litert {version('ai-edge-litert')}, WebGPU"
        return session, {"runtime": runtime, **_adapter(log.read_text(errors="replace"))}

    report_on(folder, open_session)


def _adapter(printed: str) -> dict[str, str]:
    """The adapter that LiteRT says it selected."""
    found = re.search(r"Selected adapter: (.*?), arch=.*?backend=(\w+), adapterType=([^\n]*)", printed)
    if found is None:
        raise UnavailableError("LiteRT did not say which adapter it runs on, so no figure of it can be trusted")
    notes = {"adapter": f"{found[1]} ({found[2]})"}
    if "software" in found[3].lower():
        notes["troubles"] = "a software adapter: its times say nothing of a GPU"
    return notes


def _onnx(data: bytes) -> tuple[Session, dict[str, str]]:
    import onnxruntime

    from rena_kws.profilers.cpu.session import OnnxRuntime

    found = [provider for provider in PROVIDERS if provider in onnxruntime.get_available_providers()]
    if not found:
        raise UnavailableError(
            "this ONNX Runtime has no provider for GPUs: install onnxruntime-gpu (CUDA) or onnxruntime-directml"
        )
    if found[0] == "CUDAExecutionProvider" and hasattr(onnxruntime, "preload_dlls"):
        # CUDA's libraries may lie in packages that pip installed, where no loader looks.
        onnxruntime.preload_dlls(directory="")
    session = OnnxRuntime(data, onnxruntime, [found[0], "CPUExecutionProvider"])
    if found[0] not in session.providers:
        raise UnavailableError(f"ONNX Runtime's {found[0]} finds no GPU")
    notes = {"runtime": f"onnxruntime {version('onnxruntime')}, {found[0]}", "adapter": found[0]}
    return session, notes
