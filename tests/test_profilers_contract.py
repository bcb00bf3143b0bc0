"""The contract of profilers, run over every implementation on the reference model of keyword spotting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import skip_or_fail

from rena_kws import registry
from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices import catalogue
from rena_kws.errors import DoesNotFitError, ModelError, UnavailableError
from rena_kws.profilers.base import batch_of, profiler_for
from rena_kws.testing.board_faults import Wire
from rena_kws.testing.board_on_pty import BoardOnPty
from rena_kws.testing.host_board import HostBoard
from rena_kws.testing.profiler_contract import FakeProfiler, ProfilerCase, ProfilerContract

Reference = Callable[..., Path]
KWS = ("models", "kws_ref_model.tflite")


def kws_inputs(reference: Reference, count: int | None = None) -> Any:
    """The first recordings of kws01 as a batch of (49, 10, 1)."""
    files = sorted(reference("datasets", "kws01").glob("*.bin"))[:count]
    return np.stack([np.frombuffer(file.read_bytes(), np.int8) for file in files]).reshape(-1, 49, 10, 1)


def tflm_outputs(model: bytes, inputs: Any) -> Any:
    """What TensorFlow Lite Micro's host interpreter computes: the reference on a microcontroller."""
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError:
        skip_or_fail("tflite-micro is not installed")
    interpreter = runtime.Interpreter.from_bytes(model)
    outputs = []
    for sample in inputs:
        interpreter.set_input(sample[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0)[0])
    return np.stack(outputs)


class TestCortexM(ProfilerContract):
    @pytest.fixture
    def case(self, reference: Reference) -> ProfilerCase:
        device = catalogue.get("cortex-m4")
        data, inputs = reference(*KWS).read_bytes(), kws_inputs(reference, 3)
        model = ConvertedModel("tflite", data)
        return ProfilerCase(profiler_for(device), device, model, inputs, tflm_outputs(data, inputs), "emulated")


class TestCpuWithLiteRt(ProfilerContract):
    @pytest.fixture
    def case(self, reference: Reference) -> ProfilerCase:
        device = catalogue.get("cpu")
        data, inputs = reference(*KWS).read_bytes(), kws_inputs(reference, 3)
        model = ConvertedModel("tflite", data)
        expected = tflm_outputs(data, inputs)
        # XNNPACK rounds otherwise than TensorFlow Lite Micro: a few units on a handful of inputs.
        return ProfilerCase(profiler_for(device), device, model, inputs, expected, "measured", tolerance=3)


class TestCpuWithReferenceKernels(ProfilerContract):
    @pytest.fixture
    def case(self, reference: Reference) -> ProfilerCase:
        device = catalogue.get("cpu-reference")
        data, inputs = reference(*KWS).read_bytes(), kws_inputs(reference, 3)
        model = ConvertedModel("tflite", data)
        expected = tflm_outputs(data, inputs)
        # They round once where TensorFlow Lite Micro rounds twice: a unit, seldom.
        return ProfilerCase(profiler_for(device), device, model, inputs, expected, "measured", tolerance=1)

    def test_the_runtime_says_which_kernels_ran(self, case: ProfilerCase, measurement: Measurement) -> None:
        assert "reference" in measurement.environment["runtime"]
        usual = case.profiler.profile(case.model, catalogue.get("cpu"), case.inputs)
        assert "XNNPACK" in usual.environment["runtime"]


class TestCpuWithOnnxRuntime(ProfilerContract):
    @pytest.fixture
    def case(self) -> ProfilerCase:
        device = catalogue.get("cpu")
        inputs = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
        weights = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
        model = ConvertedModel("onnx", onnx_matmul(weights))
        expected = inputs @ weights
        return ProfilerCase(profiler_for(device), device, model, inputs, expected, "measured", tolerance=1e-5)


@pytest.mark.usefixtures("swiftshader")
class TestGpuWithLiteRt(ProfilerContract):
    @pytest.fixture
    def case(self, reference: Reference) -> ProfilerCase:
        device = catalogue.get("gpu")
        data, inputs = reference(*KWS).read_bytes(), kws_inputs(reference, 3)
        model = ConvertedModel("tflite", data)
        expected = tflm_outputs(data, inputs)
        # It computes in floats: a few units on a handful of inputs.
        return ProfilerCase(profiler_for(device), device, model, inputs, expected, "measured", tolerance=4)

    def test_the_adapter_is_named_and_marked_as_software(self, measurement: Measurement) -> None:
        assert "SwiftShader" in measurement.environment["adapter"]
        assert "software" in measurement.environment["troubles"]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_one_line_says_what_to_install(reference: Reference) -> None:
    device = catalogue.get("gpu")
    with pytest.raises(UnavailableError, match="install its Vulkan driver") as caught:
        profiler_for(device).profile(ConvertedModel("tflite", reference(*KWS).read_bytes()), device)
    assert "\n" not in str(caught.value)
    with pytest.raises(UnavailableError, match="no provider for GPUs"):
        profiler_for(device).profile(ConvertedModel("onnx", onnx_matmul(np.ones((2, 2), np.float32))), device)


