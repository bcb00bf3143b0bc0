"""Small int8 TFLite models made without TensorFlow."""

from __future__ import annotations

import numpy as np

from rena_kws.artifacts import ConvertedModel
from rena_kws.convert.model_builder import ModelBuilder

__all__ = ["ModelBuilder", "small_conv_model"]


def small_conv_model(input_scale: float = 0.05) -> ConvertedModel:
    """A 3×3 convolution, a dense layer and a softmax over five classes, with random weights; input int8[1, 8, 6, 1]."""
    rng = np.random.default_rng(0)
    model = ModelBuilder()
    x = model.tensor((1, 8, 6, 1), scale=input_scale, zero_point=-3)
    kernel = model.tensor((4, 3, 3, 1), scale=[0.02] * 4, data=rng.integers(-127, 128, (4, 3, 3, 1)))
    features = model.tensor((1, 4, 3, 4), scale=0.1, zero_point=-128)
    model.op("CONV_2D", [x, kernel], [features], "Conv2DOptions", padding=0, strideW=2, strideH=2)
    flat = model.tensor((1, 48), scale=0.1, zero_point=-128)
    model.op("RESHAPE", [features], [flat], "ReshapeOptions", newShape=[1, 48])
    weights = model.tensor((5, 48), scale=0.01, data=rng.integers(-127, 128, (5, 48)))
    logits = model.tensor((1, 5), scale=0.05, zero_point=5)
    model.op("FULLY_CONNECTED", [flat, weights, -1], [logits], "FullyConnectedOptions")
    shares = model.tensor((1, 5), scale=1 / 256, zero_point=-128)
    model.op("SOFTMAX", [logits], [shares], "SoftmaxOptions", beta=1.0)
    return ConvertedModel("tflite", model.build([x], [shares]), "small")
