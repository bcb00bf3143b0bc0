"""Elementwise arithmetic, functions of one value, softmax and data movement → kernel calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from rena_kws.firmware.graph import Tensor
from rena_kws.firmware.operands import ByRows, Call, Operands
from rena_kws.firmware.quantize import (
    INT8_MAX,
    INT8_MIN,
    activation_range,
    clamp,
    divide_by_power_of_two,
    logistic,
    quantize_float,
    quantize_multiplier,
    scale,
    softmax_table,
    tanh,
)
from rena_kws.firmware.requantize import MAX_RIGHT_SHIFT
from rena_kws.firmware.window import Window

ADD_LEFT_SHIFT = 20
"""Bits by which the reference raises both operands of a sum before it scales them; KWS_ADD_LEFT_SHIFT."""

MAX_SOFTMAX_DEPTH = 511
"""More classes than this could overflow the reference's sum of exponentials."""


def _arithmetic(op: Operands, function: str) -> tuple[Call, ...]:
    out = op.output()
    first, second = _broadcast_order(op, op.input(0), op.input(1))
    op.expect_shape(out, *first.shape)
    if function == "add":
        common = 2.0 * max(first.scale, second.scale)
        first_factor, second_factor = first.scale / common, second.scale / common
        factor = common / ((1 << ADD_LEFT_SHIFT) * out.scale)
    else:
        first_factor = second_factor = 0.0
        factor = first.scale * second.scale / out.scale
    if factor >= 1 << 30:
        raise op.error("its scales differ by more than a factor of 2^30")
    fields = {
        "length": first.elements,
        "second_length": second.elements,
        "first_zero_point": first.zero_point,
        "second_zero_point": second.zero_point,
    }
    for name, real in (("first", first_factor), ("second", second_factor), ("output", factor)):
        fields[f"{name}_multiplier"], fields[f"{name}_shift"] = quantize_multiplier(real)
    low, high = activation_range(op.activation(), out.scale, out.zero_point)
    fields |= {"output_zero_point": out.zero_point, "output_min": low, "output_max": high}
    # An operand whose scale is next to nothing beside the other's has a factor that 32 bits do not hold.
    near = all(fields[f"{name}_multiplier"] and fields[f"{name}_shift"] >= -30 for name in ("first", "second"))
    plain = near and (low, high) == (INT8_MIN, INT8_MAX) and -MAX_RIGHT_SHIFT <= fields["output_shift"] < 0
    if function == "add" and not (plain and first.elements == second.elements):
        function = "add_portable"
    operands = (first.index, second.index, out.index)
    in_place = operands[:2] if first.elements == second.elements else operands[:1]
    call = Call("arithmetic", function, "arithmetic", fields, operands, in_place=in_place)
    return (replace(call, by_rows=_sum_by_rows(call, first, second)),)


def _sum_by_rows(call: Call, first: Tensor, second: Tensor) -> ByRows | None:
    """Two images of one shape, by rows; None for anything else."""
    if len(first.shape) != 4 or first.shape[0] != 1 or second.shape != first.shape:
        return None
    size = first.shape[1], first.shape[2]
    row = first.shape[2] * first.shape[3]
    window = Window((1, 1), (1, 1), (1, 1), size, size, (0, 0))
    length = f"band->output_height * {row}"
    banded = replace(call, members={"length": length, "second_length": length})
    return ByRows(window, lambda _: banded)


