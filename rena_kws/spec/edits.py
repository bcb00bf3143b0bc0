"""RENA's three edits as data, and `apply`, which gives the edited network or says why there is none.

Insert puts a layer behind a tensor: whatever read that tensor reads the new layer. Remove lets the readers of a layer
read its source, and drops what nobody reads any more. Scale gives one hyperparameter of one layer another value.
Layers and tensors are numbered as in `architecture`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rena_kws.errors import InvalidArchitectureError, ModelError
from rena_kws.spec.architecture import HYPERPARAMETERS, Architecture, Layer
from rena_kws.spec.search_space import SearchSpace


@dataclass(frozen=True)
class Insert:
    """Insert `layer` behind its first source. Further sources (add) are skip connections from earlier tensors."""

    layer: Layer

    def as_json(self) -> dict[str, Any]:
        return {"edit": "insert", "layer": self.layer.as_json()}


@dataclass(frozen=True)
class Remove:
    """Remove layer number `layer`."""

    layer: int

    def as_json(self) -> dict[str, Any]:
        return {"edit": "remove", "layer": self.layer}


@dataclass(frozen=True)
class Scale:
    """Set hyperparameter `name` of layer number `layer` to `value`."""

    layer: int
    name: str
    value: Any

    def as_json(self) -> dict[str, Any]:
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"edit": "scale", "layer": self.layer, "name": self.name, "value": value}


Edit = Insert | Remove | Scale


def edit_from_json(data: Any) -> Edit:
    """The inverse of the edits' `as_json`. Raises `ModelError` for what is no edit."""
    if isinstance(data, Mapping):
        keys, layer = set(data) - {"edit"}, data.get("layer")
        if data.get("edit") == "insert" and keys == {"layer"}:
            return Insert(Layer.from_json(layer))
        if data.get("edit") == "remove" and keys == {"layer"} and type(layer) is int:
            return Remove(layer)
        if data.get("edit") == "scale" and keys == {"layer", "name", "value"} and type(layer) is int:
            value = data["value"]
            return Scale(layer, str(data["name"]), tuple(value) if isinstance(value, list) else value)
    raise ModelError(f"an edit is an insert, remove or scale object; got {data!r:.80}")


def apply(architecture: Architecture, edit: Edit, space: SearchSpace) -> Architecture:
    """The edited network. Raises `InvalidArchitectureError`, naming the rule, where it would be none of the space."""
    if isinstance(edit, Insert):
        layers = _insert(architecture, edit.layer, space)
    elif isinstance(edit, Remove):
        layers = _remove(architecture, edit.layer)
    else:
        layers = _scale(architecture, edit, space)
    if not space.min_layers <= len(layers) <= space.max_layers:
        raise InvalidArchitectureError(
            f"a network has {space.min_layers} to {space.max_layers} layers; the edit gives {len(layers)}"
        )
    return replace(architecture, layers=tuple(layers))


def _insert(architecture: Architecture, layer: Layer, space: SearchSpace) -> list[Layer]:
    space.check(layer)
    if not layer.sources or not all(0 <= source <= len(architecture.layers) for source in layer.sources):
        raise InvalidArchitectureError(
            f"a new layer reads tensors 0 to {len(architecture.layers)}; got {layer.sources or 'none'}"
        )
    behind = layer.sources[0]
    # Readers of `behind` follow it, and tensors after it move up by one: both are the same shift.
    later = [_reread(old, {t: t + (t >= behind) for t in old.sources}) for old in architecture.layers[behind:]]
    return [*architecture.layers[:behind], layer, *later]


def _remove(architecture: Architecture, number: int) -> list[Layer]:
    _check_number(architecture, number)
    instead = architecture.layers[number - 1].sources[0]
    layers = [_reread(layer, {number: instead}) for layer in architecture.layers]
    # The output was the last tensor, or what now stands for it.
    output = instead if number == len(layers) else len(layers)
    return _prune(layers, output)


def _scale(architecture: Architecture, edit: Scale, space: SearchSpace) -> list[Layer]:
    _check_number(architecture, edit.layer)
    layer = architecture.layers[edit.layer - 1]
    if edit.name not in HYPERPARAMETERS[layer.kind]:
        names = ", ".join(HYPERPARAMETERS[layer.kind]) or "none"
        raise InvalidArchitectureError(f"the hyperparameters of a {layer.kind} are {names}; got {edit.name}")
    if edit.value not in space.options(layer.kind, edit.name):
        allowed = ", ".join(map(str, space.options(layer.kind, edit.name)))
        raise InvalidArchitectureError(f"{edit.name} of a {layer.kind} is one of {allowed}; got {edit.value}")
    layers = list(architecture.layers)
    layers[edit.layer - 1] = replace(layer, **{edit.name: edit.value})
    return layers


def _check_number(architecture: Architecture, number: int) -> None:
    if not 1 <= number <= len(architecture.layers):
        raise InvalidArchitectureError(f"layers are numbered 1 to {len(architecture.layers)}; got {number}")


def _reread(layer: Layer, renamed: dict[int, int]) -> Layer:
    """The layer with sources renamed, in the canonical order (the latest first, each once)."""
    sources = tuple(sorted({renamed.get(source, source) for source in layer.sources}, reverse=True))
    return layer if sources == layer.sources else replace(layer, sources=sources)


def _prune(layers: list[Layer], output: int) -> list[Layer]:
    """What the output needs, renumbered. An add left with one source is no layer any more: its source stands for it."""
    stands_for = {0: 0}
    for number, layer in enumerate(layers, start=1):
        layer = layers[number - 1] = _reread(layer, stands_for)
        lone = layer.kind == "add" and len(layer.sources) == 1
        stands_for[number] = layer.sources[0] if lone else number
    output = stands_for[output]
    needed = {output}
    for number in range(output, 0, -1):
        if number in needed:
            needed.update(layers[number - 1].sources)
    kept = sorted(needed - {0})
    renumbered = {0: 0} | {number: new for new, number in enumerate(kept, start=1)}
    return [_reread(layers[number - 1], renumbered) for number in kept]
