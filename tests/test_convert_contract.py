"""Every converter against the contract, on recordings of spoken digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from speech_networks import TrainedDigits, trained_digits

from rena_kws.convert.base import Converter
from rena_kws.convert.onnx import OnnxConverter, QuantizedOnnxConverter
from rena_kws.convert.tflite import FloatTfliteConverter, Int8TfliteConverter
from rena_kws.testing.converter_contract import ConverterCase, ConverterContract


@pytest.fixture(scope="module")
def digits(reference: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> TrainedDigits:
    return trained_digits(reference, tmp_path_factory.mktemp("recordings"))


class _OnDigits(ConverterContract):
    converter: Converter
    mean_difference = 1e-5
    same_answer = 1.0

    @pytest.fixture
    def case(self, digits: TrainedDigits) -> ConverterCase:
        return ConverterCase(
            self.converter,
            digits.built,
            digits.training.x,
            digits.validation.x,
            self.mean_difference,
            self.same_answer,
        )


class TestInt8Tflite(_OnDigits):
    converter = Int8TfliteConverter()
    mean_difference = 0.03
    same_answer = 0.9


class TestFloatTflite(_OnDigits):
    converter = FloatTfliteConverter()


class TestOnnx(_OnDigits):
    converter = OnnxConverter()


class TestQuantizedOnnx(_OnDigits):
    converter = QuantizedOnnxConverter()
    mean_difference = 0.03
    same_answer = 0.9
