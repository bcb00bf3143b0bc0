"""The GRU's C kernel, on this computer and on emulated cores, bit for bit beside its definition in NumPy."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from bounded_firmware import BoundedFirmware
from flatbuffer_models import ModelBuilder
from host_firmware import STRICT_FLAGS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rena_kws.errors import ModelError
from rena_kws.firmware.graph import GRU
from rena_kws.firmware.gru_reference import (
    GATES,
    SIGMOID_TABLE,
    STATE_SCALE,
    TANH_TABLE,
    GateProducts,
    QuantizedGru,
    integer_gru,
    quantize_gru,
    run_gru,
)
from rena_kws.firmware.lower_gru import products_of, scratch_bytes


class Scale(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int32) for name in ("lift", "multiplier", "half", "shift"))


class Products(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("depth", ctypes.c_int32),
        *((gate, Scale) for gate in ("update", "reset", "candidate")),
    )


class Params(ctypes.Structure):
    _fields_ = (
        ("steps", ctypes.c_int32),
        ("features", ctypes.c_int32),
        ("units", ctypes.c_int32),
        ("from_input", Products),
        ("from_state", Products),
        ("sigmoid", ctypes.c_void_p),
        ("tanh", ctypes.c_void_p),
    )


@pytest.fixture(scope="module")
def library(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = Path(str(resources.files("rena_kws.firmware.c")))
    target = tmp_path_factory.mktemp("gru") / "gru.so"
    flags = [*STRICT_FLAGS, "-O1", "-fPIC", "-shared", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    subprocess.run([tool("cc"), *flags, str(folder / "kws_gru.c"), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 9), st.floats(1e-6, 4.0), st.floats(1e-3, 1.0))
def test_kernel_is_the_reference(
    library: ctypes.CDLL, seed: int, features: int, units: int, gain: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    shapes = ((features, GATES * units), (units, GATES * units), (2, GATES * units))
    constants = quantize_gru(*((gain * rng.normal(size=s)).astype(np.float32) for s in shapes), scale)
    gru = integer_gru(constants, scale, int(rng.integers(-128, 128)))
    x = rng.integers(-128, 128, (12, features)).astype(np.int8)
    np.testing.assert_array_equal(run_kernel(library, gru, x), run_gru(gru, x[None])[0, -1])


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33"])
@pytest.mark.parametrize(("features", "units"), [(1, 1), (6, 5), (8, 12)])
def test_every_core_computes_the_reference_within_its_memory(core: str, features: int, units: int) -> None:
    rng = np.random.default_rng(features)
    scale, zero_point = 0.05, int(rng.integers(-128, 128))
    shapes = ((features, GATES * units), (units, GATES * units), (2, GATES * units))
    constants = quantize_gru(*(rng.normal(size=shape).astype(np.float32) for shape in shapes), scale)
    builder = ModelBuilder()
    x = builder.tensor((1, 7, features), scale=scale, zero_point=zero_point)
    kernel, recurrent = (
        builder.tensor(weights.shape, scale=scales, data=weights)
        for weights, scales in (
            (constants.kernel, constants.kernel_scales),
            (constants.recurrent, constants.recurrent_scales),
        )
    )
    biases = [builder.tensor(b.shape, data=b, dtype="int32") for b in (constants.bias, constants.recurrent_bias)]
    state = builder.tensor((1, units), scale=STATE_SCALE)
    builder.op(GRU, [x, kernel, recurrent, *biases], [state])
    firmware = BoundedFirmware(builder.build([x], [state]), core)
    gru = integer_gru(constants, float(np.float32(scale)), zero_point)
    for _ in range(3):
        inputs = rng.integers(-128, 128, (1, 7, features)).astype(np.int8)
        np.testing.assert_array_equal(firmware([inputs])[0], run_gru(gru, inputs)[:, -1])


def test_gates_beyond_32_bits_are_refused() -> None:
    wild = np.full((2, 6), 1e9, np.float32)
    with pytest.raises(ModelError, match="these reach"):
        integer_gru(quantize_gru(wild, wild, 0 * wild, 1.0), 1.0, 0)


def test_biases_beside_tiny_weights_are_not_clipped() -> None:
    tiny, bias = np.full((1, 3), 1e-12, np.float32), np.array([[0.5, -0.5, 2.0], [0.0, 0.0, 0.0]], np.float32)
    constants = quantize_gru(tiny, np.zeros((1, 3), np.float32), bias, 0.01)
    kept = constants.bias[:, 0] * np.array(constants.kernel_scales) * 0.01
    np.testing.assert_allclose(kept, bias[0], rtol=1e-6)


def run_kernel(library: ctypes.CDLL, gru: QuantizedGru, x: NDArray[np.int8]) -> NDArray[np.int8]:
    kept: list[NDArray[np.generic]] = []  # what the pointers point to

    def pointer(values: NDArray[np.generic]) -> int:
        kept.append(np.ascontiguousarray(values))
        return kept[-1].ctypes.data

    def products(of: GateProducts) -> Products:
        members = products_of(of)
        scales = (Scale(**members[gate]) for gate in ("update", "reset", "candidate"))
        return Products(pointer(members["weights"]), pointer(members["bias"]), members["depth"], *scales)

    steps, features = x.shape
    tables = (pointer(table.astype(np.int16)) for table in (SIGMOID_TABLE, TANH_TABLE))
    params = Params(steps, features, gru.units, products(gru.from_input), products(gru.from_state), *tables)
    scratch, output = np.full(scratch_bytes(features, gru.units), 99, np.int8), np.full(gru.units, 99, np.int8)
    library.kws_gru(ctypes.byref(params), *(ctypes.c_void_p(a.ctypes.data) for a in (x, output, scratch)))
    return output
