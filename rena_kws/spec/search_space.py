"""Which networks a search may propose: the values each hyperparameter can take, and how deep a network goes.

The default is a space of small keyword-spotting networks for 49×10 MFCC inputs on microcontrollers (aimed at 30 ms on a
100 MHz Cortex-M4, 32 kB of RAM, 80 kB of flash). Channels are multiples of four because the kernels of such chips work
on four at a time. Strides are powers of two, so that any two tensors of a network can be added (`projection_stride`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from rena_kws.errors import InvalidArchitectureError
from rena_kws.spec.architecture import (
    FLAT,
    HYPERPARAMETERS,
    TFLITE_KINDS,
    WINDOWS,
    Architecture,
    Layer,
    Shape,
    TimePadding,
)
from rena_kws.spec.cost_graph import cost


@dataclass(frozen=True)
class SearchSpace:
    """Allowed values. A kind takes those of its own field where there is one (`pool_…`, `ds_stride`, `units`).

    `kinds` are those that any device runs; a profiler may know more (`Profiler.kinds`).
    """

    kinds: tuple[str, ...] = TFLITE_KINDS
    kernel_h: tuple[int, ...] = (1, 3, 5, 7, 10)
    kernel_w: tuple[int, ...] = (1, 3, 4, 5)
    stride: tuple[tuple[int, int], ...] = ((1, 1), (2, 1), (2, 2))
    ds_stride: tuple[tuple[int, int], ...] = ((1, 1), (2, 2))
    dilation: tuple[int, ...] = (2, 4)
    channels: tuple[int, ...] = (8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96)
    pool_kernel_h: tuple[int, ...] = (2, 3, 4)
    pool_kernel_w: tuple[int, ...] = (1, 2, 3)
    pool_stride: tuple[tuple[int, int], ...] = ((1, 1), (2, 1), (2, 2))
    units: tuple[int, ...] = (16, 32, 48, 64, 96, 128)
    min_layers: int = 1
    max_layers: int = 12
    time_padding: TimePadding = "same"

    @classmethod
    def streaming(cls) -> SearchSpace:
        """Networks that a stream evaluates row by row as sound arrives: chains of windows without padding in time."""
        return cls(kinds=WINDOWS, time_padding="valid")

    def options(self, kind: str, name: str) -> tuple[Any, ...]:
        """The values that hyperparameter `name` of a layer of `kind` can take."""
        if kind.endswith("pool"):
            return tuple(getattr(self, f"pool_{name}"))
        if kind == "ds_conv2d" and name == "stride":
            return self.ds_stride
        if kind in FLAT:
            return self.units
        return tuple(getattr(self, name))

    @cached_property
    def vocabulary(self) -> dict[str, tuple[Any, ...]]:
        """Hyperparameter → every value it can take in any kind of this space, sorted."""
        values: dict[str, set[Any]] = {}
        for kind in self.kinds:
            for name in HYPERPARAMETERS[kind]:
                values.setdefault(name, set()).update(self.options(kind, name))
        return {name: tuple(sorted(found)) for name, found in values.items()}

    def check(self, layer: Layer) -> None:
        """Raise `InvalidArchitectureError` for a layer that the space does not hold."""
        if layer.kind not in self.kinds:
            raise InvalidArchitectureError(f"the search space has {', '.join(self.kinds)}; got {layer.kind}")
        for name in HYPERPARAMETERS[layer.kind]:
            allowed, value = self.options(layer.kind, name), getattr(layer, name)
            if value not in allowed:
                raise InvalidArchitectureError(
                    f"{name} of a {layer.kind} is one of {', '.join(map(str, allowed))}; got {value}"
                )


def seed_architecture(
    classes: int,
    input_shape: Shape = (49, 10, 1),
    channels: int = 24,
    blocks: int = 3,
    time_padding: TimePadding = "same",
) -> Architecture:
    """A DS-CNN of the default space: a convolution, then `blocks` depthwise-separable layers, all `channels` wide."""
    first = Layer("conv2d", (0,), kernel_h=10, kernel_w=4, stride=(2, 2), channels=channels)
    rest = tuple(Layer("ds_conv2d", (i + 1,), kernel_h=3, kernel_w=3, channels=channels) for i in range(blocks))
    return Architecture(classes, (first, *rest), input_shape, time_padding)


def ladder(
    classes: int, input_shape: Shape = (49, 10, 1), time_padding: TimePadding = "same"
) -> tuple[Architecture, ...]:
    """DS-CNNs to begin a search with, the largest first: about 21, 15, 8, 4 and 2 ms on a 100 MHz Cortex-M4."""
    rungs = ((40, 4), (32, 4), (24, 3), (16, 2), (8, 1))
    return tuple(seed_architecture(classes, input_shape, channels, blocks, time_padding) for channels, blocks in rungs)


def smallest(space: SearchSpace, classes: int, input_shape: Shape = (49, 10, 1)) -> Architecture:
    """The network of the space with the fewest bytes of weights, then the fewest bytes moved, then the fewest MACs.

    Where even this one breaks a limit on latency or memory, no network of the space keeps it.
    """
    stacks: list[tuple[Layer, ...]] = [(layer,) for layer in _single_layers(space)]
    if space.min_layers == 0:
        stacks.append(())
    candidates = []
    for stack in stacks:
        with suppress(InvalidArchitectureError):  # a window larger than the input
            candidates.append(Architecture(classes, stack, input_shape, space.time_padding))

    def size(candidate: Architecture) -> tuple[int, int, int]:
        figures = cost(candidate)
        return figures.weight_bytes, figures.bytes_moved, figures.macs

    return min(candidates, key=size)


def _single_layers(space: SearchSpace) -> list[Layer]:
    """Every layer of the space that can stand on the input."""
    layers = []
    for kind in space.kinds:
        if kind == "add":
            continue
        names = HYPERPARAMETERS[kind]
        for values in product(*(space.options(kind, name) for name in names)):
            layers.append(Layer(kind, (0,), **dict(zip(names, values, strict=True))))
    return layers
