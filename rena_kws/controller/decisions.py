"""An edit as a sequence of decisions, each among the choices that lead to a valid network.

RENA's heads: first the action; insert then points at the tensor to stand behind, picks the kind, the skip source of an
add, and the hyperparameters one by one; remove points at a layer; scale points at a layer, picks a hyperparameter and
its value. Who decides is a `Chooser`: a uniform random one makes random search, the policy network makes RENA. So both
search the same space by the same moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rena_kws.errors import InvalidArchitectureError
from rena_kws.spec.architecture import FLAT, HYPERPARAMETERS, Architecture, Layer
from rena_kws.spec.edits import Edit, Insert, Remove, Scale, apply
from rena_kws.spec.search_space import SearchSpace

ACTIONS = ("insert", "remove", "scale")
NAMES = ("kernel_h", "kernel_w", "stride", "dilation", "channels")
Mask = Sequence[bool]


class Chooser(Protocol):
    """Decides. `allowed` holds at least one True, and the answer is the index of one."""

    def pick(self, head: str, allowed: Mask) -> int:
        """One entry of a head's fixed list (see `heads`)."""

    def point(self, head: str, allowed: Mask) -> int:
        """One tensor of the network: 0 the input, i the output of layer i."""


class UniformChooser:
    """Every allowed choice with equal probability."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def pick(self, head: str, allowed: Mask) -> int:
        return int(self._rng.choice(np.flatnonzero(allowed)))

    def point(self, head: str, allowed: Mask) -> int:
        return self.pick(head, allowed)


def heads(space: SearchSpace) -> dict[str, tuple[Any, ...]]:
    """Head → what its choices mean. The heads that point at tensors ("behind", "skip", "layer") have no fixed list."""
    return {"action": ACTIONS, "kind": space.kinds, "name": NAMES, **space.vocabulary}


POINTERS = ("behind", "skip", "layer")


def decide(architecture: Architecture, space: SearchSpace, chooser: Chooser) -> Edit:
    """One edit, decided by the chooser. Raises `InvalidArchitectureError` where the space leaves no edit at all."""
    numbers = range(1, len(architecture.layers) + 1)
    insertable = [bool(_insertable(architecture, space, tensor)) for tensor in (0, *numbers)]
    scalable = [False, *(_is_scalable(layer, space) for layer in architecture.layers)]
    allowed = [
        len(architecture.layers) < space.max_layers and any(insertable),
        any(_removable(architecture, space, number) for number in numbers),
        any(scalable),
    ]
    if not any(allowed):
        raise InvalidArchitectureError(f"a search space must allow an edit; none is left for network {architecture.id}")
    action = ACTIONS[chooser.pick("action", allowed)]
    if action == "insert":
        return _decide_insert(architecture, space, chooser, insertable)
    if action == "remove":
        return Remove(chooser.point("layer", [False, *(_removable(architecture, space, number) for number in numbers)]))
    number = chooser.point("layer", scalable)
    layer = architecture.layers[number - 1]
    values = {name: _others(layer, space, name) for name in HYPERPARAMETERS[layer.kind]}
    name = NAMES[chooser.pick("name", [bool(values.get(name)) for name in NAMES])]
    return Scale(number, name, _pick_value(space, chooser, name, values[name]))


def _decide_insert(architecture: Architecture, space: SearchSpace, chooser: Chooser, insertable: Mask) -> Insert:
    behind = chooser.point("behind", insertable)
    kinds = _insertable(architecture, space, behind)
    kind = space.kinds[chooser.pick("kind", [kind in kinds for kind in space.kinds])]
    sources: tuple[int, ...] = (behind,)
    if kind == "add":
        sources += (chooser.point("skip", [tensor < behind for tensor in range(len(architecture.layers) + 1)]),)
    values = {name: _pick_value(space, chooser, name, space.options(kind, name)) for name in HYPERPARAMETERS[kind]}
    return Insert(Layer(kind, sources, **values))


def _pick_value(space: SearchSpace, chooser: Chooser, name: str, options: Sequence[Any]) -> Any:
    vocabulary = space.vocabulary[name]
    return vocabulary[chooser.pick(name, [value in options for value in vocabulary])]


def _insertable(architecture: Architecture, space: SearchSpace, behind: int) -> set[str]:
    """The kinds that can stand behind a tensor: behind a flat one only dense, before anything else nothing flat."""
    kinds = set(space.kinds)
    if architecture.is_flat(behind):
        return kinds & {"dense"}
    if behind == 0:
        kinds.discard("add")
    if any(architecture.layers[number - 1].kind != "dense" for number in architecture.readers(behind)):
        kinds.difference_update(FLAT)
    return kinds


def _removable(architecture: Architecture, space: SearchSpace, number: int) -> bool:
    """Tried, because the adds that read a layer, and what only they read, may go with it."""
    if len(architecture.layers) <= space.min_layers:
        return False
    if not any(layer.kind == "add" for layer in architecture.layers):
        return True
    try:
        apply(architecture, Remove(number), space)
    except InvalidArchitectureError:
        return False
    return True


def _is_scalable(layer: Layer, space: SearchSpace) -> bool:
    """Whether some hyperparameter of a layer can take another value."""
    return layer.kind in space.kinds and any(_others(layer, space, name) for name in HYPERPARAMETERS[layer.kind])


def _others(layer: Layer, space: SearchSpace, name: str) -> list[Any]:
    """The other values that a hyperparameter of a layer can take."""
    return [value for value in space.options(layer.kind, name) if value != getattr(layer, name)]
