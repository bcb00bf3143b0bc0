"""A .tflite whose dense layers know few weight levels, made of any other: it shows what such a network costs, no more.

python tests/few_levels.py kws_ref_model.tflite ternary kws_ternary.tflite
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

DENSE_OPERATORS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED)


def ternary(rows: NDArray[np.int8]) -> NDArray[np.int8]:
    """-127, 0 and 127; below 0.7 of a channel's mean magnitude 0 (Li et al., arXiv 1605.04711, recalled)."""
    magnitudes = np.abs(rows.astype(np.float64))
    kept = magnitudes > 0.7 * magnitudes.mean(axis=1, keepdims=True)
    return (127 * np.sign(rows) * kept).astype(np.int8)


def four_bits(rows: NDArray[np.int8]) -> NDArray[np.int8]:
    """Fifteen levels a channel, as a converter stores them: round(127 · k / 7)."""
    shares = rows / np.abs(rows.astype(np.float64)).max(axis=1, keepdims=True)
    return np.round(127 * np.round(7 * shares) / 7).astype(np.int8)


LEVELS: Mapping[str, Callable[[NDArray[np.int8]], NDArray[np.int8]]] = {"ternary": ternary, "four-bits": four_bits}


def with_levels(model: bytes, name: str) -> bytes:
    """The model with the weights of all dense layers, [channels, depth] each, rewritten."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    graph = tree.subgraphs[0]
    for op in graph.operators:
        code = tree.operatorCodes[op.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) in DENSE_OPERATORS:
            weights = graph.tensors[op.inputs[1]]
            buffer = tree.buffers[weights.buffer]
            rows = np.frombuffer(bytes(buffer.data), np.int8).reshape(weights.shape[0], -1)
            buffer.data = np.frombuffer(LEVELS[name](rows).tobytes(), np.uint8)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(tree.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    source, levels, target = sys.argv[1:]
    Path(target).write_bytes(with_levels(Path(source).read_bytes(), levels))
