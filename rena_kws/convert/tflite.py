"""Keras → .tflite: int8 throughout, or float.

TensorFlow's int8 conversion of a GRU ends the process, so a network with one is converted in three parts: what stands
before it, the GRU by `gru_reference`, what stands behind it. They are joined to one file (gru_operator.py).

A network is traced with a batch of one: with a free batch TensorFlow writes a dilated convolution as SPACE_TO_BATCH,
CONV, BATCH_TO_SPACE, which microcontrollers run slowly or wrongly. Its weights are constants of the trace: TensorFlow's
way from a Keras model saves and loads it first, which takes five times as long as the conversion itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel
from rena_kws.convert.base import Converter, check_calibration, quiet
from rena_kws.convert.gru_operator import join
from rena_kws.errors import CandidateError, ModelError
from rena_kws.firmware.graph import read_graph
from rena_kws.firmware.gru_reference import STATE_SCALE, integer_gru, quantize_gru
from rena_kws.model.keras_model import copy_of


class Int8TfliteConverter(Converter):
    """Full-integer quantisation: int8 weights per channel, int8 activations, input and output."""

    def convert(self, built: BuiltModel, calibration: NDArray[np.float32]) -> ConvertedModel:
        calibration = check_calibration(built, calibration)
        with quiet("int8 TFLite conversion"):
            if any(layer.kind == "gru" for layer in built.architecture.layers):
                return ConvertedModel("tflite", _with_gru(built, calibration))
            return ConvertedModel("tflite", _int8(built.keras_model, calibration))


def _int8(model: Any, calibration: NDArray[np.float32]) -> bytes:
    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for sample in calibration:
            yield [sample[None]]

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _with_gru(built: BuiltModel, calibration: NDArray[np.float32]) -> bytes:
    """A network with a GRU in it, which everything passes through. It is a copy that is cut: Keras lets the layers of a
    model know what else was made of them."""
    model = copy_of(built)
    (gru,) = (layer for layer in model.layers if isinstance(layer, keras.layers.GRU))
    states = keras.Model(model.input, gru.output)(calibration, training=False).numpy()
    front = _int8(keras.Model(model.input, gru.input), calibration)
    graph = read_graph(ConvertedModel("tflite", front))
    rows = graph.tensors[graph.outputs[0]]
    kernel, recurrent, bias = gru.get_weights()
    constants = quantize_gru(kernel, recurrent, bias, rows.scale)
    back = _int8(keras.Model(gru.output, model.output), _over_whole_range(states))
    try:
        integer_gru(constants, rows.scale, rows.zero_point)  # Whether these weights fit
        return join(front, constants, back, gru.name)
    except ModelError as error:
        raise CandidateError(str(error)) from None


def _over_whole_range(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """The states as int8 holds them, and two more that reach its ends: the back must read them with scale 1/128."""
    least, most = -128 * STATE_SCALE, 127 * STATE_SCALE
    ends = np.repeat(states[:1], 2, axis=0)
    ends[:, 0] = least, most
    return np.clip(np.concatenate((states, ends)), least, most)


class FloatTfliteConverter(Converter):
    """float32 throughout; the calibration is not used."""

    def convert(self, built: BuiltModel, calibration: NDArray[np.float32]) -> ConvertedModel:
        with quiet("float TFLite conversion"):
            return ConvertedModel("tflite", bytes(_converter(built.keras_model).convert()))


def _converter(model: Any) -> Any:
    """Of a Keras model of one input."""
    trainable, other = (
        [variable.numpy() for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )

    def network(x: tf.Tensor) -> tf.Tensor:
        constants = ([tf.constant(value) for value in values] for values in (trainable, other))
        return model.stateless_call(*constants, x, training=False)[0]

    clip = tf.TensorSpec((1, *model.input.shape[1:]), tf.float32, "input")
    traced = tf.function(network, input_signature=[clip], autograph=False).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([traced])
