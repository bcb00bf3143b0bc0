"""What a model computes on this computer, to compare a board's results with.

First choice is the C that is exported, compiled for this computer: it rounds as TensorFlow Lite Micro does, on every
processor the same. Where there is no C for it, LiteRT's plain kernels, which differ from that by a unit here and there.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.errors import CandidateError, ModelError, UnavailableError
from rena_kws.firmware.memory_plan import ALIGNMENT


@dataclass(frozen=True)
class Reference:
    """Outputs in the model's own dtype, first axis the batch, and what computed them."""

    outputs: NDArray[Any]
    source: str


def reference_of(model: ConvertedModel, batch: NDArray[Any]) -> Reference:
    """Raises `ModelError` where neither can run the model."""
    from rena_kws.convert.evaluate_int8 import run_quantised
    from rena_kws.firmware.emit import generate

    try:
        return Reference(_run_on_host(generate(model, "kws"), batch), "the same C on this computer")
    except (ModelError, CandidateError, UnavailableError):
        return Reference(run_quantised(model, batch), "LiteRT's plain kernels")


def _run_on_host(firmware: Firmware, batch: NDArray[Any]) -> NDArray[np.int8]:
    from rena_kws.firmware.toolchain import compile_host_library

    run = ctypes.CDLL(str(compile_host_library(firmware.sources, libc=False)))[f"{firmware.name}_run"]
    memory = np.zeros(firmware.arena_bytes + ALIGNMENT, np.uint8)
    arena = memory[-memory.ctypes.data % ALIGNMENT :]
    source, sink = firmware.inputs[0], firmware.outputs[0]
    outputs = np.empty((len(batch), *sink.shape[1:]), np.int8)
    for sample, output in zip(batch, outputs, strict=True):
        arena[source.offset : source.offset + source.size_bytes] = sample.view(np.uint8).ravel()
        run(ctypes.c_void_p(arena.ctypes.data))
        output[...] = arena[sink.offset : sink.offset + sink.size_bytes].view(np.int8).reshape(output.shape)
    return outputs
