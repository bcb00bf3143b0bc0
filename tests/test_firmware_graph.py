"""Reading models from outside: a good one is understood, any other is one line of `ModelError`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flatbuffer_models import ModelBuilder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import generate
from rena_kws.firmware.graph import read_graph


def attempt(data: bytes) -> Firmware | ModelError:
    """The firmware or the one line that says why not; any other exception is a failure."""
    try:
        return generate(ConvertedModel("tflite", data, "model.tflite"))
    except ModelError as error:
        assert "\n" not in str(error)
        assert str(error).startswith("model.tflite: ")
        return error


def refused(data: bytes, *words: str) -> None:
    """The model is refused in a line that holds all the words."""
    result = attempt(data)
    assert isinstance(result, ModelError), "the model was accepted"
    for word in words:
        assert word in str(result)


def test_keyword_model_is_read(reference: Callable[..., Path]) -> None:
    graph = read_graph(ConvertedModel("tflite", reference("models", "kws_ref_model.tflite").read_bytes()))
    assert [op.name for op in graph.ops][:3] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert graph.ops[0].options["padding"] == "SAME"
    assert graph.ops[0].options["fusedActivationFunction"] == "RELU"
    x, weights = graph.input(graph.ops[0], 0), graph.input(graph.ops[0], 1)
    assert x is not None and weights is not None and weights.data is not None
    assert (x.shape, x.dtype, x.zero_point, x.data) == ((1, 49, 10, 1), "int8", 83, None)
    assert x.scale == pytest.approx(0.5847029)
    assert weights.shape == weights.data.shape == (64, 10, 4, 1)
    assert len(weights.scales) == 64 and set(weights.zero_points) == {0}


def test_empty_and_foreign_files() -> None:
    refused(b"", "empty")
    refused(b"PK\x03\x04" + bytes(100), "not a TFLite file")
    refused(b"\x1c\x00\x00\x00TFL3", "not a TFLite file")
    with pytest.raises(ModelError, match="onnx"):
        read_graph(ConvertedModel("onnx", b"x", "model.onnx"))


@pytest.mark.parametrize("name", ["kws", "ic"])
def test_truncated_anywhere(name: str, reference: Callable[..., Path]) -> None:
    data = reference("models", f"{name}_ref_model.tflite").read_bytes()
    for length in range(0, len(data), 1000):
        assert isinstance(attempt(data[:length]), ModelError), f"accepted with {length} of {len(data)} bytes"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_crash(data: st.DataObject, small_model: bytes) -> None:
    damaged = bytearray(small_model)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    attempt(bytes(damaged))


@given(noise=st.binary(max_size=400))
def test_noise_behind_the_identifier(noise: bytes) -> None:
    attempt(b"\x1c\x00\x00\x00TFL3" + noise)


@pytest.fixture(scope="module")
def small_model() -> bytes:
    model = ModelBuilder()
    x = model.tensor((1, 6, 6, 2), scale=0.1, zero_point=3)
    weights = model.tensor((4, 3, 3, 2), scale=[0.1] * 4, data=np.arange(72))
    bias = model.tensor((4,), dtype="int32", data=np.arange(4))
    y = model.tensor((1, 6, 6, 4), scale=0.2)
    pooled = model.tensor((1, 3, 3, 4), scale=0.2)
    window = {"padding": 0, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    model.op("CONV_2D", [x, weights, bias], [y], "Conv2DOptions", padding=0, strideW=1, strideH=1)
    model.op("MAX_POOL_2D", [y], [pooled], "Pool2DOptions", **window)
    assert isinstance(attempt(model.build([x], [pooled])), Firmware)
    return model.build([x], [pooled])


def test_float_model_is_told_what_to_do(reference: Callable[..., Path]) -> None:
    data = reference("models", "kws_ref_model_float32.tflite").read_bytes()
    refused(data, "CONV_2D", "input_1", "float32", "int8", "quantise")


def test_unsupported_operator_names_itself_its_tensor_and_the_supported() -> None:
    model = ModelBuilder()
    x, y = (model.tensor((1, 4), scale=0.1) for _ in range(2))
    model.op("ELU", [x], [y])
    refused(model.build([x], [y]), "ELU", "tensor_1", "not supported", "CONV_2D", "SOFTMAX")


def convolution(**change: Any) -> bytes:
    """A convolution that is sound but for the change."""
    model = ModelBuilder()
    setting: dict[str, Any] = {
        "weights": (4, 3, 3, 2),
        "weights_zero": 0,
        "axis": 0,
        "y": (1, 6, 6, 4),
        "y_dtype": "int8",
        "zero_point": 0,
        "bias": 4,
        "scale": 0.1,
        "options": {"padding": 0, "strideW": 1, "strideH": 1},
    } | change
    x = model.tensor((1, 6, 6, 2), scale=setting["scale"], zero_point=setting["zero_point"])
    shape = setting["weights"]
    weights = model.tensor(
        shape,
        scale=[0.1] * shape[setting["axis"]],
        axis=setting["axis"],
        zero_point=setting["weights_zero"],
        data=np.zeros(shape),
    )
    bias = model.tensor((setting["bias"],), dtype="int32", data=np.zeros(setting["bias"]))
    y = model.tensor(setting["y"], scale=0.1, dtype=setting["y_dtype"])
    model.op("CONV_2D", [x, weights, bias], [y], "Conv2DOptions", **setting["options"])
    return model.build([x], [y])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": (4, 3, 3, 1)}, ["input channels"]),
        ({"weights_zero": 1}, ["zero points of 0"]),
        ({"weights": (4, 3, 3, 2), "axis": 1}, ["dimension 1", "supported is 0"]),
        ({"y": (1, 6, 5, 4)}, ["(6, 5)", "(6, 6)"]),
        ({"y": (1, 6, 6, 3)}, ["(1, 6, 6, 3)", "(1, 6, 6, 4)"]),
        ({"y": (36, 4)}, ["4 dimensions"]),
        ({"y_dtype": "int32"}, ["int32", "int8"]),
        ({"zero_point": 200}, ["-128 to 127"]),
        ({"bias": 5}, ["4 elements"]),
        ({"scale": -1.0}, ["positive"]),
        ({"scale": float("nan")}, ["positive"]),
        ({"scale": 1e30}, ["2^30"]),
        ({"options": {"padding": 0, "strideW": 0, "strideH": 1}}, ["strideW is 0"]),
        ({"options": {"padding": 7, "strideW": 1, "strideH": 1}}, ["padding 7"]),
        ({"options": {"strideW": 1, "strideH": 1, "fusedActivationFunction": 4}}, ["TANH", "RELU6"]),
    ],
)
def test_convolution_that_does_not_fit_together(change: dict[str, Any], words: list[str]) -> None:
    assert isinstance(attempt(convolution()), Firmware)
    refused(convolution(**change), *words)


def test_order_of_operators() -> None:
    model = ModelBuilder()
    x, middle, y = (model.tensor((1, 4), scale=0.1) for _ in range(3))
    model.op("RELU", [middle], [y])
    model.op("RELU", [x], [middle])
    refused(model.build([x], [y]), "before it is computed")
    model = ModelBuilder()
    x, y = (model.tensor((1, 4), scale=0.1) for _ in range(2))
    model.op("RELU", [x], [y])
    model.op("RELU", [x], [y])
    refused(model.build([x], [y]), "second time")


def test_constant_output_is_refused() -> None:
    model = ModelBuilder()
    x, y = (model.tensor((1, 4), scale=0.1) for _ in range(2))
    constant = model.tensor((1, 4), scale=0.1, data=np.zeros(4))
    model.op("RELU", [x], [y])
    refused(model.build([x], [y, constant]), "constant")


def test_reading_imports_no_tensorflow() -> None:
    program = "import sys, rena_kws.firmware.emit; print(sorted({m.split('.')[0] for m in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "ai_edge_litert" in modules
    assert "'tensorflow'" not in modules
