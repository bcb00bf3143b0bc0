"""Int8 networks without padding in time, with random weights, made without TensorFlow: what a stream can run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from flatbuffer_models import ModelBuilder
from hypothesis import strategies as st

from rena_kws.artifacts import ConvertedModel

FEATURES = 40
_SPREAD = 74.0  # Of uniformly distributed int8.


@dataclass(frozen=True)
class WindowLayer:
    """A window of `kernel` rows and columns, moved by `stride`; `beside` zeros on both sides of each row."""

    op: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: int = 1
    beside: int = 0
    channels: int = 1

    @property
    def rows(self) -> int:
        return (self.kernel[0] - 1) * self.dilation + 1


@st.composite
def window_layers(draw: st.DrawFn) -> WindowLayer:
    op = draw(st.sampled_from(("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
    dilation = draw(st.integers(1, 2)) if op == "CONV_2D" else 1
    stride = (1, 1) if dilation > 1 else draw(st.tuples(st.integers(1, 3), st.integers(1, 2)))
    if op == "DEPTHWISE_CONV_2D":
        stride = (stride[1], stride[1])
    beside = draw(st.integers(0, 1)) if op.endswith("CONV_2D") else 0
    return WindowLayer(op, kernel, stride, dilation, beside, draw(st.integers(1, 6)))


def frames_read(layers: list[WindowLayer], rows: int) -> int:
    """Of the input, where the last map has so many rows."""
    for layer in reversed(layers):
        rows = (rows - 1) * layer.stride[0] + layer.rows
    return rows


def network(
    layers: list[WindowLayer],
    rows: int,
    classes: int,
    seed: int,
    steps: tuple[float, int] = (0.12, -120),
    unread: int = 0,
) -> ConvertedModel:
    """The windows, the average over the `rows` rows that are left, a dense layer and a softmax. Scale and zero point of
    the input are `steps`; a clip is `unread` frames longer than needed."""
    rng, builder = np.random.default_rng(seed), ModelBuilder()
    scale, zero_point = steps
    shape = (1, frames_read(layers, rows) + unread, FEATURES, 1)
    x = source = builder.tensor(shape, scale=scale, zero_point=zero_point)
    for layer in layers:
        x, scale = _window(builder, layer, x, scale, rng)
    channels = builder.shape(x)[3]
    mean = builder.tensor((1, channels), scale=scale / 4, zero_point=-7)
    axes = builder.tensor((2,), data=np.array([1, 2]), dtype="int32")
    builder.op("MEAN", [x, axes], [mean], "ReducerOptions", version=2, keepDims=False)
    weights = rng.integers(-127, 128, (classes, channels))
    dense = builder.tensor(weights.shape, scale=40 / (_SPREAD**2 * math.sqrt(channels) * scale), data=weights)
    logits = builder.tensor((1, classes), scale=0.1, zero_point=5)
    builder.op("FULLY_CONNECTED", [mean, dense, -1], [logits], "FullyConnectedOptions", version=4)
    shares = builder.tensor((1, classes), scale=1 / 256, zero_point=-128)
    builder.op("SOFTMAX", [logits], [shares], "SoftmaxOptions", version=2, beta=1.0)
    return ConvertedModel("tflite", builder.build([source], [shares]), "windows")


def _window(
    builder: ModelBuilder, layer: WindowLayer, x: int, scale: float, rng: np.random.Generator
) -> tuple[int, float]:
    if layer.beside:
        x = _padded(builder, layer.beside, x, scale)
    _, height, width, channels = builder.shape(x)
    columns = min((layer.kernel[1] - 1) * layer.dilation + 1, width)
    kernel_w = (columns - 1) // layer.dilation + 1
    shape = [1, (height - layer.rows) // layer.stride[0] + 1, (width - columns) // layer.stride[1] + 1, channels]
    moves = {"padding": "VALID", "strideH": layer.stride[0], "strideW": layer.stride[1]}
    if layer.op.endswith("POOL_2D"):
        out = builder.tensor(shape, scale=scale, zero_point=_zero(builder, x))
        size = {"filterHeight": layer.kernel[0], "filterWidth": kernel_w}
        builder.op(layer.op, [x], [out], "Pool2DOptions", version=2, **moves, **size)
        return out, scale
    depthwise = layer.op == "DEPTHWISE_CONV_2D"
    shape[3] = channels if depthwise else layer.channels
    filters = (1, layer.kernel[0], kernel_w, channels) if depthwise else (shape[3], layer.kernel[0], kernel_w, channels)
    weights = rng.integers(-127, 128, filters)
    constant = builder.tensor(filters, scale=[0.01] * shape[3], axis=3 if depthwise else 0, data=weights)
    bias_scales = [scale * 0.01] * shape[3]
    bias = builder.tensor((shape[3],), scale=bias_scales, data=rng.integers(-9999, 9999, shape[3]), dtype="int32")
    out_scale = scale * 0.01 * _SPREAD**2 * math.sqrt(math.prod(filters[1:3]) * (1 if depthwise else channels)) / 40
    out = builder.tensor(shape, scale=out_scale, zero_point=int(rng.integers(-128, 20)))
    options = {"dilationHFactor": layer.dilation, "dilationWFactor": layer.dilation, "fusedActivationFunction": "RELU"}
    table = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    extra = {"depthMultiplier": 1} if depthwise else {}
    builder.op(layer.op, [x, constant, bias], [out], table, version=3, **moves, **options, **extra)
    return out, out_scale


def _padded(builder: ModelBuilder, beside: int, x: int, scale: float) -> int:
    one, height, width, channels = builder.shape(x)
    out = builder.tensor((one, height, width + 2 * beside, channels), scale=scale, zero_point=_zero(builder, x))
    amounts = builder.tensor((4, 2), data=np.array([[0, 0], [0, 0], [beside, beside], [0, 0]]), dtype="int32")
    builder.op("PAD", [x, amounts], [out], "PadOptions", version=2)
    return out


def _zero(builder: ModelBuilder, tensor: int) -> int:
    return int(builder.finish().tensors[tensor].quantization.zeroPoint[0])
