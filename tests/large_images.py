"""Two int8 models whose largest images lie between operators, to see what running by bands of rows saves.

    python tests/large_images.py FOLDER
    rena-kws bench FOLDER/conv_pool.tflite FOLDER/inverted_residuals.tflite --optimize speed  # each operator by itself

conv_pool: log-mel 98 × 40 through a convolution at full size, pooled at once, as the first keyword networks did.
inverted_residuals: MobileNetV2's blocks (1×1 to six times the channels, depthwise, 1×1 back, sum) on 49 × 10 × 8.
The weights are random: what is shown is memory and cycles, and the outputs are those of TensorFlow Lite Micro.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from flatbuffer_models import ModelBuilder

SCALE, WEIGHT_SCALE = 0.05, 0.002


class Network:
    """A chain of operators at one scale."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.model, self.random = ModelBuilder(), np.random.default_rng(0)
        self.input = self.end = self.model.tensor(shape, scale=SCALE, zero_point=-128)

    def _weights(self, shape: tuple[int, ...], axis: int) -> tuple[int, int]:
        """Weights with channels on `axis`, and their biases."""
        channels = shape[axis]
        data = self.random.integers(-127, 128, shape)
        weights = self.model.tensor(shape, scale=[WEIGHT_SCALE] * channels, axis=axis, data=data)
        biases = self.random.integers(-1000, 1000, channels)
        scales = [SCALE * WEIGHT_SCALE] * channels
        return weights, self.model.tensor((channels,), scale=scales, data=biases, dtype="int32")

    def _image(self, channels: int, stride: int) -> int:
        _, height, width, _ = self.model.shape(self.end)
        return self.model.tensor((1, -(-height // stride), -(-width // stride), channels), scale=SCALE, zero_point=-128)

    def convolution(self, channels: int, kernel: tuple[int, int], stride: int = 1, relu: bool = True) -> None:
        weights, bias = self._weights((channels, *kernel, self.model.shape(self.end)[3]), 0)
        out = self._image(channels, stride)
        options = {"padding": 0, "strideH": stride, "strideW": stride, "fusedActivationFunction": int(relu)}
        self.model.op("CONV_2D", [self.end, weights, bias], [out], "Conv2DOptions", **options)
        self.end = out

    def depthwise(self, stride: int = 1) -> None:
        channels = self.model.shape(self.end)[3]
        out = self._image(channels, stride)
        options = {
            "padding": 0,
            "strideH": stride,
            "strideW": stride,
            "depthMultiplier": 1,
            "fusedActivationFunction": 1,
        }
        weights, bias = self._weights((1, 3, 3, channels), 3)
        self.model.op("DEPTHWISE_CONV_2D", [self.end, weights, bias], [out], "DepthwiseConv2DOptions", **options)
        self.end = out

    def pool(self, size: int) -> None:
        out = self._image(self.model.shape(self.end)[3], size)
        options = {"padding": 0, "strideH": size, "strideW": size, "filterHeight": size, "filterWidth": size}
        self.model.op("MAX_POOL_2D", [self.end], [out], "Pool2DOptions", **options)
        self.end = out

    def add(self, other: int) -> None:
        out = self._image(self.model.shape(self.end)[3], 1)
        self.model.op("ADD", [self.end, other], [out], "AddOptions")
        self.end = out

    def build(self) -> bytes:
        return self.model.build([self.input], [self.end])


def conv_pool() -> bytes:
    network = Network((1, 98, 40, 1))
    network.convolution(32, (8, 8))
    network.pool(4)
    network.convolution(48, (5, 3))
    network.pool(3)
    return network.build()


def inverted_residuals() -> bytes:
    network = Network((1, 49, 10, 1))
    network.convolution(8, (3, 3))
    for _ in range(3):
        before = network.end
        network.convolution(48, (1, 1))
        network.depthwise()
        network.convolution(8, (1, 1), relu=False)
        network.add(before)
    return network.build()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/large_images.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for make in (conv_pool, inverted_residuals):
        (folder / f"{make.__name__}.tflite").write_bytes(make())


if __name__ == "__main__":
    main()
