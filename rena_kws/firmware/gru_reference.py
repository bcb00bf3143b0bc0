"""The int8 semantics of a GRU layer, defined in NumPy: what a kernel must give bit for bit.

Gates as Keras' GRU with `reset_after` (Cho et al. 2014, in cuDNN's form, recalled): update z, reset r, candidate n:

    z = σ(W_z x + U_z h + b_z)      r = σ(W_r x + U_r h + b_r)
    n = tanh(W_n x + b_n + r · (U_n h + c_n))      h' = n + z · (h - n)

`Qm.n` means m integer and n fraction bits beside the sign; ⌊x⌉ is (x + half) >> n, ties towards plus infinity.

- x: int8 with the scale and zero point of its tensor. W and U: int8, symmetric, one scale for each gate.
- Sums of products and biases: int32. Both sums become Q3.12 as by `quantize.scale` (two roundings), but saturate, to
  int32 where the shift is to the left and to int16 at the end.
- Between them: z and r saturate the sum to int16; n adds ⌊r · (U_n h + c_n) / 2^15⌉ and saturates.
- σ and tanh: 257 points of Q0.15, 1/16 apart, from `quantize.logistic` and `quantize.tanh`; straight lines between.
- h: Q0.15, so that small updates are not lost: h' = n + ⌊z · (h - n) / 2^15⌉, which fits in int32 and int16.
- What the next step multiplies and the layer gives: int8, scale 1/128, zero point 0, ⌊h / 2^8⌉ saturated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.firmware.quantize import logistic, quantize_multiplier, tanh

GATES = 3
STATE_SCALE = 1 / 128
GATE_FRACTION_BITS = 12
_STEP_BITS = 8


@dataclass(frozen=True)
class QuantizedGru:
    """Integer parameters; columns are the units of z, then r, then n.

    `kernel` [features, 3 · units], `recurrent` [units, 3 · units]. `bias` and `recurrent_bias` [3 · units] are in units
    of their sums, the input's zero point folded into `bias`. `scales` and `recurrent_scales`: for each gate
    (multiplier in Q31, shift) from a sum to Q3.12.
    """

    kernel: NDArray[np.int8]
    recurrent: NDArray[np.int8]
    bias: NDArray[np.int32]
    recurrent_bias: NDArray[np.int32]
    scales: tuple[tuple[int, int], ...]
    recurrent_scales: tuple[tuple[int, int], ...]


def quantize_gru(
    kernel: NDArray[np.float32],
    recurrent: NDArray[np.float32],
    bias: NDArray[np.float32],
    input_scale: float,
    input_zero_point: int,
) -> QuantizedGru:
    """Weights of `keras.layers.GRU(reset_after=True)` in integers; `bias` [2, 3 · units]: input, then recurrent."""
    weights, weight_scales = _quantize_gates(kernel)
    recurrent_weights, recurrent_weight_scales = _quantize_gates(recurrent)
    sum_scales, recurrent_sum_scales = weight_scales * input_scale, recurrent_weight_scales * STATE_SCALE
    offset = input_zero_point * weights.astype(np.int64).sum(axis=0)
    return QuantizedGru(
        weights,
        recurrent_weights,
        _quantize_bias(bias[0], sum_scales, -offset),
        _quantize_bias(bias[1], recurrent_sum_scales, np.zeros_like(offset)),
        tuple(quantize_multiplier(float(s) * (1 << GATE_FRACTION_BITS)) for s in sum_scales),
        tuple(quantize_multiplier(float(s) * (1 << GATE_FRACTION_BITS)) for s in recurrent_sum_scales),
    )


def run_gru(gru: QuantizedGru, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """The states: [batch, time, features] to [batch, time, units] (scale 1/128, zero point 0), beginning with zeros."""
    batch, steps, _ = inputs.shape
    units = gru.recurrent.shape[0]
    state = np.zeros((batch, units), np.int64)
    outputs = np.zeros((batch, steps, units), np.int8)
    from_input = _to_gate_units(inputs.astype(np.int64) @ gru.kernel.astype(np.int64) + gru.bias, gru.scales)
    recurrent = gru.recurrent.astype(np.int64)
    for t in range(steps):
        sums = _state_to_int8(state) @ recurrent + gru.recurrent_bias
        from_state = _to_gate_units(sums, gru.recurrent_scales)
        z_in, r_in, n_in = np.split(from_input[:, t], GATES, axis=-1)
        z_state, r_state, n_state = np.split(from_state, GATES, axis=-1)
        z = _look_up(SIGMOID_TABLE, _saturate_int16(z_in + z_state))
        r = _look_up(SIGMOID_TABLE, _saturate_int16(r_in + r_state))
        n = _look_up(TANH_TABLE, _saturate_int16(n_in + _round_shift(r * n_state, 15)))
        state = n + _round_shift(z * (state - n), 15)
        outputs[:, t] = _state_to_int8(state)
    return outputs


def _quantize_gates(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Weights in -127 … 127 and one scale for each gate; a gate of zeros has scale 1."""
    gates = weights.astype(np.float64).reshape(weights.shape[0], GATES, -1)
    largest = np.abs(gates).max(axis=(0, 2))
    scales = np.where(largest > 0, largest / 127, 1.0)
    return np.rint(gates / scales[:, None]).astype(np.int8).reshape(weights.shape), scales


def _quantize_bias(
    bias: NDArray[np.float32], sum_scales: NDArray[np.float64], offset: NDArray[np.int64]
) -> NDArray[np.int32]:
    sums = np.rint(bias.astype(np.float64).reshape(GATES, -1) / sum_scales[:, None]).ravel() + offset
    return np.clip(sums, -(1 << 30), 1 << 30).astype(np.int32)


def _to_gate_units(sums: NDArray[np.int64], scales: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    """`quantize.scale` of each gate's columns, saturated; a shift to the left saturates too instead of wrapping."""
    units = sums.shape[-1] // GATES
    multiplier = np.repeat([m for m, _ in scales], units)
    shift = np.repeat([s for _, s in scales], units)
    raised = np.clip(sums << np.maximum(shift, 0), -(1 << 31), (1 << 31) - 1)
    product = (raised * multiplier + (1 << 30)) >> 31
    right = np.maximum(-shift, 0)
    mask = (1 << right) - 1
    return _saturate_int16((product >> right) + ((product & mask) > (mask >> 1) + (product < 0)))


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
