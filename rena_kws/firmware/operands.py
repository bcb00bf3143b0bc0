"""What a lowering may ask of its operator, and what it answers: calls of C kernels.

Every question is answered or is a `ModelError` that names operator and tensor, so generated code can trust its shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.errors import ModelError
from rena_kws.firmware.graph import Graph, Op, Tensor
from rena_kws.firmware.packing import Packing, Stored
from rena_kws.firmware.window import Window

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass(frozen=True)
class Records:
    """Constant C structs `kws_{struct}` whose members are arrays of one length: [records, members, length]."""

    values: NDArray[np.int32]
    struct: str


@dataclass(frozen=True)
class Call:
    """One kernel call: `kws_{function}` of the file pair `kws_{family}`, with a constant `kws_{struct}_params`.

    `fields` are the struct's members: integers, C expressions, lists of integers, NumPy arrays or `Records` (emitted as
    constants of their own) or a mapping for a nested struct. The C arguments are the parameters, `arguments` as they
    are, the addresses of the tensors `operands`, and scratch memory unless `scratch_bytes` is None (null where it is
    0). The kernel may write its output over the operands `in_place`, the preferred first. `folded_shift` is the
    KWS_FOLDED_SHIFT that the call relies on, if it does; `weights` are those of a dense layer. `by_rows`: how it can
    compute a part of its output. `stages`: the calls that this one makes, by bands of rows. `members`: of a stage's
    call, the members of its parameters that differ from band to band.
    """

    family: str
    function: str
    struct: str
    fields: Mapping[str, Any]
    operands: tuple[int, ...]
    arguments: tuple[int | str, ...] = ()
    scratch_bytes: int | None = None
    in_place: tuple[int, ...] = ()
    folded_shift: int | None = None
    weights: Stored | None = None
    by_rows: ByRows | None = None
    stages: tuple[Stage, ...] = ()
    members: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ByRows:
    """A call that can compute its output by bands of rows, from the rows of its input that these read.

    `window` places the whole; `call` is the call that can do any of the bands (each a `Window.band`) that it is given.
    Its `arguments` and `members` are C expressions of `band`, the address of the band's kws_window.
    """

    window: Window
    call: Callable[[Sequence[Window]], Call]


@dataclass(frozen=True)
class Stage:
    """One of several calls that run together by bands of rows: a kws_rows_stage.

    `call`: what suits all of its bands; `chained`: the operand that the stage before it computes, or that the first one
    reads by rows. Offsets are bytes of the scratch memory.
    """

    call: Call
    by_rows: ByRows
    chained: int
    input_row_bytes: int
    output_row_bytes: int
    rows_offset: int
    scratch_offset: int


class Operands:
    """The checked view of one operator's tensors and options, and what the whole network leaves it to choose from."""

    def __init__(self, graph: Graph, op: Op, folded_shift: int | None, packing: Packing) -> None:
        self.graph = graph
        self.op = op
        self.folded_shift = folded_shift
        self.packing = packing

    def error(self, message: str) -> ModelError:
        return ModelError(f"operator {self.op.index} {self.op.name}: {message}")

    def output(self) -> Tensor:
        """The only output, int8."""
        if len(self.op.outputs) != 1:
            raise self.error(f"it has {len(self.op.outputs)} outputs; 1 is supported")
        return self._int8(self.graph.tensors[self.op.outputs[0]])

    def input(self, position: int) -> Tensor:
        """A computed or constant int8 input."""
        return self._int8(self._present(position))

    def constant(self, position: int, *dtypes: str) -> Tensor:
        """A constant input; its `data` is not None."""
        tensor = self._present(position)
        if tensor.dtype not in dtypes:
            raise self.error(f"tensor {tensor.label} is {tensor.dtype}; supported is {' or '.join(dtypes)}")
        if tensor.data is None:
            raise self.error(f"tensor {tensor.label} is computed; supported is a constant")
        return tensor

    def has_input(self, position: int) -> bool:
        return self.graph.input(self.op, position) is not None

    def option(self, name: str, high: int = 1 << 15) -> int:
        """A positive integer option."""
        value = self.op.options.get(name)
        if not isinstance(value, int) or not 1 <= value <= high:
            raise self.error(f"{name} is {value}; supported is 1 to {high}")
        return value

    def activation(self) -> str:
        name = str(self.op.options.get("fusedActivationFunction", "NONE"))
        if name not in ACTIVATIONS:
            raise self.error(f"fused activation {name}; supported are {', '.join(ACTIVATIONS)}")
        return name

    def expect_shape(self, tensor: Tensor, *shape: int) -> None:
        if tensor.shape != shape:
            raise self.error(f"tensor {tensor.label} has the shape {tensor.shape}; {shape} was expected")

    def expect_elements(self, tensor: Tensor, elements: int) -> None:
        if tensor.elements != elements:
            raise self.error(f"tensor {tensor.label} has the shape {tensor.shape}; {elements} elements were expected")

    def nhwc(self, tensor: Tensor) -> tuple[int, int, int, int]:
        if len(tensor.shape) != 4:
            raise self.error(f"tensor {tensor.label} has the shape {tensor.shape}; supported are 4 dimensions (NHWC)")
        n, h, w, c = tensor.shape
        return n, h, w, c

    def _present(self, position: int) -> Tensor:
        tensor = self.graph.input(self.op, position)
        if tensor is None:
            raise self.error(f"input {position} is missing")
        return tensor

    def _int8(self, tensor: Tensor) -> Tensor:
        if tensor.dtype != "int8":
            hint = (
                "; quantise the whole model to int8, inputs and outputs too" if tensor.dtype.startswith("float") else ""
            )
            raise self.error(f"tensor {tensor.label} is {tensor.dtype}; supported is int8{hint}")
        if len(tensor.scales) != 1 or not -128 <= tensor.zero_point <= 127:
            raise self.error(f"tensor {tensor.label} needs one scale and one zero point from -128 to 127")
        return tensor
