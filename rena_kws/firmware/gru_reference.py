"""The int8 semantics of a GRU layer, defined in NumPy: what a kernel must give bit for bit.

Gates as Keras' GRU with `reset_after` (Cho et al. 2014, in cuDNN's form, recalled): update z, reset r, candidate n:

    z = σ(W_z x + U_z h + b_z)      r = σ(W_r x + U_r h + b_r)
    n = tanh(W_n x + b_n + r · (U_n h + c_n))      h' = n + z · (h - n)

`Qm.n` means m integer and n fraction bits beside the sign; ⌊x⌉ is (x + half) >> n, ties towards plus infinity.

- x: int8 with the scale and zero point of its tensor. W and U: int8, symmetric, one scale for each gate.
- Sums of products and biases: int32. Each becomes Q3.12 by one multiplication (`GateScale`), saturated to int16.
- Between them: z and r saturate the sum to int16; n adds ⌊r · (U_n h + c_n) / 2^15⌉ and saturates.
- σ and tanh: 257 points of Q0.15, 1/16 apart, from `quantize.logistic` and `quantize.tanh`; straight lines between.
- h: Q0.15, so that small updates are not lost: h' = n + ⌊z · (h - n) / 2^15⌉, which fits in int32 and int16.
- What the next step multiplies and the layer gives: int8, scale 1/128, zero point 0, ⌊h / 2^8⌉ saturated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import ModelError
from rena_kws.firmware.quantize import logistic, quantize_multiplier, tanh

GATES = 3
STATE_SCALE = 1 / 128
GATE_FRACTION_BITS = 12
_BIAS_LIMIT = 1 << 30
_STEP_BITS = 8


@dataclass(frozen=True)
class GruConstants:
    """What a model file holds of a GRU. The first axis is the gate: z, r, n.

    `kernel` int8 [3, units, features] and `recurrent` int8 [3, units, units] have one scale a gate, symmetric. `bias`
    and `recurrent_bias` int32 [3, units] are in units of the product of their weights' scale and that of the input or
    the state.
    """

    kernel: NDArray[np.int8]
    recurrent: NDArray[np.int8]
    bias: NDArray[np.int32]
    recurrent_bias: NDArray[np.int32]
    kernel_scales: tuple[float, ...]
    recurrent_scales: tuple[float, ...]


@dataclass(frozen=True)
class GateScale:
    """From a sum to Q3.12: ((sum · 2^lift · multiplier / 2^32, rounded down) + half) / 2^shift, rounded down.

    `lift` is the most that leaves every possible sum in 32 bits, so the first rounding costs next to nothing; `half` is
    half of 2^shift. 0 to 31 bits both, `multiplier` below 2^31.
    """

    lift: int
    multiplier: int
    half: int
    shift: int

    @classmethod
    def of(cls, factor: float, largest: int) -> GateScale:
        """For sums up to `largest`. Raises `ModelError` where 32 bits do not hold those and their Q3.12."""
        multiplier, exponent = quantize_multiplier(factor)  # multiplier / 2^31 · 2^exponent
        lift = min(31 - largest.bit_length(), exponent + 32)
        shift = lift - 1 - exponent
        if lift < 0 or shift < 0:
            reach = largest * factor / (1 << GATE_FRACTION_BITS)
            raise ModelError(f"a GRU's gates read sums of 32 bits, up to {1 << 17:,}; these reach {reach:,.6g}")
        return cls(lift, multiplier, (1 << shift) >> 1, shift)


@dataclass(frozen=True)
class GateProducts:
    """One of the two products of all gates: `weights` int8 [3, units, depth], `bias` int32 [3, units] with the zero
    point of what is multiplied folded in, and a scale for the sums of each gate."""

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    scales: tuple[GateScale, ...]


@dataclass(frozen=True)
class QuantizedGru:
    """Integer parameters, ready to run."""

    from_input: GateProducts
    from_state: GateProducts

    @property
    def units(self) -> int:
        return int(self.from_state.bias.shape[1])


def quantize_gru(
    kernel: NDArray[np.float32], recurrent: NDArray[np.float32], bias: NDArray[np.float32], input_scale: float
) -> GruConstants:
    """Weights of `keras.layers.GRU(reset_after=True)` in integers; `bias` [2, 3 · units]: input, then recurrent."""
    gates = [part.astype(np.float64).reshape(GATES, -1) for part in bias]
    weights, scales, biases = _quantize_gates(kernel, gates[0], input_scale)
    recurrent_weights, recurrent_scales, recurrent_biases = _quantize_gates(recurrent, gates[1], STATE_SCALE)
    return GruConstants(weights, recurrent_weights, biases, recurrent_biases, scales, recurrent_scales)


def integer_gru(constants: GruConstants, input_scale: float, input_zero_point: int) -> QuantizedGru:
    """A GRU's constants for an input of this scale and zero point. Raises `ModelError` for what 32 bits do not hold."""
    c = constants
    return QuantizedGru(
        _gate_products(c.kernel, c.bias, c.kernel_scales, input_scale, input_zero_point),
        _gate_products(c.recurrent, c.recurrent_bias, c.recurrent_scales, STATE_SCALE, 0),
    )


