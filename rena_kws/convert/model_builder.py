"""TFLite models written operator by operator, by filling in the flatbuffer schema's objects. No TensorFlow needed.

    builder = ModelBuilder()
    x = builder.tensor((1, 8, 8, 3), scale=0.1, zero_point=-5)
    y = builder.tensor((1, 4, 4, 3), scale=0.1, zero_point=-5)
    builder.op("MAX_POOL_2D", [x], [y], "Pool2DOptions", padding=0, strideW=2, strideH=2, filterWidth=2, filterHeight=2)
    data = builder.build([x], [y])

What else a model runs, its initialisation say, is a subgraph with tensors and operators of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_ENUMERATIONS = {"padding": schema.Padding, "fusedActivationFunction": schema.ActivationFunctionType}
"""Option fields that may be given as words, as `firmware.graph` reads them."""


@dataclass
class _Shared:
    """What the subgraphs of a model have in common. `codes`: operator and version → index."""

    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    codes: dict[tuple[str, int], int] = field(default_factory=dict)


class SubgraphBuilder:
    """Collects tensors and operators, in execution order."""

    def __init__(self, shared: _Shared, name: str) -> None:
        self._shared, self._name = shared, name
        self._tensors: list[Any] = []
        self._ops: list[Any] = []

    def tensor(
        self,
        shape: Sequence[int],
        *,
        scale: float | Sequence[float] | None = None,
        zero_point: int = 0,
        axis: int = 0,
        data: NDArray[Any] | None = None,
        dtype: str = "int8",
        name: str = "",
    ) -> int:
        """A new tensor's index; a constant if it has data, per channel along `axis` if it has several scales."""
        tensor = new_tensor(
            self._shared.buffers,
            shape,
            scale=scale,
            zero_point=zero_point,
            axis=axis,
            data=data,
            dtype=dtype,
            name=name or f"tensor_{len(self._tensors)}",
        )
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def op(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        *,
        version: int = 1,
        **fields: Any,
    ) -> None:
        """An operator; `options` is the schema's table for it and `fields` its members. "CUSTOM X" is a custom one."""
        op = schema.OperatorT()
        op.opcodeIndex = self._shared.codes.setdefault((name, version), len(self._shared.codes))
        op.inputs, op.outputs = list(inputs), list(outputs)
        if options:
            op.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            op.builtinOptions = getattr(schema, f"{options}T")()
            for member, value in fields.items():
                if not hasattr(op.builtinOptions, member):
                    raise AttributeError(f"{options} has no member {member}")
                known = isinstance(value, str) and _ENUMERATIONS.get(member)
                setattr(op.builtinOptions, member, getattr(known, value) if known else value)
        self._ops.append(op)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._tensors[tensor].shape)

    def finish(self, inputs: Sequence[int] = (), outputs: Sequence[int] = ()) -> Any:
        """The subgraph as an object of the schema."""
        subgraph = schema.SubGraphT()
        subgraph.name = self._name.encode()
        subgraph.tensors, subgraph.operators = self._tensors, self._ops
        subgraph.inputs, subgraph.outputs = list(inputs), list(outputs)
        return subgraph


class ModelBuilder(SubgraphBuilder):
    """The main subgraph, and the others of its model."""

    def __init__(self) -> None:
        super().__init__(_Shared(), "main")
        self._others: list[SubgraphBuilder] = []

    def subgraph(self, name: str) -> tuple[int, SubgraphBuilder]:
        """One more subgraph, without inputs or outputs, and its index."""
        self._others.append(SubgraphBuilder(self._shared, name))
        return len(self._others), self._others[-1]

    def build(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The model as a file's bytes."""
        model = schema.ModelT()
        model.version, model.buffers = 3, self._shared.buffers
        model.subgraphs = [self.finish(inputs, outputs), *(other.finish() for other in self._others)]
        model.operatorCodes = [operator_code(name, version) for name, version in self._shared.codes]
        return packed(model)


def new_tensor(
    buffers: list[Any],
    shape: Sequence[int],
    *,
    scale: float | Sequence[float] | None = None,
    zero_point: int = 0,
    axis: int = 0,
    data: NDArray[Any] | None = None,
    dtype: str = "int8",
    name: str,
) -> Any:
    """A tensor as an object of the schema, as `SubgraphBuilder.tensor` says; its data go to the end of `buffers`."""
    tensor = schema.TensorT()
    tensor.name = name.encode()
    tensor.shape = list(shape)
    tensor.type = getattr(schema.TensorType, dtype.upper())
    tensor.buffer = 0
    if data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
        tensor.buffer = len(buffers)
        buffers.append(buffer)
    if scale is not None:
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
        quantization.zeroPoint = np.full(len(quantization.scale), zero_point, np.int64)
        quantization.quantizedDimension = axis
        tensor.quantization = quantization
    return tensor


def packed(model: Any) -> bytes:
    """The file of a model in the schema's objects."""
    builder = _AlignedBuilder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Constants begin at multiples of 16 bytes, as the schema demands and kernels with wide loads expect."""

    def CreateNumpyVector(self, x: NDArray[Any]) -> Any:
        if x.dtype == np.uint8:
            self.Prep(16, x.nbytes)
        return super().CreateNumpyVector(x)


def operator_code(name: str, version: int) -> Any:
    """An operator as an object of the schema; "CUSTOM X" is a custom one."""
    code = schema.OperatorCodeT()
    name, _, custom = name.partition(" ")
    code.customCode = custom or None
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code
