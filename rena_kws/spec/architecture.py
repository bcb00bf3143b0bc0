"""What a network is: an immutable graph of layers with skip connections, its shapes, its JSON, its name.

Tensors are numbered: 0 is the input, i the output of layer i (counted from one). A layer names the tensors it reads,
each smaller than its own number, so the order of the layers is an order of computation. The last tensor feeds an
implicit head: global average pooling (unless it is flat already), a dense layer and a softmax over the classes.

With the time padding "same" all convolutions and pools pad to "same", so an axis of n elements at stride s has
ceil(n / s) afterwards and never collapses. `add` brings its sources to one shape by projecting (1×1 convolution,
strided) those that differ. `gru` reads a map's rows one after the other, each as one vector of width × channels, and
gives its last state. It and `dense` give flat tensors, which only `dense` and the head can read.

With "valid" nothing is padded along time (the height): each row of each tensor depends on its own frames alone, however
the clip around them is cut, so that a stream can keep rows from one result to the next. Such a network is a chain of
windows: an `add`, a `dense` or a `gru` before the head is refused. Its convolutions still pad to "same" along
frequency; its pools do not pad at all, since TFLite has no pool that pads one axis.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

from rena_kws.errors import InvalidArchitectureError, ModelError

SCHEMA = 1
Shape = tuple[int, int, int]
"""Height (time), width (frequency), channels of one clip."""
TimePadding = Literal["same", "valid"]

HYPERPARAMETERS: dict[str, tuple[str, ...]] = {
    "conv2d": ("kernel_h", "kernel_w", "stride", "channels"),
    "ds_conv2d": ("kernel_h", "kernel_w", "stride", "channels"),
    "dilated_conv2d": ("kernel_h", "kernel_w", "dilation", "channels"),
    "avg_pool": ("kernel_h", "kernel_w", "stride"),
    "max_pool": ("kernel_h", "kernel_w", "stride"),
    "add": (),
    "dense": ("channels",),
    "gru": ("channels",),
}
"""Layer kind → the fields of `Layer` that mean something for it, in the order in which they are decided.

A dilated convolution has no stride: Keras forbids the combination.
"""
KINDS = tuple(HYPERPARAMETERS)
FLAT = ("dense", "gru")
"""Kinds whose output has lost its two axes."""
TFLITE_KINDS = tuple(kind for kind in KINDS if kind != "gru")
"""Kinds of nothing but TFLite's own operators: those that any device runs."""
WINDOWS = tuple(kind for kind in KINDS if kind not in ("add", *FLAT))
"""Kinds that slide a window: those that a network without padding in time may have."""


@dataclass(frozen=True)
class Layer:
    """One layer. Fields its kind does not use keep their default, so that equal networks compare and hash equal.

    `stride` is (height, width). `dense` flattens its input; its `channels` and a gru's are units. A ds_conv2d is a
    depthwise convolution with the kernel and stride, then a pointwise one with the channels.
    """

    kind: str
    sources: tuple[int, ...]
    kernel_h: int = 1
    kernel_w: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    channels: int = 1

    def as_json(self) -> dict[str, Any]:
        """The kind, the sources and the hyperparameters of this kind as plain JSON types."""
        values = {name: getattr(self, name) for name in HYPERPARAMETERS[self.kind]}
        if "stride" in values:
            values["stride"] = list(self.stride)
        return {"kind": self.kind, "sources": list(self.sources), **values}

    @classmethod
    def from_json(cls, data: Any) -> Layer:
        """The inverse of `as_json`. Raises `ModelError` on a missing or unknown key or a value that is no integer."""
        if not isinstance(data, Mapping) or data.get("kind") not in KINDS:
            raise ModelError(f"a layer is an object with a kind; got {data!r:.80} (kinds: {', '.join(KINDS)})")
        kind = data["kind"]
        wanted = {"kind", "sources", *HYPERPARAMETERS[kind]}
        if set(data) != wanted:
            raise ModelError(
                f"a {kind} has the keys {', '.join(sorted(wanted))}; got {', '.join(sorted(map(str, data)))}"
            )
        values: dict[str, Any] = {}
        for key in wanted - {"kind"}:
            is_list = key in ("sources", "stride")
            items = data[key] if is_list else [data[key]]
            if not isinstance(items, list | tuple) or not all(type(item) is int for item in items):
                raise ModelError(
                    f"{key} of a {kind} is {'a list of integers' if is_list else 'an integer'}; got {data[key]!r:.80}"
                )
            values[key] = tuple(items) if is_list else items[0]
        return cls(kind=kind, **values)


