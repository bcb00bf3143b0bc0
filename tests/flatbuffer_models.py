"""Small int8 TFLite models made without TensorFlow, by filling in the flatbuffer schema's objects.

builder = ModelBuilder()
x = builder.tensor((1, 8, 8, 3), scale=0.1, zero_point=-5)
y = builder.tensor((1, 4, 4, 3), scale=0.1, zero_point=-5)
builder.op("MAX_POOL_2D", [x], [y], "Pool2DOptions", padding=0, strideW=2, strideH=2, filterWidth=2, filterHeight=2)
data = builder.build([x], [y])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel

_TYPES = {"int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32, "float32": schema.TensorType.FLOAT32}


class ModelBuilder:
    """Collects tensors and operators, in execution order, and packs them."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._ops: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._codes: list[str] = []

    def tensor(
        self,
        shape: Sequence[int],
        *,
        scale: float | Sequence[float] | None = None,
        zero_point: int = 0,
        axis: int = 0,
        data: NDArray[Any] | None = None,
        dtype: str = "int8",
    ) -> int:
        """A new tensor's index; a constant if it has data, per channel along `axis` if it has several scales."""
        tensor = schema.TensorT()
        tensor.name = f"tensor_{len(self._tensors)}".encode()
        tensor.shape = list(shape)
        tensor.type = _TYPES[dtype]
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            quantization.zeroPoint = np.full(len(quantization.scale), zero_point, np.int64)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def op(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: str = "", **fields: Any) -> None:
        """An operator; `options` is the schema's table for it and `fields` its members. "CUSTOM X" is a custom one."""
        op = schema.OperatorT()
        if name not in self._codes:
            self._codes.append(name)
        op.opcodeIndex = self._codes.index(name)
        op.inputs, op.outputs = list(inputs), list(outputs)
        if options:
            op.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            op.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in fields.items():
                if not hasattr(op.builtinOptions, field):
                    raise AttributeError(f"{options} has no member {field}")
                setattr(op.builtinOptions, field, value)
        self._ops.append(op)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._tensors[tensor].shape)

    def build(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self._tensors, self._ops
        subgraph.inputs, subgraph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [subgraph], self._buffers
        model.operatorCodes = [self._code(name) for name in self._codes]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    @staticmethod
    def _code(name: str) -> Any:
        code = schema.OperatorCodeT()
        name, _, code.customCode = name.partition(" ")
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        return code


def small_conv_model(input_scale: float = 0.05) -> ConvertedModel:
    """A 3×3 convolution, a dense layer and a softmax over five classes, with random weights; input int8[1, 8, 6, 1]."""
    rng = np.random.default_rng(0)
    model = ModelBuilder()
    x = model.tensor((1, 8, 6, 1), scale=input_scale, zero_point=-3)
    kernel = model.tensor((4, 3, 3, 1), scale=[0.02] * 4, data=rng.integers(-127, 128, (4, 3, 3, 1)))
    features = model.tensor((1, 4, 3, 4), scale=0.1, zero_point=-128)
    model.op("CONV_2D", [x, kernel], [features], "Conv2DOptions", padding=0, strideW=2, strideH=2)
    flat = model.tensor((1, 48), scale=0.1, zero_point=-128)
    model.op("RESHAPE", [features], [flat], "ReshapeOptions", newShape=[1, 48])
    weights = model.tensor((5, 48), scale=0.01, data=rng.integers(-127, 128, (5, 48)))
    logits = model.tensor((1, 5), scale=0.05, zero_point=5)
    model.op("FULLY_CONNECTED", [flat, weights, -1], [logits], "FullyConnectedOptions")
    shares = model.tensor((1, 5), scale=1 / 256, zero_point=-128)
    model.op("SOFTMAX", [logits], [shares], "SoftmaxOptions", beta=1.0)
    return ConvertedModel("tflite", model.build([x], [shares]), "small")
