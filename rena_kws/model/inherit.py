"""A network begins with the weights of the trained network it was made from, so that it need not learn again.

    widened      the old channels as they were, the new ones fresh; who reads the new ones begins with zeros
    narrowed     the first channels
    larger window  the old one in its middle, zeros around it; smaller: its middle
    inserted     the identity, where one exists; a new skip connection that is projected adds nothing at first
    another kind fresh, and so is a head for another number of words

So a network that grew computes what it did before, in the manner of Net2Net (Chen, Goodfellow and Shlens,
arXiv 1511.05641) and network morphism (Wei et al., arXiv 1603.01670; both recalled). BatchNorm's statistics are
measured anew, for they belong to signals that may have changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, Trained
from rena_kws.model.keras_model import settle
from rena_kws.spec.alignment import align
from rena_kws.spec.assemble import HEAD
from rena_kws.spec.cost_graph import GATES

Array = NDArray[np.float32]


def inherit(built: BuiltModel, parent: Trained, calibration: Array) -> None:
    """Give `built`, in place, what it has in common with `parent`. BatchNorm's statistics become those of
    `calibration` (clips, height, width, channels)."""
    pairs = align(parent.architecture, built.architecture)
    other_words = parent.architecture.classes != built.architecture.classes
    inserted: list[str] = []
    for layer in built.keras_model.layers:
        if not layer.weights:
            continue
        old = None if layer.name == HEAD and other_words else parent.weights.get(_renamed(layer.name, pairs))
        if old is not None:
            layer.set_weights(_fitted(layer, old))
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            _begin(layer)
            inserted.append(layer.name)
    for name in inserted:  # In the order of the network: each one's statistics depend on those before it.
        settle(built, calibration)
        _pass_through(built.keras_model.get_layer(f"{name}_bn"), silent="_project" in name)
    settle(built, calibration)


_NUMBERED = re.compile(r"l(\d+)(.*?)(?:_project(\d+)(.*))?")


def _renamed(name: str, pairs: Mapping[int, int]) -> str:
    """The name in the parent of a layer of the child, "" for one that is new. The head has no number."""
    match = _NUMBERED.fullmatch(name)
    if not match:
        return name
    number, rest, source, end = match.groups()
    renamed = f"l{pairs.get(int(number))}{rest}"
    if source is not None:  # The input is tensor 0 in both.
        renamed += f"_project{pairs.get(int(source)) if int(source) else 0}{end}"
    return "" if "None" in renamed else renamed


def _fitted(layer: Any, old: Sequence[Array]) -> list[Array]:
    """`old` weights, cut and filled up to the shapes of the layer's."""
    fresh: list[Array] = layer.get_weights()
    reads_flat_image = isinstance(layer, keras.layers.Dense) and _is_flatten(layer)
    if reads_flat_image and len(fresh[0]) != len(old[0]):  # Rows are pixels and channels, which moved.
        return fresh
    if isinstance(layer, keras.layers.GRU):
        return _fitted_gru(fresh, old)
    if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
        return [_resized(new, kept, inputs=new.ndim > 1) for new, kept in zip(fresh, old, strict=True)]
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.BatchNormalization):
        return [_resized(new, kept, inputs=False) for new, kept in zip(fresh, old, strict=True)]
    same = all(new.shape == kept.shape for new, kept in zip(fresh, old, strict=True))
    return list(old) if same else fresh


def _fitted_gru(fresh: list[Array], old: Sequence[Array]) -> list[Array]:
    """As a dense layer's, gate by gate: the old units read no new ones. Fresh where other features come in."""
    if len(fresh[0]) != len(old[0]):
        return fresh
    resized = []
    for new, kept, reads_units in zip(fresh, old, (False, True, False), strict=True):
        gates = zip(np.split(new, GATES, axis=-1), np.split(kept, GATES, axis=-1), strict=True)
        resized.append(np.concatenate([_resized(*gate, inputs=reads_units) for gate in gates], axis=-1))
    return resized


def _is_flatten(dense: Any) -> bool:
    (node,) = dense._inbound_nodes
    return isinstance(node.parent_nodes[0].operation, keras.layers.Flatten)


def _resized(fresh: Array, old: Array, inputs: bool) -> Array:
    """Windows on their middles, channels from the first on. With `inputs` the last axis but one is what is read: of
    what the old layer did not read, the old channels read nothing."""
    out = fresh.copy()
    if inputs:
        out[..., : old.shape[-1]] = 0
    if fresh.ndim == 4:  # (height, width, …)
        out[..., : old.shape[-2], : old.shape[-1]] = 0
    into, of = [], []
    for axis, (new_size, old_size) in enumerate(zip(fresh.shape, old.shape, strict=True)):
        windowed = fresh.ndim == 4 and axis < 2
        shift = _middle(new_size) - _middle(old_size) if windowed else 0
        size = min(new_size - max(shift, 0), old_size - max(-shift, 0))
        into.append(slice(max(shift, 0), max(shift, 0) + size))
        of.append(slice(max(-shift, 0), max(-shift, 0) + size))
    out[tuple(into)] = old[tuple(of)]
    return out


def _middle(size: int) -> int:
    """Where "same" padding puts the window's own pixel, at stride 1."""
    return (size - 1) // 2


def _begin(layer: Any) -> None:
    """Weights of the identity, as far as there are channels for it; further output channels stay fresh."""
    (kernel,) = layer.get_weights()
    height, width, read, made = kernel.shape
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel[:] = 0
        kernel[_middle(height), _middle(width)] = 1
    else:
        passed = min(read, made)
        kernel[..., :passed] = 0
        kernel[_middle(height), _middle(width), range(passed), range(passed)] = 1
    layer.set_weights([kernel])


def _pass_through(norm: Any, silent: bool) -> None:
    """Let a BatchNorm with settled statistics change nothing, or pass nothing."""
    _, _, mean, variance = norm.get_weights()
    gamma, beta = (0 * mean, 0 * mean) if silent else (np.sqrt(variance + norm.epsilon), mean)
    norm.set_weights([gamma, beta, mean, variance])
