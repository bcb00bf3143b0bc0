"""The exact integer arithmetic, against real arithmetic: how far its results may be from the true values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.firmware.quantize import (
    INT32_MAX,
    INT32_MIN,
    activation_range,
    divide_by_power_of_two,
    exp_of_negative,
    logistic,
    quantize_multiplier,
    round_half_away,
    scale,
    softmax_table,
    tanh,
)


@given(st.floats(1e-8, 1e8))
def test_multiplier_is_the_factor_to_31_bits(real: float) -> None:
    multiplier, shift = quantize_multiplier(real)
    assert 1 << 30 <= multiplier <= INT32_MAX
    assert math.ldexp(multiplier, shift - 31) == pytest.approx(real, rel=2**-30)


def test_multiplier_at_its_edges() -> None:
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(1.0) == (1 << 30, 1)
    assert quantize_multiplier(1 - 2**-40) == (1 << 30, 1), "a fraction that rounds up to 1 moves into the shift"
    assert quantize_multiplier(2.0**-40) == (0, 0), "too small for a shift"


@given(st.integers(-(1 << 24), 1 << 24), st.floats(1e-5, 10))
def test_scaling_is_rounding_of_the_product(x: int, factor: float) -> None:
    """Two roundings may differ from one by a unit at a tie."""
    assert abs(scale(x, *quantize_multiplier(factor)) - x * factor) <= 0.5 + 1e-6 + abs(x * factor) * 2**-29 + 2**-2


@given(st.integers(INT32_MIN, INT32_MAX), st.integers(0, 31))
def test_division_rounds_half_away_from_zero(x: int, exponent: int) -> None:
    magnitude = (abs(x) + (1 << exponent) // 2) >> exponent
    assert divide_by_power_of_two(x, exponent) == (magnitude if x >= 0 else -magnitude)


@pytest.mark.parametrize(("x", "expected"), [(0.5, 1), (-0.5, -1), (1.5, 2), (2.5, 3), (-2.5, -3), (0.49999, 0)])
def test_rounding_of_ties(x: float, expected: int) -> None:
    assert round_half_away(x) == expected


@given(st.integers(-(31 << 26), 0))
def test_exponential(a: int) -> None:
    assert exp_of_negative(a, 5) / 2**31 == pytest.approx(math.exp(a / 2**26), abs=2e-6)


@given(st.integers(-(15 << 27), 15 << 27))
def test_logistic(x: int) -> None:
    assert logistic(x) / 2**31 == pytest.approx(1 / (1 + math.exp(-x / 2**27)), abs=1e-5)


@given(st.floats(0.001, 1.0), st.sampled_from([0.5, 1.0, 2.0]))
def test_softmax_table_falls_from_one(input_scale: float, beta: float) -> None:
    table = softmax_table(input_scale, beta)
    assert table[0] == INT32_MAX
    assert table == sorted(table, reverse=True)
    assert all(abs(value / 2**31 - math.exp(-i * input_scale * beta)) < 1e-5 for i, value in enumerate(table))
    assert len(table) == 256 or len(table) * input_scale * beta > 15, "what is left out is below exp(-15)"


def test_activation_ranges() -> None:
    assert activation_range("NONE", 0.1, 5) == (-128, 127)
    assert activation_range("RELU", 0.1, 5) == (5, 127)
    assert activation_range("RELU6", 0.1, -20) == (-20, 40)
    assert activation_range("RELU_N1_TO_1", 0.1, 0) == (-10, 10)
    assert activation_range("RELU6", 0.01, 0) == (0, 127)


@given(st.integers(-(15 << 27), 15 << 27))
def test_tanh(x: int) -> None:
    assert tanh(x) / 2**31 == pytest.approx(math.tanh(x / 2**27), abs=1e-5)
