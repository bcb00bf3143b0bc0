"""The integer arithmetic of TensorFlow Lite Micro in exact Python: what the generator computes ahead of the C code.

Formulas follow TensorFlow's `quantization_util.cc`, `common.cc`, `kernel_util.cc` and gemmlowp's `fixedpoint.h` (read;
the build that the tests compare with rounds twice, i.e. without TFLITE_SINGLE_ROUNDING). `Qm.n` means m integer and n
fraction bits beside the sign.
"""

from __future__ import annotations

import math

import numpy as np

INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def quantize_multiplier(real: float) -> tuple[int, int]:
    """A non-negative factor as (multiplier in Q31, shift): real ≈ multiplier / 2^31 · 2^shift."""
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = round_half_away(fraction * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def round_half_away(x: float) -> int:
    """To the nearest integer, ties away from zero, as C's round()."""
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1) if abs(x) < 1 << 51 else int(x)


def multiply_q31(a: int, b: int) -> int:
    """a · b / 2^31 rounded to nearest, saturated (gemmlowp's SaturatingRoundingDoublingHighMul)."""
    return min((a * b + (1 << 30)) >> 31, INT32_MAX)


def divide_by_power_of_two(x: int, exponent: int) -> int:
    """x / 2^exponent rounded to nearest, ties away from zero (gemmlowp's RoundingDivideByPOT)."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def scale(x: int, multiplier: int, shift: int) -> int:
    """x · multiplier / 2^31 · 2^shift with two roundings (MultiplyByQuantizedMultiplier)."""
    return divide_by_power_of_two(multiply_q31(wrap_int32(x << max(shift, 0)), multiplier), max(-shift, 0))


def wrap_int32(x: int) -> int:
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def clamp(x: int, low: int = INT8_MIN, high: int = INT8_MAX) -> int:
    return max(low, min(x, high))


def activation_range(activation: str, output_scale: float, zero_point: int) -> tuple[int, int]:
    """The int8 values an output may take: real limits divided by the scale in single precision."""
    limits = {"NONE": (None, None), "RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
    low, high = (None if x is None else zero_point + quantize_float(x, output_scale) for x in limits[activation])
    return max(INT8_MIN, INT8_MIN if low is None else low), min(INT8_MAX, INT8_MAX if high is None else high)


def quantize_float(x: float, tensor_scale: float) -> int:
    """x / scale in single precision, rounded."""
    return round_half_away(float(np.float32(x) / np.float32(tensor_scale)))


def exp_of_negative(a: int, integer_bits: int) -> int:
    """exp(a) in Q0.31 for a ≤ 0 in Q(integer_bits) (gemmlowp's exp_on_negative_values).

    a is a multiple of 1/4, whose bits select factors exp(-2^k), and a rest for which a polynomial is enough.
    """
    if a == 0:
        return INT32_MAX
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    rest = (a & (quarter - 1)) - quarter
    result = _exp_of_small_negative(rest << integer_bits)
    for exponent, factor in zip(range(-2, integer_bits), _EXP_OF_MINUS_POWERS, strict=False):
        if (rest - a) & (1 << (fraction_bits + exponent)):
            result = multiply_q31(result, factor)
    return result


_EXP_OF_MINUS_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(-2^k) in Q0.31, k = -2 … 4."""


def _exp_of_small_negative(a: int) -> int:
    """exp(a) in Q0.31 for a in [-1/4, 0), Q0.31: a Taylor series of four terms around -1/8."""
    exp_of_minus_eighth, third = 1895147668, 715827883
    x = a + (1 << 28)
    square = multiply_q31(x, x)
    cube, fourth = multiply_q31(square, x), multiply_q31(square, square)
    tail = divide_by_power_of_two(multiply_q31(divide_by_power_of_two(fourth, 2) + cube, third) + square, 1)
    return exp_of_minus_eighth + multiply_q31(exp_of_minus_eighth, x + tail)


def softmax_table(input_scale: float, beta: float) -> list[int]:
    """exp(-i · input_scale · beta) in Q0.31 for i = 0 … 255; shorter where the reference takes the rest as 0."""
    real = min(float(np.float32(beta)) * input_scale * (1 << 26), (1 << 31) - 1.0)
    multiplier, shift = quantize_multiplier(real)
    reach = math.floor(31 * (1 << 26) / (1 << shift))
    return [exp_of_negative(multiply_q31(-i << shift, multiplier), 5) for i in range(min(reach, 255) + 1)]


def logistic(x: int) -> int:
    """1 / (1 + exp(-x)) in Q0.31 for x in Q4.27 (gemmlowp's logistic)."""
    if x == 0:
        return 1 << 30
    positive = clamp(_reciprocal_of_one_plus(exp_of_negative(-abs(x), 4)) << 1, INT32_MIN, INT32_MAX)
    return positive if x > 0 else INT32_MAX - positive


def tanh(x: int) -> int:
    """tanh(x) in Q0.31 for x in Q4.27 (gemmlowp's tanh): (1 - e) / (1 + e) = 2 / (1 + e) - 1 with e = exp(-2 |x|)."""
    if x == 0:
        return 0
    # The same bits read as Q5.26 are twice the value.
    reciprocal = _reciprocal_of_one_plus(exp_of_negative(-abs(x), 5))
    positive = clamp((reciprocal - (1 << 29)) << 2, INT32_MIN, INT32_MAX)
    return positive if x > 0 else -positive


def _reciprocal_of_one_plus(a: int) -> int:
    """2 / (1 + a) in Q2.29, for a in Q0.31 from 0 to 1: three Newton steps."""
    half_denominator = (a + INT32_MAX + 1) // 2
    x = 1515870810 + multiply_q31(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - multiply_q31(half_denominator, x)
        x += clamp(multiply_q31(x, error) << 2, INT32_MIN, INT32_MAX)
    return x
