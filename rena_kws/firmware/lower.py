"""Operator → kernel calls: the seam between TFLite's operators and the kernel families in `c/`.

A new operator is one function in a `lower_*` module and one line in its table. A faster kernel for some core is another
C file behind the same header; nothing here changes.
"""

from __future__ import annotations

from itertools import chain, combinations, product

from rena_kws.errors import ModelError
from rena_kws.firmware import lower_elementwise, lower_gru, lower_layers
from rena_kws.firmware.graph import Graph, Op
from rena_kws.firmware.operands import Call, Operands
from rena_kws.firmware.packing import PLAIN, STEP_BITS, Packing
from rena_kws.firmware.toolchain import Optimize

Calls = dict[int, tuple[Call, ...]]
Lowered = tuple[Calls, int]
"""Operator → calls, and their one KWS_FOLDED_SHIFT."""

_LOWERINGS = {**lower_layers.LOWERINGS, **lower_elementwise.LOWERINGS, **lower_gru.LOWERINGS}

SUPPORTED_OPS = tuple(sorted(_LOWERINGS))


def lower(graph: Graph, op: Op, folded_shift: int | None, packing: Packing) -> tuple[Call, ...]:
    """The kernel calls that run `op`; none for an operator that only changes a shape. Raises `ModelError`.

    `folded_shift`: the one of the whole network, None for the one that suits this operator best.
    """
    if op.name not in _LOWERINGS:
        tensor = graph.tensors[op.outputs[0]]
        supported = ", ".join(SUPPORTED_OPS)
        where = f"operator {op.index} {op.name}, which gives tensor {tensor.label},"
        raise ModelError(f"{where} is not supported; supported are {supported}")
    return _LOWERINGS[op.name](Operands(graph, op, folded_shift, packing))


def lowerings(graph: Graph, optimize: Optimize) -> list[Lowered]:
    """Operator → calls, and their one KWS_FOLDED_SHIFT, with every choice of packings.

    The first packs whatever is worth it by itself. But what few layers use may not be worth the code and RAM that it
    needs, and another encoding may hold their weights too.
    """
    everything = _lower_packed(graph, Packing(optimize))
    packed = [
        call.weights for call in chain(*everything[0].values()) if call.weights and call.weights.encoding != PLAIN
    ]
    if not packed:
        return [everything]
    limits = {0, *(weights.unpacked_bytes for weights in packed)}
    subsets = [steps for count in range(len(STEP_BITS) + 1) for steps in combinations(STEP_BITS, count)]
    return [everything, *(_lower_packed(graph, Packing(optimize, *option)) for option in product(subsets, limits))]


def _lower_packed(graph: Graph, packing: Packing) -> Lowered:
    """Operator → calls, and the one KWS_FOLDED_SHIFT with which most outputs are folded."""
    alone = {op.index: lower(graph, op, None, packing) for op in graph.ops}
    shifts = {call.folded_shift for group in alone.values() for call in group if call.folded_shift is not None}
    if len(shifts) < 2:
        return alone, max(shifts, default=1)

    def folded(calls: Calls) -> int:
        return sum(
            graph.tensors[op.outputs[0]].elements
            for op in graph.ops
            if any(call.folded_shift is not None for call in calls[op.index])
        )

    options = [({op.index: lower(graph, op, shift, packing) for op in graph.ops}, shift) for shift in sorted(shifts)]
    return max(options, key=lambda option: folded(option[0]))
