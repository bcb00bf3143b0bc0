"""An architecture as a Keras model: convolution → BatchNorm → ReLU, through the assembly the cost graph also uses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel
from rena_kws.spec.architecture import Architecture, Shape, same_size
from rena_kws.spec.assemble import Padding, assemble

BATCH_NORM_MOMENTUM = 0.9
"""A candidate trains for a few hundred steps; Keras' default 0.99 would still hold the initial statistics then."""


def build(architecture: Architecture, batch_size: int | None = None) -> BuiltModel:
    """Build the network with fresh weights from Keras' random state (`keras.utils.set_random_seed` repeats them).

    Input float32 (batch, height, width, channels), output class probabilities (batch, classes). `batch_size` None, for
    training, accepts any batch; 1 makes the batch static. Models of one architecture have the same weights in the same
    order: `a.set_weights(b.get_weights())`.
    """
    inputs, outputs = assemble(architecture, _KerasFactory(batch_size))
    return BuiltModel(architecture, keras.Model(inputs, outputs, name=f"kws_{architecture.id}"))


def copy_of(built: BuiltModel, batch_size: int | None = None) -> keras.Model:
    """Another Keras model of the same network with the same weights; `batch_size` as in `build`."""
    model = build(built.architecture, batch_size).keras_model
    model.set_weights(built.keras_model.get_weights())
    return model


def settle(built: BuiltModel, x: NDArray[np.float32]) -> None:
    """Give every BatchNorm the statistics of `x` (clips, height, width, channels), as training would.

    With its initial ones an untrained deep network passes hardly any signal, and its int8 scales come out near zero.
    """
    layers = [layer for layer in built.keras_model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.momentum = 0.0
    built.keras_model(x, training=True)
    for layer in layers:
        layer.momentum = BATCH_NORM_MOMENTUM


class _KerasFactory:
    """A layer factory (see `assemble`) of Keras layers."""

    def __init__(self, batch_size: int | None) -> None:
        self._batch_size = batch_size

    def input(self, shape: Shape) -> Any:
        return keras.Input(batch_shape=(self._batch_size, *shape), name="input")

    def conv(
        self,
        x: Any,
        channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: int,
        padding: Padding,
        relu: bool,
        name: str,
    ) -> Any:
        x, how = _padded(x, kernel[1], stride[1], dilation, padding, name)
        # The bias would be lost in BatchNorm's mean.
        layer = keras.layers.Conv2D(channels, kernel, stride, how, dilation_rate=dilation, use_bias=False, name=name)
        return _normalise(layer(x), relu, name)

    def depthwise(self, x: Any, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, name: str) -> Any:
        x, how = _padded(x, kernel[1], stride[1], 1, padding, name)
        layer = keras.layers.DepthwiseConv2D(kernel, stride, how, use_bias=False, name=name)
        return _normalise(layer(x), True, name)

    def pool(
        self, x: Any, kind: str, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, name: str
    ) -> Any:
        pooling = keras.layers.AveragePooling2D if kind == "avg_pool" else keras.layers.MaxPooling2D
        x, how = _padded(x, kernel[1], stride[1], 1, padding, name)
        return pooling(kernel, stride, how, name=name)(x)

    def add(self, xs: list[Any], name: str) -> Any:
        return keras.layers.Add(name=name)(xs)

    def flatten(self, x: Any, name: str) -> Any:
        return keras.layers.Flatten(name=name)(x)

    def global_average(self, x: Any, name: str) -> Any:
        return keras.layers.GlobalAveragePooling2D(name=name)(x)

    def dense(self, x: Any, units: int, activation: str, name: str) -> Any:
        return keras.layers.Dense(units, activation=activation, name=name)(x)

    def gru(self, x: Any, units: int, name: str) -> Any:
        _, height, width, channels = x.shape
        x = keras.layers.Reshape((height, width * channels), name=f"{name}_rows")(x)
        # The form with two biases is the one that quantises: the state's product is a sum of its own.
        return keras.layers.GRU(units, reset_after=True, name=name)(x)


def _padded(x: Any, size: int, stride: int, dilation: int, padding: Padding, name: str) -> tuple[Any, str]:
    """The image, with zeros beside it where only its width (axis 2) pads to "same", and the padding that is left."""
    if padding[0] == padding[1]:
        return x, padding[0]
    width = x.shape[2]
    total = max(0, (same_size(width, stride) - 1) * stride + (size - 1) * dilation + 1 - width)
    if total:
        beside = ((0, 0), (total // 2, total - total // 2))
        x = keras.layers.ZeroPadding2D(beside, name=f"{name}_pad")(x)
    return x, padding[0]


def _normalise(x: Any, relu: bool, name: str) -> Any:
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x
