"""The one routine that turns an architecture into layers.

It is given a factory: Keras layers make the trainable network, plain counters make the cost graph. Since both come from
this routine, what is trained and what is costed cannot drift apart.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from rena_kws.spec.architecture import Architecture, Layer, Shape, add_shape, paddings, projection_stride

T = TypeVar("T")
Padding = tuple[str, str]

HEAD = "head_softmax"
"""The name of the layer that tells the classes."""


class LayerFactory(Protocol[T]):
    """Makes operations on tensors of type T. `padding` of a window is "same" or "valid", along time and frequency;
    `name` is unique within a network."""

    def input(self, shape: Shape) -> T: ...

    def conv(
        self,
        x: T,
        channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: int,
        padding: Padding,
        relu: bool,
        name: str,
    ) -> T:
        """Convolution → BatchNorm → ReLU, or without the ReLU where it is False."""

    def depthwise(self, x: T, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, name: str) -> T:
        """Depthwise convolution → BatchNorm → ReLU."""

    def pool(self, x: T, kind: str, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, name: str) -> T:
        """Pooling; `kind` is avg_pool or max_pool."""

    def add(self, xs: list[T], name: str) -> T:
        """Element-wise sum of tensors of one shape."""

    def flatten(self, x: T, name: str) -> T:
        """All elements of a clip as one vector."""

    def global_average(self, x: T, name: str) -> T:
        """The mean over height and width."""

    def dense(self, x: T, units: int, activation: str, name: str) -> T:
        """Fully connected layer with bias; `activation` is relu or softmax."""

    def gru(self, x: T, units: int, name: str) -> T:
        """The last state of a GRU that reads a clip's rows, each as one vector."""


def assemble(architecture: Architecture, factory: LayerFactory[T]) -> tuple[T, T]:
    """Build the network with the factory's layers. Returns its input and its output (the class probabilities)."""
    tensors = [factory.input(architecture.input_shape)]
    for number, layer in enumerate(architecture.layers, start=1):
        name = f"l{number}_{layer.kind}"
        if layer.kind == "add":
            tensors.append(_add(architecture, layer, tensors, factory, name))
        elif layer.kind == "dense":
            (source,) = layer.sources
            x = tensors[source]
            if not architecture.is_flat(source):
                x = factory.flatten(x, f"l{number}_flatten")
            tensors.append(factory.dense(x, layer.channels, "relu", name))
        elif layer.kind == "gru":
            tensors.append(factory.gru(tensors[layer.sources[0]], layer.channels, name))
        else:
            padding = paddings(architecture.time_padding, layer.kind.endswith("pool"))
            tensors.append(_window(layer, padding, tensors[layer.sources[0]], factory, name))
    head = tensors[-1]
    if not architecture.is_flat(len(tensors) - 1):
        head = factory.global_average(head, "head_average")
    return tensors[0], factory.dense(head, architecture.classes, "softmax", HEAD)


def _window(layer: Layer, padding: Padding, x: T, factory: LayerFactory[T], name: str) -> T:
    """A layer that slides a window: convolutions and pools."""
    kernel = (layer.kernel_h, layer.kernel_w)
    if layer.kind == "ds_conv2d":
        x = factory.depthwise(x, kernel, layer.stride, padding, f"{name}_depthwise")
        return factory.conv(x, layer.channels, (1, 1), (1, 1), 1, padding, True, f"{name}_pointwise")
    if layer.kind in ("avg_pool", "max_pool"):
        return factory.pool(x, layer.kind, kernel, layer.stride, padding, name)
    return factory.conv(x, layer.channels, kernel, layer.stride, layer.dilation, padding, True, name)


def _add(architecture: Architecture, layer: Layer, tensors: list[T], factory: LayerFactory[T], name: str) -> T:
    """Sum of the sources; those of another shape pass a 1×1 projection first."""
    target = add_shape([architecture.shapes[source] for source in layer.sources])
    terms = []
    for source in layer.sources:
        x, shape = tensors[source], architecture.shapes[source]
        if shape != target:
            stride = projection_stride(shape, target)
            assert stride is not None  # a constructed Architecture has checked this
            x = factory.conv(x, target[2], (1, 1), stride, 1, ("same", "same"), False, f"{name}_project{source}")
        terms.append(x)
    return factory.add(terms, name)
