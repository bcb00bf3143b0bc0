"""What the stages hand on: frozen data, no behaviour beyond reading itself.

Architecture ──model──► BuiltModel ──convert──► ConvertedModel ──firmware──► Firmware
                                                      └──profilers──► Measurement ──reward──► Evaluation
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rena_kws.spec.architecture import Architecture

How = Literal["measured", "emulated", "estimated"]
"""How a figure was obtained: on hardware, in an emulator, or by a formula."""


@dataclass(frozen=True)
class BuiltModel:
    """A Keras model and the architecture it came from."""

    architecture: Architecture
    keras_model: Any


@dataclass(frozen=True)
class Trained:
    """What a network has learnt: its float weights by the names of its Keras layers."""

    architecture: Architecture
    weights: Mapping[str, tuple[NDArray[np.float32], ...]]

    @classmethod
    def of(cls, built: BuiltModel) -> Trained:
        layers = {layer.name: tuple(layer.get_weights()) for layer in built.keras_model.layers}
        return cls(built.architecture, {name: weights for name, weights in layers.items() if weights})

    @property
    def digest(self) -> str:
        """Of the weights: SHA-256, the first 16 digits."""
        found = hashlib.sha256()
        for name, arrays in sorted(self.weights.items()):
            for array in arrays:
                found.update(f"{name} {array.shape} {array.dtype}".encode() + array.tobytes())
        return found.hexdigest()[:16]


@dataclass(frozen=True)
class ConvertedModel:
    """A model file in memory: `format` is "tflite" or "onnx", `data` the file's bytes."""

    format: Literal["tflite", "onnx"]
    data: bytes
    name: str = "model"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class LayerCost:
    """What one layer of a network cost. `cycles` where the device counts them, else `latency_ms`."""

    name: str
    op: str
    macs: int
    cycles: int | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class Measurement:
    """What a device said about a model. Each profile is a correctness check too: `outputs` is what the device computed.

    `cycles`: core cycles at zero wait states from entry to return of the inference function, for the first input;
    `memory_cycles`: the board's extra term. `latency_ms` is both at the board's clock; on hardware it is the median of
    `samples_ms`. `ram_bytes` and `flash_bytes` count every section of the linked image, the arena with input and
    output, and the stack high-water mark, without start-up stub and vectors. None: the device cannot tell.
    `outputs` has the batch as its first axis and the model's own dtype.
    """

    device: str
    how: How
    latency_ms: float
    outputs: NDArray[Any] = field(repr=False)
    samples_ms: tuple[float, ...] = ()
    cycles: int | None = None
    memory_cycles: int | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    energy_uj: float | None = None
    layers: tuple[LayerCost, ...] = ()
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The measurement as plain JSON types, without `outputs`."""
        return {
            "device": self.device,
            "how": self.how,
            "latency_ms": self.latency_ms,
            "samples_ms": list(self.samples_ms),
            "cycles": self.cycles,
            "memory_cycles": self.memory_cycles,
            "ram_bytes": self.ram_bytes,
            "flash_bytes": self.flash_bytes,
            "energy_uj": self.energy_uj,
            "layers": [vars(layer) for layer in self.layers],
            "parts": {name: dict(costs) for name, costs in self.parts.items()},
            "environment": dict(self.environment),
        }


@dataclass(frozen=True)
class Port:
    """An input or output tensor of a firmware: its place in the arena and how to read it."""

    offset: int
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class FirmwareLayer:
    """One step of the generated inference function; `symbol` is the C function that runs it."""

    symbol: str
    name: str
    op: str
    macs: int


@dataclass(frozen=True)
class ArenaBlock:
    """Bytes of the arena in use while layers `first` to `last` run; -1 is before the first, their number after all.

    `name`: the tensor that lies there first, or whose scratch memory it is; layers that write in place share a block.
    """

    name: str
    offset: int
    size_bytes: int
    first: int
    last: int
    scratch: bool = False


@dataclass(frozen=True)
class IncrementalRun:
    """How a firmware evaluates an input that moves on by `new_rows` rows a result: with `rows_bytes` of memory that it
    keeps from one result to the next, and an arena of `arena_bytes`."""

    new_rows: int
    rows_bytes: int
    arena_bytes: int


@dataclass(frozen=True)
class Firmware:
    """Generated C. `sources` maps file name → text and is exactly what is compiled, profiled and exported.

    The C interface: `void {name}_run(void *arena)` with `arena` of `arena_bytes`, aligned to 16 bytes; inputs and
    outputs lie in it at the offsets of their ports. No global state, no allocation.

    `incremental`: where it was asked for and the network allows it, `{name}_incremental.h` declares that too; where the
    network does not, `whole_because` says why.
    """

    name: str
    sources: Mapping[str, str]
    arena_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[FirmwareLayer, ...]
    arena: tuple[ArenaBlock, ...] = ()
    incremental: IncrementalRun | None = None
    whole_because: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The result of one trial: `ok`, `over_limit` (measured, not trained), `stopped` (its training) or `failed`.

    `accuracy` is that of the int8 model on all validation clips. `resources` holds what limits speak of
    (latency_ms, ram_bytes, flash_bytes, params, macs, …). `seconds` says where the time went, by stage. `early_reward`
    is what a network had earned a part of the way through its training.
    """

    status: Literal["ok", "over_limit", "stopped", "failed"]
    reward: float
    accuracy: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    early_reward: float | None = None