@pytest.fixture(scope="module")
def port(reference: Reference) -> Iterator[str]:
    """The harness with the reference model, compiled for this computer, behind a pseudo-terminal."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    with BoardOnPty(Wire(HostBoard(ConvertedModel("tflite", reference(*KWS).read_bytes())))) as port:
        yield port


class TestSerialBoard(ProfilerContract):
    @pytest.fixture
    def case(self, reference: Reference, port: str) -> ProfilerCase:
        device = catalogue.get(f"serial:{port}?window_s=0.01&iterations=2&quiet_s=0.02")
        data, inputs = reference(*KWS).read_bytes(), kws_inputs(reference, 3)
        model = ConvertedModel("tflite", data)
        return ProfilerCase(profiler_for(device), device, model, inputs, tflm_outputs(data, inputs), "measured")


def onnx_matmul(weights: Any) -> bytes:
    """An ONNX model with a free batch that multiplies its input by `weights`."""
    import onnx

    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "matmul",
        [helper.make_tensor_value_info("x", float32, ["batch", weights.shape[0]])],
        [helper.make_tensor_value_info("y", float32, ["batch", weights.shape[1]])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString()
    assert isinstance(data, bytes)
    return data


def test_every_registered_profiler_is_one_and_every_device_has_one() -> None:
    assert {"cortex_m", "cpu", "serial_board"} <= set(registry.names("profilers"))
    for name in catalogue.names():
        device = catalogue.get(name)
        assert profiler_for(device) is profiler_for(device)


def test_a_batch_is_checked_against_the_model() -> None:
    assert batch_of(None, (1, 2, 3), "int8").shape == (1, 2, 3)
    assert batch_of(np.zeros((4, 6), np.int8), (1, 2, 3), "int8").shape == (4, 2, 3)
    for wrong in (np.zeros((0, 6), np.int8), np.zeros(5, np.int8), np.int8(1)):
        with pytest.raises(ModelError, match="batch of samples: got shape"):
            batch_of(wrong, (1, 2, 3), "int8")


def test_a_float_model_is_refused_on_a_cortex_m(reference: Reference) -> None:
    device = catalogue.get("cortex-m")
    model = ConvertedModel("tflite", reference("models", "kws_ref_model_float32.tflite").read_bytes())
    with pytest.raises(ModelError, match="float32") as caught:
        profiler_for(device).profile(model, device)
    assert "\n" not in str(caught.value)


def test_every_core_computes_the_same(reference: Reference) -> None:
    data, inputs = reference(*KWS).read_bytes(), kws_inputs(reference, 1)
    expected = tflm_outputs(data, inputs)
    for core in ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m7"):
        device = catalogue.get(core)
        measurement = profiler_for(device).profile(ConvertedModel("tflite", data), device, inputs)
        np.testing.assert_array_equal(measurement.outputs, expected)
        assert all(layer.cycles for layer in measurement.layers)


@pytest.mark.slow
def test_all_recordings_equal_tensorflow_lite_micro(reference: Reference) -> None:
    device = catalogue.get("nucleo-l4r5zi")
    data, inputs = reference(*KWS).read_bytes(), kws_inputs(reference)
    assert len(inputs) == 500
    outputs = profiler_for(device).profile(ConvertedModel("tflite", data), device, inputs).outputs
    np.testing.assert_array_equal(outputs, tflm_outputs(data, inputs))


def test_the_fake_answers_and_fails_as_told() -> None:
    device, model = catalogue.get("cpu"), ConvertedModel("tflite", b"x")
    fake = FakeProfiler(Measurement("", "estimated", 1.5, np.zeros((1, 2), np.int8), (1.5,)))
    assert fake.profile(model, device, np.zeros((3, 4), np.int8)).outputs.shape == (3, 2)
    assert fake.profile(model, device).device == "cpu" and fake.asked == [model, model]
    fake.failure = DoesNotFitError("too big")
    with pytest.raises(DoesNotFitError, match="too big"):
        fake.profile(model, device)
    fake.reason = "no board"
    assert fake.unavailable() == "no board"
    with pytest.raises(UnavailableError, match="no board"):
        fake.profile(model, device)
