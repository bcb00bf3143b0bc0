"""Operator → kernel calls: the seam between TFLite's operators and the kernel families in `c/`.

A new operator is one function in a `lower_*` module and one line in its table. A faster kernel for some core is another
C file behind the same header; nothing here changes.
"""

from __future__ import annotations

from rena_kws.errors import ModelError
from rena_kws.firmware import lower_elementwise, lower_layers
from rena_kws.firmware.graph import Graph, Op
from rena_kws.firmware.operands import Call, Operands

_LOWERINGS = {**lower_layers.LOWERINGS, **lower_elementwise.LOWERINGS}

SUPPORTED_OPS = tuple(sorted(_LOWERINGS))


def lower(graph: Graph, op: Op, folded_shift: int | None = None) -> tuple[Call, ...]:
    """The kernel calls that run `op`; none for an operator that only changes a shape. Raises `ModelError`.

    `folded_shift`: the one of the whole network, None for the one that suits this operator best.
    """
    if op.name not in _LOWERINGS:
        tensor = graph.tensors[op.outputs[0]]
        supported = ", ".join(SUPPORTED_OPS)
        where = f"operator {op.index} {op.name}, which gives tensor {tensor.label},"
        raise ModelError(f"{where} is not supported; supported are {supported}")
    return _LOWERINGS[op.name](Operands(graph, op, folded_shift))


def lower_all(graph: Graph) -> tuple[dict[int, tuple[Call, ...]], int]:
    """Operator → calls, and the one KWS_FOLDED_SHIFT with which most outputs are folded."""
    alone = {op.index: lower(graph, op) for op in graph.ops}
    shifts = {call.folded_shift for group in alone.values() for call in group if call.folded_shift is not None}
    if len(shifts) < 2:
        return alone, max(shifts, default=1)

    def folded(calls: dict[int, tuple[Call, ...]]) -> int:
        return sum(
            graph.tensors[op.outputs[0]].elements
            for op in graph.ops
            if any(call.folded_shift is not None for call in calls[op.index])
        )

    options = [({op.index: lower(graph, op, shift) for op in graph.ops}, shift) for shift in sorted(shifts)]
    return max(options, key=lambda option: folded(option[0]))