def _broadcast_order(op: Operands, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The operands, the larger first; sum and product do not depend on the order. Raises `ModelError`."""
    if (first.elements, len(first.shape)) < (second.elements, len(second.shape)):
        first, second = second, first
    repeated = second.shape
    while repeated and repeated[0] == 1:
        repeated = repeated[1:]
    if len(second.shape) > len(first.shape) or first.shape[len(first.shape) - len(repeated) :] != repeated:
        raise op.error(
            f"tensors {first.label} and {second.label} have the shapes {first.shape} and {second.shape};"
            " supported are equal shapes, or one that is the end of the other"
        )
    return first, second


def add(op: Operands) -> tuple[Call, ...]:
    return _arithmetic(op, "add")


def mul(op: Operands) -> tuple[Call, ...]:
    return _arithmetic(op, "multiply")


def _lookup(op: Operands, function: Callable[[Tensor, Tensor], Callable[[int], int]]) -> tuple[Call, ...]:
    """An operator that maps each int8 value by itself: its 256 values are computed here."""
    x, out = op.input(0), op.output()
    op.expect_elements(out, x.elements)
    value = function(x, out)
    table = np.array([clamp(value(q)) for q in range(INT8_MIN, INT8_MAX + 1)], np.int8)
    fields = {"table": table, "length": x.elements}
    return (Call("lookup", "lookup", "lookup", fields, (x.index, out.index), in_place=(x.index,)),)


def _requantized(x: Tensor, out: Tensor) -> Callable[[int], int]:
    multiplier, shift = quantize_multiplier(x.scale / out.scale)
    return lambda q: scale(q - x.zero_point, multiplier, shift) + out.zero_point


def quantize(op: Operands) -> tuple[Call, ...]:
    return _lookup(op, _requantized)


def relu(op: Operands) -> tuple[Call, ...]:
    def function(x: Tensor, out: Tensor) -> Callable[[int], int]:
        requantized = _requantized(x, out)
        return lambda q: max(requantized(q), out.zero_point)

    return _lookup(op, function)


def relu6(op: Operands) -> tuple[Call, ...]:
    def function(x: Tensor, _: Tensor) -> Callable[[int], int]:
        # The reference clamps in the input's units and leaves the scale alone.
        six = clamp(x.zero_point + quantize_float(6.0, x.scale))
        return lambda q: clamp(q, x.zero_point, six)

    return _lookup(op, function)


def _sigmoid(op: Operands, zero_point: int, scale_bits: int, function: Callable[[int], int]) -> tuple[Call, ...]:
    """A function of Q4.27 to Q0.31 that is flat outside of some reach; the output's quantisation is fixed."""
    out = op.output()
    if out.zero_point != zero_point or out.scale != 2.0**-scale_bits:
        raise op.error(f"tensor {out.label} needs the scale 1/{1 << scale_bits} and the zero point {zero_point}")

    def quantized(x: Tensor, _: Tensor) -> Callable[[int], int]:
        multiplier, shift = quantize_multiplier(x.scale * (1 << 27))  # to Q4.27
        reach = math.floor(15 * (1 << 27) / 2.0**shift)

        def value(q: int) -> int:
            if abs(q - x.zero_point) >= reach:
                return INT8_MAX if q > x.zero_point else INT8_MIN
            result = function(scale(q - x.zero_point, multiplier, shift))
            return divide_by_power_of_two(result, 31 - scale_bits) + zero_point

        return value

    return _lookup(op, quantized)


def logistic_op(op: Operands) -> tuple[Call, ...]:
    return _sigmoid(op, INT8_MIN, 8, logistic)


def tanh_op(op: Operands) -> tuple[Call, ...]:
    return _sigmoid(op, 0, 7, tanh)


def softmax(op: Operands) -> tuple[Call, ...]:
    x, out = op.input(0), op.output()
    op.expect_shape(out, *x.shape)
    depth = x.shape[-1] if x.shape else 1
    beta = op.op.options.get("beta", 1.0)
    if out.zero_point != INT8_MIN or out.scale != 1 / 256:
        raise op.error(f"tensor {out.label} needs the scale 1/256 and the zero point -128")
    if depth > MAX_SOFTMAX_DEPTH:
        raise op.error(f"tensor {x.label} has {depth} classes; supported are up to {MAX_SOFTMAX_DEPTH}")
    if not (math.isfinite(beta) and beta * x.scale * (1 << 26) > 1):
        raise op.error(f"beta {beta} with the input scale {x.scale}; their product must exceed 2^-26")
    table = np.array(softmax_table(x.scale, beta), np.int32)
    fields = {"exponentials": table, "table_length": len(table), "rows": x.elements // depth, "depth": depth}
    return (Call("softmax", "softmax", "softmax", fields, (x.index, out.index), in_place=(x.index,)),)


def concatenation(op: Operands) -> tuple[Call, ...]:
    out = op.output()
    rank = len(out.shape)
    axis = op.op.options.get("axis", 0)
    axis += rank * (axis < 0)
    if not 0 <= axis < rank or op.activation() != "NONE":
        raise op.error(f"axis {axis} of {rank} dimensions, activation {op.activation()}; supported is NONE")
    outer, inner = math.prod(out.shape[:axis]), math.prod(out.shape[axis + 1 :])
    calls, start = [], 0
    for position in range(len(op.op.inputs)):
        x = op.input(position)
        if (x.scale, x.zero_point) != (out.scale, out.zero_point):
            raise op.error(f"tensor {x.label} differs in scale or zero point from the output; supported are equal ones")
        if len(x.shape) != rank:
            raise op.error(f"tensor {x.label} has the shape {x.shape}; {rank} dimensions were expected")
        op.expect_shape(x, *out.shape[:axis], x.shape[axis], *out.shape[axis + 1 :])
        fields = {
            "rows": outer,
            "row_bytes": x.shape[axis] * inner,
            "row_offset": start * inner,
            "row_stride": out.shape[axis] * inner,
        }
        calls.append(Call("layout", "concatenate", "concatenate", fields, (x.index, out.index)))
        start += x.shape[axis]
    if start != out.shape[axis]:
        raise op.error(f"tensor {out.label} has the shape {out.shape}; its inputs sum to {start} along axis {axis}")
    return tuple(calls)


def pad(op: Operands) -> tuple[Call, ...]:
    x, out = op.input(0), op.output()
    paddings = op.constant(1, "int32", "int64")
    rank = len(x.shape)
    op.expect_shape(paddings, rank, 2)
    if rank > 4:
        raise op.error(f"tensor {x.label} has {rank} dimensions; supported are up to 4")
    amounts = [(int(before), int(after)) for before, after in np.asarray(paddings.data)]
    if any(before < 0 or after < 0 for before, after in amounts):
        raise op.error(f"paddings {amounts}; they must not be negative")
    op.expect_shape(out, *(size + before + after for size, (before, after) in zip(x.shape, amounts, strict=True)))
    value = out.zero_point
    if op.op.name == "PADV2":
        constant = op.constant(2, "int8")
        op.expect_elements(constant, 1)
        value = int(np.ravel(np.asarray(constant.data))[0])
    missing = 4 - rank
    fields = {
        "input": [1] * missing + list(x.shape),
        "output": [1] * missing + list(out.shape),
        "before": [0] * missing + [before for before, _ in amounts],
        "value": value,
    }
    return (Call("layout", "pad", "pad", fields, (x.index, out.index)),)


def strided_slice(op: Operands) -> tuple[Call, ...]:
    x, out = op.input(0), op.output()
    rank = len(x.shape)
    if rank > 4:
        raise op.error(f"tensor {x.label} has {rank} dimensions; supported are up to 4")
    bounds = []
    for position in (1, 2, 3):
        constant = op.constant(position, "int32")
        op.expect_shape(constant, rank)
        bounds.append([int(value) for value in np.ravel(np.asarray(constant.data))])
    masks = {name: int(op.op.options.get(f"{name}Mask", 0)) for name in ("begin", "end", "shrinkAxis")}
    if any(op.op.options.get(name, 0) for name in ("ellipsisMask", "newAxisMask", "offset")):
        raise op.error(
            "an ellipsis, a new axis or ends as offsets; supported are begin, end, stride and axes that are dropped"
        )
    start, step, sizes = [0] * (4 - rank), [1] * (4 - rank), [1] * (4 - rank)
    for axis, (size, begin, end, stride) in enumerate(zip(x.shape, *bounds, strict=True)):
        if stride == 0:
            raise op.error(f"a stride of 0 on axis {axis}")
        bit = 1 << axis
        if masks["shrinkAxis"] & bit:
            taken = range(size)[begin : begin + 1 or None]
        else:
            taken = range(size)[None if masks["begin"] & bit else begin : None if masks["end"] & bit else end : stride]
        if not taken:
            raise op.error(f"nothing is left of axis {axis}")
        start.append(taken.start)
        step.append(taken.step)
        sizes.append(len(taken))
    op.expect_elements(out, math.prod(sizes))
    shape = [1] * (4 - rank) + list(x.shape)
    steps = [step[i] * math.prod(shape[i + 1 :]) for i in range(4)]
    first = sum(start[i] * math.prod(shape[i + 1 :]) for i in range(4))
    fields = {"first": first, "output": sizes, "step": steps}
    return (Call("layout", "slice", "slice", fields, (x.index, out.index)),)


def shape_only(op: Operands) -> tuple[Call, ...]:
    """Nothing to run: the plan lets the output share the input's storage."""
    op.expect_elements(op.output(), op.input(0).elements)
    return ()


LOWERINGS: Mapping[str, Callable[[Operands], tuple[Call, ...]]] = {
    "ADD": add,
    "CONCATENATION": concatenation,
    "EXPAND_DIMS": shape_only,
    "LOGISTIC": logistic_op,
    "MUL": mul,
    "PAD": pad,
    "PADV2": pad,
    "QUANTIZE": quantize,
    "RELU": relu,
    "RELU6": relu6,
    "RESHAPE": shape_only,
    "SOFTMAX": softmax,
    "SQUEEZE": shape_only,
    "STRIDED_SLICE": strided_slice,
    "TANH": tanh_op,
}
