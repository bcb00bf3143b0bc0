"""A .tflite whose GRU is our own operator (see firmware/lower_gru.py): one file made of parts, and the parts again.

    front.tflite ──┐
    GruConstants ──┼── join ──► one file, the one that is profiled and shipped ── split ──► what LiteRT can run
    back.tflite  ──┘

LiteRT does not know the operator: it runs what stands before and behind, and NumPy the GRU between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.convert.model_builder import new_tensor, operator_code, packed
from rena_kws.errors import ModelError
from rena_kws.firmware.graph import GRU, custom_operators, read_graph
from rena_kws.firmware.gru_reference import STATE_SCALE, GruConstants, QuantizedGru, run_gru
from rena_kws.firmware.lower_gru import gru_of
from rena_kws.firmware.operands import Operands
from rena_kws.firmware.packing import Packing
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE


@dataclass(frozen=True)
class GruModel:
    """A model in parts: `front` gives int8 [1, steps, features], `back` reads the last state, int8 [1, units]."""

    front: ConvertedModel
    gru: QuantizedGru
    back: ConvertedModel

    def states(self, rows: NDArray[np.int8]) -> NDArray[np.int8]:
        """The last states (clips, units) for (clips, steps, features)."""
        return run_gru(self.gru, rows)[:, -1]


def join(front: bytes, constants: GruConstants, back: bytes, name: str) -> bytes:
    """The model `front` → GRU → `back`; `name` is that of the state. The back must read scale 1/128, zero point 0."""
    tree, behind = _tree(front), _tree(back)
    graph, tail = tree.subgraphs[0], behind.subgraphs[0]
    first_buffer, first_tensor, first_code = len(tree.buffers), len(graph.tensors), len(tree.operatorCodes)
    for tensor in tail.tensors:
        tensor.buffer += first_buffer
    for op in tail.operators:
        op.opcodeIndex += first_code
        op.inputs = [index + first_tensor if index >= 0 else index for index in op.inputs]
        op.outputs = [index + first_tensor for index in op.outputs]
    tree.buffers += behind.buffers
    graph.tensors += tail.tensors
    state = graph.tensors[tail.inputs[0] + first_tensor]
    quantization = state.quantization
    if (float(quantization.scale[0]), int(quantization.zeroPoint[0])) != (STATE_SCALE, 0):
        raise ModelError(f"what follows a GRU reads the scale 1/128; {name} is read with {quantization.scale[0]:g}")
    state.name = name
    op = schema.OperatorT()
    op.opcodeIndex = first_code + len(behind.operatorCodes)
    op.inputs = [graph.outputs[0], *_add_constants(tree, constants, name)]
    op.outputs = [tail.inputs[0] + first_tensor]
    tree.operatorCodes += [*behind.operatorCodes, operator_code(GRU, version=1)]
    graph.operators += [op, *tail.operators]
    graph.outputs = [index + first_tensor for index in tail.outputs]
    return packed(tree)


@lru_cache(maxsize=2)
def split(model: ConvertedModel) -> GruModel | None:
    """The parts of a .tflite model, None for one without a GRU. Raises `ModelError` where a GRU does not divide it."""
    if model.format != "tflite" or GRU not in custom_operators(model):
        return None
    graph = read_graph(model)
    positions = [op.index for op in graph.ops if op.name == GRU]
    if not positions:
        return None
    position, *others = positions
    gru, after = graph.ops[position], graph.ops[position + 1 :]
    computed = {tensor.index for tensor in graph.tensors if tensor.data is not None} | {-1, gru.outputs[0]}
    computed |= {index for op in after for index in op.outputs}
    if others or any(index not in computed for op in after for index in op.inputs):
        raise ModelError(f"{model.name}: supported is one GRU, which all that follows depends on")
    source, state = gru.inputs[0], gru.outputs[0]
    return GruModel(
        _part(model, range(position), graph.inputs, [source]),
        gru_of(Operands(graph, gru, None, Packing(DEFAULT_OPTIMIZE))),
        _part(model, range(position + 1, len(graph.ops)), [state], graph.outputs),
    )


def _part(model: ConvertedModel, ops: range, inputs: Sequence[int], outputs: Sequence[int]) -> ConvertedModel:
    """Some of a model's operators as a model of their own."""
    tree = _tree(model.data)
    graph = tree.subgraphs[0]
    graph.operators = [graph.operators[index] for index in ops]
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    used = sorted({op.opcodeIndex for op in graph.operators})
    tree.operatorCodes = [tree.operatorCodes[index] for index in used]
    for op in graph.operators:
        op.opcodeIndex = used.index(op.opcodeIndex)
    return ConvertedModel("tflite", packed(tree), model.name)


def _add_constants(tree: Any, constants: GruConstants, name: str) -> list[int]:
    """The constants as tensors of the model → their indices."""
    c = constants
    tensors = (
        ("kernel", c.kernel, c.kernel_scales),
        ("recurrent_kernel", c.recurrent, c.recurrent_scales),
        ("bias", c.bias, ()),
        ("recurrent_bias", c.recurrent_bias, ()),
    )
    graph = tree.subgraphs[0]
    for suffix, values, scales in tensors:
        graph.tensors.append(
            new_tensor(
                tree.buffers,
                values.shape,
                scale=scales or None,
                data=values,
                dtype=values.dtype.name,
                name=f"{name}/{suffix}",
            )
        )
    count = len(graph.tensors)
    return list(range(count - len(tensors), count))


def _tree(data: bytes) -> Any:
    """A model of one graph as objects, without the signatures: they name tensors by numbers that change."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    tree.signatureDefs = None
    return tree
