"""How much memory TensorFlow Lite Micro needs for a model on an ESP32: the `tensor_arena_size` of ESPHome's manifest.

TensorFlow Lite Micro itself tells it, on this computer, where pointers are twice as long and kernels need no scratch
memory. On an ESP32-S3 the kernels of ESP-NN do; how much is theirs to say, so an estimate of it is added. Where
`tflite-micro` is not installed, the whole is an estimate. ESPHome takes the size as it is before its version 2026.4;
since then it begins with it and finds the least that works (esphome pull request 15628).
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from rena_kws.artifacts import ConvertedModel, How

_LEAST_ARENA = 4 << 20  # TensorFlow Lite Micro ends the process where an arena is too small; no chip's is as large.
_ALIGNMENT = 16
_TENSOR_BYTES, _OPERATOR_BYTES = 24, 200  # The interpreter's records of each, as measured where pointers have 64 bits.


@dataclass(frozen=True)
class TensorArena:
    """`interpreter_bytes` of what `how` says, and `scratch_bytes` for ESP-NN, which are always estimated."""

    interpreter_bytes: int
    scratch_bytes: int
    how: How

    @property
    def size_bytes(self) -> int:
        """Both, up to a multiple of 16 and 16 more, as TensorFlow Lite Micro advises."""
        return _aligned(self.interpreter_bytes + self.scratch_bytes) + _ALIGNMENT


def tensor_arena(model: ConvertedModel) -> TensorArena:
    """Of a model with resource variables."""
    main = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model.data, 0))
    scratch = max((_scratch_bytes(main, op) for op in main.subgraphs[0].operators), default=0)
    if (measured := _measured_bytes(model.data)) is not None:
        return TensorArena(measured, scratch, "measured")
    return TensorArena(_estimated_bytes(main), scratch, "estimated")


def _measured_bytes(data: bytes) -> int | None:
    """What TensorFlow Lite Micro used of its arena once the model ran; None where it is not installed."""
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError:
        return None
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=max(_LEAST_ARENA, 10 * len(data)))
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    interpreter.invoke()
    match = re.search(r"Arena allocation total (\d+) bytes", _printed(interpreter.print_allocations))
    return int(match[1]) if match else None


def _printed(function: Any) -> str:
    """What a function writes to the process's standard error, behind Python's back."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            function()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def _scratch_bytes(model: Any, op: Any) -> int:
    """At most what ESP-NN asks for a convolution: weights and input as 16 bits, output, its numbers for each channel.

    Channels of weights, and all those of depthwise convolutions, count as multiples of 16, to which its kernels pad
    them (esp_nn_get_conv_scratch_size_esp32s3, esp_nn_get_depthwise_conv_scratch_size_esp32s3; what they return
    changes from version to version, and stayed below this in those that were looked at).
    """
    code = model.operatorCodes[op.opcodeIndex].builtinCode
    if code not in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D):
        return 0
    source, weights, output = (_shape(model.subgraphs[0], index) for index in (*op.inputs[:2], op.outputs[0]))
    numbers = 16 * _aligned(output[-1]) + 64
    if code == schema.BuiltinOperator.DEPTHWISE_CONV_2D:
        return 2 * (_padded(weights) + _padded(source)) + _padded(output) + numbers
    return 2 * _padded(weights) + max(2, 8 // source[-1]) * math.prod(source) + numbers


def _estimated_bytes(model: Any) -> int:
    """The variables, the two largest maps that live at a time, and the interpreter's own records."""
    main, start = model.subgraphs
    variables = sum(math.prod(_shape(start, index)) for index, tensor in enumerate(start.tensors) if tensor.buffer)
    operators = len(main.operators) + len(start.operators)
    live = max(_map_bytes(main, op) for op in main.operators)
    return variables + live + _TENSOR_BYTES * len(main.tensors) + _OPERATOR_BYTES * operators


def _map_bytes(graph: Any, op: Any) -> int:
    """Of what an operator reads and writes, constants apart."""
    both = [int(index) for indices in (op.inputs, op.outputs) if indices is not None for index in indices]
    return sum(math.prod(_shape(graph, index)) for index in both if index >= 0 and not graph.tensors[index].buffer)


def _shape(graph: Any, index: int) -> list[int]:
    return [int(size) for size in graph.tensors[index].shape]


def _padded(shape: list[int]) -> int:
    return math.prod(shape[:-1]) * _aligned(shape[-1])


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
