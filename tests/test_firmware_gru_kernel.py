"""The GRU's C kernel on this computer, bit for bit beside its definition in NumPy."""

from __future__ import annotations

import ctypes
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from host_firmware import STRICT_FLAGS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rena_kws.firmware.gru_reference import GATES, SIGMOID_TABLE, TANH_TABLE, QuantizedGru, quantize_gru, run_gru


class Product(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("multiplier", ctypes.c_int32),
        ("shift", ctypes.c_int32),
    )


class Params(ctypes.Structure):
    _fields_ = (
        ("steps", ctypes.c_int32),
        ("features", ctypes.c_int32),
        ("units", ctypes.c_int32),
        ("from_input", Product * GATES),
        ("from_state", Product * GATES),
        ("sigmoid", ctypes.c_void_p),
        ("tanh", ctypes.c_void_p),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = Path(str(resources.files("rena_kws.firmware.c")))
    target = tmp_path_factory.mktemp("gru") / "gru.so"
    flags = [*STRICT_FLAGS, "-O1", "-fPIC", "-shared", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    subprocess.run(["cc", *flags, str(folder / "kws_gru.c"), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 9), st.floats(1e-3, 1e3), st.floats(1e-3, 10.0))
def test_kernel_is_the_reference(
    library: ctypes.CDLL, seed: int, features: int, units: int, gain: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    shapes = ((features, GATES * units), (units, GATES * units), (2, GATES * units))
    gru = quantize_gru(
        *((gain * rng.normal(size=s)).astype(np.float32) for s in shapes), scale, int(rng.integers(-128, 128))
    )
    x = rng.integers(-128, 128, (12, features)).astype(np.int8)
    np.testing.assert_array_equal(run_kernel(library, gru, x), run_gru(gru, x[None])[0])


def run_kernel(library: ctypes.CDLL, gru: QuantizedGru, x: NDArray[np.int8]) -> NDArray[np.int8]:
    units = gru.recurrent.shape[0]
    kernel, recurrent = np.ascontiguousarray(gru.kernel.T), np.ascontiguousarray(gru.recurrent.T)
    tables = SIGMOID_TABLE.astype(np.int16), TANH_TABLE.astype(np.int16)

    def products(
        weights: NDArray[np.int8], bias: NDArray[np.int32], scales: tuple[tuple[int, int], ...]
    ) -> list[Product]:
        rows = [slice(gate * units, (gate + 1) * units) for gate in range(GATES)]
        return [Product(weights[r].ctypes.data, bias[r].ctypes.data, *s) for r, s in zip(rows, scales, strict=True)]

    params = Params(
        *x.shape,
        units,
        (Product * GATES)(*products(kernel, gru.bias, gru.scales)),
        (Product * GATES)(*products(recurrent, gru.recurrent_bias, gru.recurrent_scales)),
        *(table.ctypes.data for table in tables),
    )
    state, output = np.full(units, 99, np.int16), np.zeros((len(x), units), np.int8)
    pointers = (ctypes.c_void_p(a.ctypes.data) for a in (x, state, output))
    library.kws_gru(ctypes.byref(params), *pointers)
    return output
