"""A .tflite file as a plain, checked graph: tensors, operators in execution order, inputs and outputs.

Everything that a file from outside can get wrong is answered here, as a `ModelError` of one line; the stages after this
one trust the graph. It reads the flatbuffer through the schema classes that LiteRT ships, which need no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import ModelError

MAX_TENSOR_BYTES = 1 << 28
"""Larger than the address space any supported chip has for RAM or flash; a larger tensor is a damaged file."""

GRU = "CUSTOM KWS_GRU"
"""Our own operator (see lower_gru.py), as the graph names it."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: `scales` is empty where it is not quantised, longer than one where it is per channel.

    `data` holds the values of a constant, in `shape`, and is None for a tensor that is computed.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    quantized_dimension: int = 0
    data: NDArray[Any] | None = None

    @property
    def label(self) -> str:
        """The name as messages give it. Converters join the names of fused operators with `;`: the first is enough."""
        return _label(self.name)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.elements * np.dtype(self.dtype).itemsize

    @property
    def scale(self) -> float:
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        return self.zero_points[0]


@dataclass(frozen=True)
class Op:
    """One operator. `inputs` are tensor indices, -1 for an absent optional one; `options` the schema's fields."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A network: `ops` in execution order, each reading only inputs, constants and what an earlier one wrote."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def input(self, op: Op, position: int) -> Tensor | None:
        """The tensor at an input position of `op`, None where it is absent."""
        index = op.inputs[position] if position < len(op.inputs) else -1
        return self.tensors[index] if index >= 0 else None

    def macs(self, op: Op) -> int:
        """Multiply-accumulates of `op`: those of convolutions, dense and GRU layers, 0 for any other."""
        weights, out = self.input(op, 1), self.tensors[op.outputs[0]]
        if weights is None:
            return 0
        if op.name == "CONV_2D":
            return out.elements * math.prod(weights.shape[1:])
        if op.name == "DEPTHWISE_CONV_2D":
            return out.elements * math.prod(weights.shape[1:3])
        if op.name == "FULLY_CONNECTED":
            return out.elements * weights.shape[-1]
        x, recurrent = self.input(op, 0), self.input(op, 2)
        if op.name == GRU and x and recurrent:
            return x.shape[1] * (weights.elements + recurrent.elements)
        return 0


def read_graph(model: ConvertedModel) -> Graph:
    """The graph of a .tflite model. Raises `ModelError` for anything that is no readable model of one static graph."""
    data = model.data
    if model.format != "tflite":
        raise ModelError(f"{model.name}: firmware is made from a .tflite model, not from {model.format}")
    if not data:
        raise ModelError(f"{model.name}: the file is empty, a .tflite model was expected")
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise ModelError(f"{model.name}: not a TFLite file (its identifier TFL3 is missing)")
    try:
        graph = _Reader(data).read()
    except ModelError as error:
        raise ModelError(f"{model.name}: {error}") from None
    except Exception:
        # The schema classes follow offsets of the file without a check: damage shows as any exception at all.
        raise ModelError(f"{model.name}: damaged or truncated TFLite file of {len(data)} bytes") from None
    return graph


def custom_operators(model: ConvertedModel) -> tuple[str, ...]:
    """The operators of a .tflite model that are none of TFLite's, as the graph names them.

    Nothing for a file that cannot be read: whoever runs it will say so.
    """
    if model.format != "tflite" or model.data[4:8] != b"TFL3":
        return ()
    try:
        root = schema.Model.GetRootAs(model.data)
        names = (_op_name(root.OperatorCodes(index)) for index in range(root.OperatorCodesLength()))
        return tuple(name for name in names if name.startswith("CUSTOM "))
    except Exception:  # Damage shows as any exception at all
        return ()


def _op_name(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OP_NAMES.get(number, f"operator {number}")
    return f"{name} {(code.CustomCode() or b'').decode('utf-8', 'replace')}" if name == "CUSTOM" else name


def _label(name: str) -> str:
    return repr(name.split(";")[0][:80])


def _names_of(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


_OP_NAMES = _names_of(schema.BuiltinOperator)
_TYPE_NAMES = {code: name.lower() for code, name in _names_of(schema.TensorType).items()}
_ACTIVATIONS = _names_of(schema.ActivationFunctionType)
_PADDINGS = _names_of(schema.Padding)
_OPTION_NAMES = _names_of(schema.BuiltinOptions)


class _Reader:
    """Walks one flatbuffer. Any exception may leave it; `read_graph` turns those into one line."""

    def __init__(self, data: bytes) -> None:
        self._model = schema.Model.GetRootAsModel(data, 0)
        self._size = len(data)

    def read(self) -> Graph:
        if self._model.Version() != 3:
            raise ModelError(f"TFLite schema version {self._model.Version()}, only 3 is supported")
        if self._model.SubgraphsLength() != 1:
            raise ModelError(f"the model has {self._model.SubgraphsLength()} subgraphs, only 1 is supported")
        subgraph = self._model.Subgraphs(0)
        count = subgraph.TensorsLength()
        tensors = tuple(self._tensor(index, subgraph.Tensors(index)) for index in range(count))
        ops = tuple(self._op(index, subgraph.Operators(index), count) for index in range(subgraph.OperatorsLength()))
        inputs = _indices(subgraph.InputsAsNumpy(), count)
        outputs = _indices(subgraph.OutputsAsNumpy(), count)
        graph = Graph(tensors, ops, inputs, outputs)
        _check_order(graph)
        return graph

    def _tensor(self, index: int, table: Any) -> Tensor:
        name = (table.Name() or b"").decode("utf-8", "replace")
        where = f"tensor {index} {_label(name)}"
        shape = tuple(int(size) for size in table.ShapeAsNumpy()) if table.ShapeLength() else ()
        if any(size < 1 for size in shape):
            raise ModelError(f"{where} has the shape {shape}; every dimension must be fixed and positive")
        dtype = _TYPE_NAMES.get(table.Type(), f"type {table.Type()}")
        if dtype not in np.sctypeDict:
            raise ModelError(f"{where} is of {dtype}, which is not supported")
        if math.prod(shape) * np.dtype(dtype).itemsize > MAX_TENSOR_BYTES:
            raise ModelError(f"{where} of shape {shape} exceeds {MAX_TENSOR_BYTES} bytes")
        scales, zero_points, dimension = _quantization(where, table.Quantization(), shape)
        return Tensor(index, name, shape, dtype, scales, zero_points, dimension, self._data(where, table, shape, dtype))

    def _data(self, where: str, table: Any, shape: tuple[int, ...], dtype: str) -> NDArray[Any] | None:
        if not 0 <= table.Buffer() < self._model.BuffersLength():
            raise ModelError(f"{where} refers to buffer {table.Buffer()}, which does not exist")
        buffer = self._model.Buffers(table.Buffer())
        if not buffer.DataLength():
            return None
        data: NDArray[Any] = buffer.DataAsNumpy()
        expected = math.prod(shape) * np.dtype(dtype).itemsize
        if data.nbytes != expected:
            raise ModelError(f"{where} of shape {shape} needs {expected} bytes of data, the file has {data.nbytes}")
        return data.view(np.dtype(dtype).newbyteorder("<")).reshape(shape)

    def _op(self, index: int, table: Any, tensor_count: int) -> Op:
        code = self._model.OperatorCodes(table.OpcodeIndex())
        if not 0 <= table.OpcodeIndex() < self._model.OperatorCodesLength():
            raise ModelError(f"operator {index} has the operator code {table.OpcodeIndex()}, which does not exist")
        name = _op_name(code)
        inputs = _indices(table.InputsAsNumpy(), tensor_count, optional=True) if table.InputsLength() else ()
        outputs = _indices(table.OutputsAsNumpy(), tensor_count) if table.OutputsLength() else ()
        if not outputs:
            raise ModelError(f"operator {index} {name} has no output")
        return Op(index, name, inputs, outputs, MappingProxyType(_options(table)))


def _indices(values: NDArray[np.int32] | int, count: int, optional: bool = False) -> tuple[int, ...]:
    """Tensor indices of an operator or graph, each checked. The schema classes give 0 for an absent vector."""
    if isinstance(values, int):
        return ()
    result = tuple(int(value) for value in values)
    for value in result:
        if not (-1 if optional else 0) <= value < count:
            raise ModelError(f"tensor index {value} is out of range, the model has {count} tensors")
    return result


def _quantization(where: str, table: Any, shape: Sequence[int]) -> tuple[tuple[float, ...], tuple[int, ...], int]:
    """Scales, zero points and the dimension they run along; all checked, so that later stages can divide by a scale."""
    if table is None or not table.ScaleLength():
        return (), (), 0
    scales = tuple(float(scale) for scale in table.ScaleAsNumpy())
    zeros = tuple(int(zero) for zero in table.ZeroPointAsNumpy()) if table.ZeroPointLength() else (0,) * len(scales)
    dimension = table.QuantizedDimension()
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ModelError(f"{where} has a scale that is not positive and finite")
    if len(zeros) != len(scales):
        raise ModelError(f"{where} has {len(scales)} scales but {len(zeros)} zero points")
    if len(scales) > 1 and not (0 <= dimension < len(shape) and shape[dimension] == len(scales)):
        raise ModelError(f"{where} of shape {tuple(shape)} has {len(scales)} scales along dimension {dimension}")
    return scales, zeros, dimension


def _options(table: Any) -> dict[str, Any]:
    """The operator's options by their schema names (`strideW`, `fusedActivationFunction`, …); enumerations as words."""
    name = _OPTION_NAMES.get(table.BuiltinOptionsType(), "NONE")
    union = table.BuiltinOptions()
    if name == "NONE" or union is None:
        return {}
    options = getattr(schema, name)()
    options.Init(union.Bytes, union.Pos)
    fields: dict[str, Any] = vars(getattr(schema, f"{name}T").InitFromObj(options))
    if "fusedActivationFunction" in fields:
        fields["fusedActivationFunction"] = _word(_ACTIVATIONS, fields["fusedActivationFunction"], "activation")
    if "padding" in fields:
        fields["padding"] = _word(_PADDINGS, fields["padding"], "padding")
    return fields


def _word(names: Mapping[int, str], value: int, what: str) -> str:
    if value not in names:
        raise ModelError(f"unknown {what} {value} (known: {', '.join(names.values())})")
    return names[value]


def _check_order(graph: Graph) -> None:
    """Every tensor is written once, before it is read. Raises `ModelError`."""
    if not graph.inputs or not graph.outputs:
        raise ModelError("the model has no input or no output")
    known = {tensor.index for tensor in graph.tensors if tensor.data is not None}
    if known & set(graph.inputs):
        raise ModelError("an input of the model is a constant")
    known |= set(graph.inputs)
    for op in graph.ops:
        for index in op.inputs:
            if index >= 0 and index not in known:
                raise ModelError(
                    f"operator {op.index} {op.name} reads {graph.tensors[index].label} before it is computed"
                )
        for index in op.outputs:
            if index in known:
                raise ModelError(f"operator {op.index} {op.name} writes {graph.tensors[index].label} a second time")
        known |= set(op.outputs)
    for index in graph.outputs:
        if index not in known:
            raise ModelError(f"the output {graph.tensors[index].label} is never computed")