@dataclass(frozen=True)
class Architecture:
    """A valid network: constructing one checks it and raises `InvalidArchitectureError`, which says the rule broken.

    Compute `shapes[i]`, the shape of tensor i, and `id`, a name that is equal exactly for equal architectures.
    """

    classes: int
    layers: tuple[Layer, ...]
    input_shape: Shape = (49, 10, 1)
    time_padding: TimePadding = "same"

    def __post_init__(self) -> None:
        if self.time_padding not in get_args(TimePadding):
            raise InvalidArchitectureError(
                f"time_padding is {' or '.join(get_args(TimePadding))}; got {self.time_padding!r}"
            )
        if self.classes < 2:
            raise InvalidArchitectureError(f"a network needs at least 2 classes; got {self.classes}")
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise InvalidArchitectureError(f"an input shape is (height, width, channels); got {self.input_shape}")
        for number, layer in enumerate(self.layers, start=1):
            _check_layer(number, layer)
            if self.time_padding == "valid" and layer.kind not in WINDOWS:
                raise InvalidArchitectureError(
                    f"a network without padding in time has {', '.join(WINDOWS)}; layer {number} is {layer.kind}"
                )
        unused = set(range(1, len(self.layers))) - {source for layer in self.layers for source in layer.sources}
        if unused:
            raise InvalidArchitectureError(
                f"every layer but the last must be read by another; {sorted(unused)} are not"
            )
        _ = self.shapes

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Shape of every tensor, the input first. A flat tensor (see `FLAT`) is (1, 1, units)."""
        shapes = [self.input_shape]
        for number, layer in enumerate(self.layers, start=1):
            if layer.kind != "dense" and any(self.is_flat(source) for source in layer.sources):
                raise InvalidArchitectureError(
                    f"only a dense layer can follow a dense or gru layer; layer {number} is {layer.kind}"
                )
            sources = [shapes[source] for source in layer.sources]
            shapes.append(_output_shape(number, layer, sources, self.time_padding))
        return tuple(shapes)

    @cached_property
    def id(self) -> str:
        """16 hex digits from the SHA-256 of the canonical JSON: the same in every process and on every machine."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_flat(self, tensor: int) -> bool:
        """Whether a tensor has lost its two axes, being the output of a dense or gru layer."""
        return tensor > 0 and self.layers[tensor - 1].kind in FLAT

    def readers(self, tensor: int) -> list[int]:
        """The numbers of the layers that read a tensor."""
        return [number for number, layer in enumerate(self.layers, start=1) if tensor in layer.sources]

    def as_json(self) -> dict[str, Any]:
        """The architecture as plain JSON types, with the schema's version. Left out, the time padding is "same"."""
        return {
            "schema": SCHEMA,
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "layers": [layer.as_json() for layer in self.layers],
            **({"time_padding": self.time_padding} if self.time_padding != "same" else {}),
        }

    @classmethod
    def from_json(cls, data: Any) -> Architecture:
        """The inverse of `as_json`.

        Raises `ModelError` for what is no architecture of this schema, `InvalidArchitectureError` for one that is no
        valid network.
        """
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
            raise ModelError(f"an architecture is a JSON object with schema {SCHEMA}; got {found!r:.80}")
        keys = {"schema", "input_shape", "classes", "layers"}
        if set(data) - {"time_padding"} != keys:
            raise ModelError(
                f"an architecture has the keys {', '.join(sorted(keys))}; got {', '.join(sorted(map(str, data)))}"
            )
        shape, classes, layers = data["input_shape"], data["classes"], data["layers"]
        if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(type(n) is int for n in (*shape, classes)):
            raise ModelError(f"input_shape is three integers and classes one; got {shape!r:.80} and {classes!r:.80}")
        if not isinstance(layers, list | tuple):
            raise ModelError(f"layers is a list; got {layers!r:.80}")
        padding = data.get("time_padding", "same")
        return cls(classes, tuple(Layer.from_json(layer) for layer in layers), (shape[0], shape[1], shape[2]), padding)


