"""What converted models answer, against TensorFlow Lite Micro, and what int8 conversion writes into the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.artifacts import ConvertedModel
from rena_kws.convert.evaluate_int8 import (
    accuracy,
    dequantise,
    probabilities,
    quantise,
    quantised_inputs,
    run_quantised,
)
from rena_kws.errors import ModelError

pytest.importorskip("tensorflow")

from speech_networks import TrainedDigits, trained_digits

from rena_kws.convert.agreement import check
from rena_kws.convert.tflite import FloatTfliteConverter, Int8TfliteConverter
from rena_kws.firmware.graph import read_graph


@pytest.fixture(scope="module")
def digits(reference: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> TrainedDigits:
    return trained_digits(reference, tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def int8(digits: TrainedDigits) -> ConvertedModel:
    return Int8TfliteConverter().convert(digits.built, digits.training.x)


def test_everything_in_the_int8_model_is_integer(int8: ConvertedModel) -> None:
    graph = read_graph(int8)
    assert {tensor.dtype for tensor in graph.tensors} <= {"int8", "int32"}
    assert {graph.tensors[index].shape[0] for index in (*graph.inputs, *graph.outputs)} == {1}
    weights = [graph.tensors[op.inputs[1]] for op in graph.ops if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    assert weights
    for weight in weights:
        assert len(weight.scales) == weight.shape[weight.quantized_dimension] > 1  # One a channel


def test_the_range_of_the_input_is_that_of_the_calibration(int8: ConvertedModel, digits: TrainedDigits) -> None:
    graph = read_graph(int8)
    source = graph.tensors[graph.inputs[0]]
    least, most = digits.training.x.min(), digits.training.x.max()
    assert source.scale == pytest.approx((max(most, 0) - min(least, 0)) / 255, rel=1e-4)
    assert dequantise(np.array([-128], np.int8), source.scale, source.zero_point)[0] == pytest.approx(
        least, abs=source.scale
    )


def test_answers_are_those_of_tensorflow_lite_micro_but_for_a_unit(int8: ConvertedModel, digits: TrainedDigits) -> None:
    """LiteRT's plain kernels round some operators once where TensorFlow Lite Micro rounds twice."""
    runtime = pytest.importorskip("tflite_micro").runtime
    interpreter = runtime.Interpreter.from_bytes(int8.data)
    inputs = quantised_inputs(int8, digits.validation.x)
    expected = []
    for clip in inputs:
        interpreter.set_input(clip[None], 0)
        interpreter.invoke()
        expected.append(interpreter.get_output(0)[0])
    found, micro = run_quantised(int8, inputs), np.stack(expected)
    assert np.mean(np.abs(found.astype(int) - micro) > 1) < 0.02
    assert np.mean(found.argmax(axis=1) == micro.argmax(axis=1)) > 0.95


def test_accuracy_counts_right_answers(int8: ConvertedModel, digits: TrainedDigits) -> None:
    score, predictions = accuracy(int8, digits.validation)
    assert score == np.mean([int(p) == int(y) for p, y in zip(predictions, digits.validation.y, strict=True)])
    assert score > 0.4  # Four digits by a voice never heard: chance is a quarter
    sums = probabilities(int8, digits.validation.x).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=0.02)


def test_agreement_tells_another_network_apart(int8: ConvertedModel, digits: TrainedDigits) -> None:
    reversed_clips = digits.validation.x[:, ::-1]
    own = check(digits.built, int8, digits.validation.x)
    assert own.mean_difference <= own.max_difference < 1
    weights = digits.built.keras_model.get_weights()
    try:
        digits.built.keras_model.set_weights([-weight for weight in weights[:-1]] + [weights[-1]])
        assert check(digits.built, int8, reversed_clips).same_answer < own.same_answer
    finally:
        digits.built.keras_model.set_weights(weights)


def test_a_float_model_takes_features_as_they_are(digits: TrainedDigits) -> None:
    model = FloatTfliteConverter().convert(digits.built, digits.training.x[:1])
    np.testing.assert_array_equal(quantised_inputs(model, digits.validation.x), digits.validation.x)


def test_inputs_of_another_kind_are_refused(int8: ConvertedModel, digits: TrainedDigits) -> None:
    for inputs in (digits.validation.x, quantised_inputs(int8, digits.validation.x)[:, :7]):
        with pytest.raises(ModelError, match="the model takes int8 clips") as caught:
            run_quantised(int8, inputs)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"no model at all, only some text", b"\x1c\x00\x00\x00TFL3"])
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_file_that_is_no_model_is_one_line(data: bytes, format: str) -> None:
    with pytest.raises(ModelError) as caught:
        probabilities(ConvertedModel(format, data), np.zeros((1, 49, 10, 1), np.float32))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@given(
    value=st.floats(-1e4, 1e4, allow_subnormal=False),
    scale=st.floats(0.001, 10.0),
    zero_point=st.integers(-128, 127),
)
def test_quantisation_rounds_to_the_nearest_and_saturates(value: float, scale: float, zero_point: int) -> None:
    x = np.array([value], np.float32)
    quantised = quantise(x, scale, zero_point)
    assert quantised.dtype == np.int8
    back = float(dequantise(quantised, scale, zero_point)[0])
    least, most = (-128 - zero_point) * scale, (127 - zero_point) * scale
    nearest = min(max(value, least), most)
    assert back == pytest.approx(nearest, abs=0.5001 * scale + 1e-4 * abs(value))
