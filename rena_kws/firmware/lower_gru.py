"""The GRU → its kernel call. In a file it is a custom operator, since TFLite has none:

inputs    x int8 [1, steps, features], and the constants of `GruConstants` in their order; the weights carry a scale
          for each gate along dimension 0
output    int8 [1, units], the last state: scale 1/128, zero point 0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rena_kws.errors import ModelError
from rena_kws.firmware.graph import GRU, Tensor
from rena_kws.firmware.gru_reference import (
    GATES,
    SIGMOID_TABLE,
    STATE_SCALE,
    TANH_TABLE,
    GateProducts,
    GruConstants,
    QuantizedGru,
    integer_gru,
)
from rena_kws.firmware.operands import Call, Operands

BLOCK = 4
"""KWS_GRU_BLOCK of kws_gru.h."""


def gru_of(op: Operands) -> QuantizedGru:
    """The operator's parameters in integers. Raises `ModelError` where its tensors do not fit together."""
    x, out = op.input(0), op.output()
    if len(x.shape) != 3 or x.shape[0] != 1:
        raise op.error(f"tensor {x.label} has the shape {x.shape}; supported is (1, steps, features)")
    if out.scale != STATE_SCALE or out.zero_point != 0:
        raise op.error(
            f"the state {out.label} has scale 1/128 and zero point 0; got {out.scale:g} and {out.zero_point}"
        )
    units = out.elements
    op.expect_shape(out, 1, units)
    kernel, recurrent = op.constant(1, "int8"), op.constant(2, "int8")
    bias, recurrent_bias = op.constant(3, "int32"), op.constant(4, "int32")
    op.expect_shape(kernel, GATES, units, x.shape[2])
    op.expect_shape(recurrent, GATES, units, units)
    op.expect_shape(bias, GATES, units)
    op.expect_shape(recurrent_bias, GATES, units)
    for weights in (kernel, recurrent):
        _expect_scale_a_gate(op, weights)
    constants = GruConstants(
        np.asarray(kernel.data),
        np.asarray(recurrent.data),
        np.asarray(bias.data),
        np.asarray(recurrent_bias.data),
        kernel.scales,
        recurrent.scales,
    )
    try:
        return integer_gru(constants, x.scale, x.zero_point)
    except ModelError as error:
        raise op.error(str(error)) from None


def _expect_scale_a_gate(op: Operands, weights: Tensor) -> None:
    if len(weights.scales) != GATES or weights.quantized_dimension != 0 or any(weights.zero_points):
        raise op.error(f"weights {weights.label} need a scale for each of {GATES} gates and zero points of 0")


def gru(op: Operands) -> tuple[Call, ...]:
    parameters, x, out = gru_of(op), op.input(0), op.output()
    fields = {
        "steps": x.shape[1],
        "features": x.shape[2],
        "units": parameters.units,
        "from_input": products_of(parameters.from_input),
        "from_state": products_of(parameters.from_state),
        "sigmoid": SIGMOID_TABLE.astype(np.int16),
        "tanh": TANH_TABLE.astype(np.int16),
    }
    needed = scratch_bytes(x.shape[2], parameters.units)
    return (Call("gru", "gru", "gru", fields, (x.index, out.index), scratch_bytes=needed),)


def scratch_bytes(features: int, units: int) -> int:
    """What kws_gru.h asks for."""
    return 3 * _in_blocks(units) + (_in_blocks(features) if features % BLOCK else 0)


def _in_blocks(depth: int) -> int:
    return -(-depth // BLOCK) * BLOCK


def products_of(products: GateProducts) -> dict[str, Any]:
    """The members of kws_gru_products."""
    gates, units, depth = products.weights.shape
    padded = np.pad(products.weights, ((0, 0), (0, 0), (0, -depth % BLOCK)))
    return {
        "weights": np.ascontiguousarray(padded.reshape(gates, units, -1, BLOCK).transpose(1, 2, 0, 3)),
        "bias": np.ascontiguousarray(products.bias.T),
        "depth": padded.shape[2],
        **{name: vars(scale) for name, scale in zip(("update", "reset", "candidate"), products.scales, strict=True)},
    }


LOWERINGS: Mapping[str, Callable[[Operands], tuple[Call, ...]]] = {GRU: gru}