def run_gru(gru: QuantizedGru, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """The states: [batch, time, features] to [batch, time, units] (scale 1/128, zero point 0), beginning with zeros.

    The layer gives the last of them.
    """
    batch, steps, _ = inputs.shape
    state = np.zeros((batch, gru.units), np.int64)
    outputs = np.zeros((batch, steps, gru.units), np.int8)
    for t in range(steps):
        z_in, r_in, n_in = _gate_sums(gru.from_input, inputs[:, t])
        z_state, r_state, n_state = _gate_sums(gru.from_state, _state_to_int8(state))
        z = _look_up(SIGMOID_TABLE, _saturate_int16(z_in + z_state))
        r = _look_up(SIGMOID_TABLE, _saturate_int16(r_in + r_state))
        n = _look_up(TANH_TABLE, _saturate_int16(n_in + _round_shift(r * n_state, 15)))
        state = n + _round_shift(z * (state - n), 15)
        outputs[:, t] = _state_to_int8(state)
    return outputs


def _quantize_gates(
    weights: NDArray[np.float32], bias: NDArray[np.float64], read_scale: float
) -> tuple[NDArray[np.int8], tuple[float, ...], NDArray[np.int32]]:
    """Weights in -127 … 127, one scale for each gate, and its biases [3, units].

    A gate of zeros has scale 1, and one whose weights are next to nothing a scale at which its biases fit.
    """
    gates = weights.astype(np.float64).reshape(len(weights), GATES, -1).transpose(1, 2, 0)
    largest = np.abs(gates).max(axis=(1, 2))
    least = np.abs(bias).max(axis=1) / (read_scale * (_BIAS_LIMIT - 1))
    # In single precision, as the file has them.
    scales = np.where(largest > 0, np.maximum(largest / 127, least), 1.0).astype(np.float32).astype(np.float64)
    integers = np.clip(np.rint(gates / scales[:, None, None]), -127, 127).astype(np.int8)
    biases = np.rint(bias / (scales[:, None] * read_scale))
    return integers, tuple(scales.tolist()), np.clip(biases, -_BIAS_LIMIT, _BIAS_LIMIT).astype(np.int32)


def _gate_products(
    weights: NDArray[np.int8], bias: NDArray[np.int32], scales: tuple[float, ...], read_scale: float, zero_point: int
) -> GateProducts:
    with_offset = bias.astype(np.int64) - zero_point * weights.astype(np.int64).sum(axis=2)
    largest = (np.abs(with_offset) + 128 * np.abs(weights.astype(np.int64)).sum(axis=2)).max(axis=1)
    factors = [scale * read_scale * (1 << GATE_FRACTION_BITS) for scale in scales]
    gate_scales = tuple(GateScale.of(factor, int(most)) for factor, most in zip(factors, largest, strict=True))
    return GateProducts(weights, with_offset.astype(np.int32), gate_scales)


def _gate_sums(products: GateProducts, x: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    """By gate W x + b, [batch, units] in Q3.12."""
    rows = x.astype(np.float64)  # which holds every sum, and has a fast product
    return [
        _to_gate_units((rows @ weights.T.astype(np.float64)).astype(np.int64) + bias, scale)
        for weights, bias, scale in zip(products.weights, products.bias, products.scales, strict=True)
    ]


def _to_gate_units(sums: NDArray[np.int64], scale: GateScale) -> NDArray[np.int64]:
    upper = ((sums << scale.lift) * scale.multiplier) >> 32
    return _saturate_int16((upper + scale.half) >> scale.shift)


def _look_up(table: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """A function of Q3.12 in Q0.15: the straight line between the points on either side."""
    index, rest = (x >> _STEP_BITS) + 128, x & ((1 << _STEP_BITS) - 1)
    left: NDArray[np.int64] = table[index]
    return left + _round_shift((table[index + 1] - left) * rest, _STEP_BITS)


def _round_shift(x: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    return (x + (1 << (bits - 1))) >> bits


def _saturate_int16(x: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


def _state_to_int8(state: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(_round_shift(state, 8), -128, 127)


_POINTS_Q4_27 = [i << 23 for i in range(-128, 129)]
SIGMOID_TABLE = np.array([min((logistic(x) + (1 << 15)) >> 16, 32767) for x in _POINTS_Q4_27], np.int64)
"""σ(i / 16) in Q0.15, i = -128 … 128."""
TANH_TABLE = np.array([min((tanh(x) + (1 << 15)) >> 16, 32767) for x in _POINTS_Q4_27], np.int64)
"""tanh(i / 16) in Q0.15, i = -128 … 128."""
