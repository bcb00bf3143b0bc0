"""The integer GRU against Keras' own in floating point, and the limits its integers must keep."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rena_kws.firmware.gru_reference import (
    SIGMOID_TABLE,
    STATE_SCALE,
    TANH_TABLE,
    integer_gru,
    quantize_gru,
    run_gru,
)


def test_tables_are_the_functions() -> None:
    x = np.arange(-128, 129) / 16
    np.testing.assert_allclose(SIGMOID_TABLE / 2**15, 1 / (1 + np.exp(-x)), atol=2**-15)
    np.testing.assert_allclose(TANH_TABLE / 2**15, np.tanh(x), atol=2**-15)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_states_are_those_of_keras(gain: float) -> None:
    rng = np.random.default_rng(3)
    features, units, scale, zero_point = 10, 12, 0.03, -20
    layer = keras.layers.GRU(units, reset_after=True, return_sequences=True)
    layer.build((None, None, features))
    weights = [(gain * rng.normal(0, 0.4, w.shape)).astype(np.float32) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.integers(-128, 128, (16, 49, features)).astype(np.int8)
    expected = layer((x.astype(np.float32) - zero_point) * scale).numpy()
    error = run_gru(integer_gru(quantize_gru(*weights, scale), scale, zero_point), x) * STATE_SCALE - expected
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert np.std(expected) > 0.3


def test_a_slow_state_goes_on_moving() -> None:
    """With z near 1 a step is a fraction of an int8 unit; a state of 8 bits would never leave zero."""
    bias = np.array([[6.0, 0.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    zeros = np.zeros((1, 3), np.float32)
    gru = integer_gru(quantize_gru(zeros, zeros, bias, 1.0), 1.0, 0)
    z = 1 / (1 + np.exp(-6.0))
    states = run_gru(gru, np.zeros((1, 200, 1), np.int8))[0, :, 0] * STATE_SCALE
    np.testing.assert_allclose(states, np.tanh(2.0) * (1 - z ** np.arange(1, 201)), atol=0.02)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 100.0), st.floats(1e-3, 1.0), st.integers(-128, 127))
def test_any_weights_stay_near_the_formula(seed: int, gain: float, scale: float, zero_point: int) -> None:
    """One step from zero: the formula in real numbers on the rounded weights."""
    rng = np.random.default_rng(seed)
    kernel, bias = (gain * rng.normal(size=shape).astype(np.float32) for shape in ((5, 9), (2, 9)))
    constants = quantize_gru(kernel, np.ones((3, 9), np.float32), bias, scale)
    gru = integer_gru(constants, scale, zero_point)
    x = rng.integers(-128, 128, (4, 1, 5)).astype(np.int8)
    per_gate = np.array(constants.kernel_scales)[:, None, None]
    weights = (constants.kernel * per_gate).reshape(9, 5).T
    z, r, n = np.split((x[:, 0] - float(zero_point)) * scale @ weights + bias[0], 3, axis=1)
    z_state, r_state, n_state = np.split(np.clip(bias[1], -8, 8), 3)
    z, r, n = (np.clip(a, -8, 8) for a in (z, r, n))
    update, reset = (1 / (1 + np.exp(-np.clip(a, -8, 8))) for a in (z + z_state, r + r_state))
    expected = (1 - update) * np.tanh(n + reset * n_state)
    got = run_gru(gru, x)[:, 0] * STATE_SCALE
    np.testing.assert_allclose(got, expected, atol=0.02)