def same_size(size: int, stride: int) -> int:
    """Length of an axis after a "same"-padded window moved by `stride`."""
    return -(-size // stride)


def valid_size(size: int, window: int, stride: int) -> int:
    """Length of an axis after a window of `window` elements that stays within it, moved by `stride`; 0: none fits."""
    return (size - window) // stride + 1 if size >= window else 0


def window_shape(
    shape: Shape, kernel: tuple[int, int], stride: tuple[int, int], dilation: int, padding: tuple[str, str]
) -> tuple[int, int]:
    """Height and width after a window, with "same" or "valid" `padding` along each."""
    sizes = (
        same_size(shape[axis], stride[axis])
        if padding[axis] == "same"
        else valid_size(shape[axis], (kernel[axis] - 1) * dilation + 1, stride[axis])
        for axis in (0, 1)
    )
    height, width = sizes
    return height, width


def paddings(time_padding: TimePadding, pool: bool) -> tuple[str, str]:
    """Of a window along time and frequency."""
    return time_padding, "valid" if pool and time_padding == "valid" else "same"


def add_shape(shapes: list[Shape]) -> Shape:
    """What `add` brings its sources to: the smallest height and width among them, the channels of the first."""
    return min(shape[0] for shape in shapes), min(shape[1] for shape in shapes), shapes[0][2]


def projection_stride(source: Shape, target: Shape) -> tuple[int, int] | None:
    """The stride at which a 1×1 convolution takes `source` to the height and width of `target`, if there is one."""
    stride_h, stride_w = (same_size(source[axis], target[axis]) for axis in (0, 1))
    fits = (same_size(source[0], stride_h), same_size(source[1], stride_w)) == target[:2]
    return (stride_h, stride_w) if fits else None


@lru_cache(maxsize=4096)  # an edit leaves most layers as they were
def _check_layer(number: int, layer: Layer) -> None:
    """Rules that concern one layer alone."""
    where = f"layer {number} ({layer.kind})"
    if layer.kind not in HYPERPARAMETERS:
        raise InvalidArchitectureError(f"a layer's kind is one of {', '.join(KINDS)}; {where}")
    if any(not 0 <= source < number for source in layer.sources):
        raise InvalidArchitectureError(f"a layer reads tensors before it; {where} reads {layer.sources}")
    if layer.kind == "add":
        if len(layer.sources) < 2 or list(layer.sources) != sorted(set(layer.sources), reverse=True):
            raise InvalidArchitectureError(
                f"add reads two or more tensors, the latest first; {where} reads {layer.sources}"
            )
    elif len(layer.sources) != 1:
        raise InvalidArchitectureError(f"a {layer.kind} reads one tensor; {where} reads {layer.sources}")
    values = (layer.kernel_h, layer.kernel_w, *layer.stride, layer.dilation, layer.channels)
    if len(layer.stride) != 2 or min(values) < 1:
        raise InvalidArchitectureError(f"hyperparameters are positive and stride is a pair; {where} has {values}")
    for name in ("kernel_h", "kernel_w", "stride", "dilation", "channels"):
        default = (1, 1) if name == "stride" else 1
        if name not in HYPERPARAMETERS[layer.kind] and getattr(layer, name) != default:
            raise InvalidArchitectureError(f"a {layer.kind} has no {name}; {where} sets {getattr(layer, name)}")
    if layer.kind == "ds_conv2d" and layer.stride[0] != layer.stride[1]:
        # TensorFlow's depthwise convolution knows only equal strides.
        raise InvalidArchitectureError(f"a depthwise stride is equal on both axes; {where} has {layer.stride}")


def _output_shape(number: int, layer: Layer, sources: list[Shape], time_padding: TimePadding) -> Shape:
    if layer.kind in FLAT:
        return 1, 1, layer.channels
    if layer.kind == "add":
        target = add_shape(sources)
        for source in sources:
            if projection_stride(source, target) is None:
                raise InvalidArchitectureError(
                    f"add projects its sources by whole strides; layer {number} cannot take {source} to {target}"
                )
        return target
    pool = layer.kind.endswith("pool")
    kernel = (layer.kernel_h, layer.kernel_w)
    height, width = window_shape(sources[0], kernel, layer.stride, layer.dilation, paddings(time_padding, pool))
    if not height or not width:
        raise InvalidArchitectureError(
            f"a window without padding must fit its input; layer {number}, {layer.kind} of "
            f"{layer.kernel_h}×{layer.kernel_w}, reads {sources[0][0]}×{sources[0][1]}"
        )
    return height, width, sources[0][2] if pool else layer.channels
