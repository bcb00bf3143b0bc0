"""Keras → .tflite: int8 throughout, or float.

The network is rebuilt with a batch of one: with a free batch TensorFlow writes a dilated convolution as
SPACE_TO_BATCH, CONV, BATCH_TO_SPACE, which microcontrollers run slowly or wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel
from rena_kws.convert.base import Converter, check_calibration, quiet
from rena_kws.model.keras_model import build


class Int8TfliteConverter(Converter):
    """Full-integer quantisation: int8 weights per channel, int8 activations, input and output."""

    def convert(self, built: BuiltModel, calibration: NDArray[np.float32]) -> ConvertedModel:
        calibration = check_calibration(built, calibration)

        def representative() -> Iterator[list[NDArray[np.float32]]]:
            for clip in calibration:
                yield [clip[None]]

        with quiet("int8 TFLite conversion"):
            converter = _converter(built)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = representative
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
            return ConvertedModel("tflite", bytes(converter.convert()))


class FloatTfliteConverter(Converter):
    """float32 throughout; the calibration is not used."""

    def convert(self, built: BuiltModel, calibration: NDArray[np.float32]) -> ConvertedModel:
        with quiet("float TFLite conversion"):
            return ConvertedModel("tflite", bytes(_converter(built).convert()))


def with_batch_of_one(built: BuiltModel) -> Any:
    """The same Keras model with the same weights and a static batch of 1."""
    single = build(built.architecture, batch_size=1).keras_model
    single.set_weights(built.keras_model.get_weights())
    return single


def _converter(built: BuiltModel) -> Any:
    return tf.lite.TFLiteConverter.from_keras_model(with_batch_of_one(built))
