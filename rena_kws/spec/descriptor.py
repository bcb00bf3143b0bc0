"""A network as a vector of numbers, for models that predict from few examples: size, depth, width, view, kinds."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from rena_kws.spec.architecture import FLAT, KINDS, Architecture, Layer
from rena_kws.spec.cost_graph import cost

CONVOLUTIONS = ("conv2d", "ds_conv2d", "dilated_conv2d")


def describe(architecture: Architecture) -> NDArray[np.float64]:
    """(features,): always as many; sizes as logarithms, so that a doubling is the same step everywhere."""
    price = cost(architecture)
    layers, shapes = architecture.layers, architecture.shapes
    convolutions = [layer for layer in layers if layer.kind in CONVOLUTIONS]
    widths = [float(np.log(layer.channels)) for layer in convolutions] or [0.0]
    view, stride, depth = _view(architecture)
    first = layers[0] if layers else Layer("conv2d", (0,))
    size_h, size_w, _ = architecture.input_shape
    sizes = [price.macs + 1, price.params, price.activation_ram_bytes, prod(shapes[-1]), *shapes[-1]]
    sizes += [min(prod(shape) for shape in shapes), *view, *stride]
    sizes += [min(view[0], size_h), min(view[1], size_w), *first.stride, first.channels]
    counts = [sum(layer.kind == kind for layer in layers) for kind in KINDS]
    kernel = [first.kernel_h, first.kernel_w, first.kind == "conv2d"]
    width = [min(widths), max(widths), float(np.mean(widths)), widths[0], widths[-1]]
    return np.array([*np.log(sizes), *counts, *kernel, *width, depth, len(layers)], np.float64)


def _view(architecture: Architecture) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Of the last tensor: receptive field and stride in elements of the input, and the most convolutions on a path."""
    views, strides, depths = [(1, 1)], [(1, 1)], [0]
    for layer in architecture.layers:
        window = (1, 1) if layer.kind in ("add", *FLAT) else (layer.kernel_h, layer.kernel_w)
        stride = strides[layer.sources[0]]
        reach = [(window[axis] - 1) * layer.dilation * stride[axis] for axis in (0, 1)]
        widest = [max(views[source][axis] for source in layer.sources) for axis in (0, 1)]
        views.append((widest[0] + reach[0], widest[1] + reach[1]))
        strides.append((stride[0] * layer.stride[0], stride[1] * layer.stride[1]))
        depths.append(max(depths[source] for source in layer.sources) + (layer.kind in CONVOLUTIONS))
    return views[-1], strides[-1], depths[-1]
