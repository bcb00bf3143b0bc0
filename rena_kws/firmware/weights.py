"""Weights, biases and scales of an operator, checked, and in the order in which the kernels read them.

The input's zero point is folded into the biases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.firmware.graph import Tensor
from rena_kws.firmware.operands import Call, Operands, Records
from rena_kws.firmware.packing import Stored, best_packing, code_bytes, unit_elements
from rena_kws.firmware.quantize import activation_range, quantize_multiplier
from rena_kws.firmware.requantize import CLAMPED, OutputRange, Requantization, requantization

DENSE_ROWS = 4
"""KWS_DENSE_ROWS of kws_dense.h."""

UNPACKED_PAIRS = 2
"""Pairs of channels in KWS_LEVELS_CHANNELS of kws_dense_levels.h."""


def weights_of(op: Operands, channel_axis: int) -> Tensor:
    weights = op.constant(1, "int8")
    if not weights.scales or any(weights.zero_points):
        raise op.error(f"weights {weights.label} need scales and zero points of 0")
    if len(weights.scales) > 1 and weights.quantized_dimension != channel_axis:
        axis = weights.quantized_dimension
        raise op.error(f"weights {weights.label} are quantised along dimension {axis}; supported is {channel_axis}")
    return weights


def bias_of(op: Operands, channels: int) -> NDArray[np.int64]:
    if not op.has_input(2):
        return np.zeros(channels, np.int64)
    bias = op.constant(2, "int32")
    op.expect_elements(bias, channels)
    return np.asarray(bias.data, np.int64).reshape(channels)


def requantization_of(
    op: Operands, x: Tensor, out: Tensor, bias: NDArray[np.int64], rows: NDArray[np.int8], factors: list[float]
) -> Requantization:
    """`rows`: [channels, depth], the weights of each channel."""
    if any(quantize_multiplier(factor)[1] > 30 for factor in factors):
        raise op.error("its scales differ by more than a factor of 2^30")
    low, high = activation_range(op.activation(), out.scale, out.zero_point)
    with_offset = bias - x.zero_point * rows.astype(np.int64).sum(axis=1)
    per_channel = factors if len(factors) > 1 else factors * len(rows)
    return requantization(with_offset, rows, per_channel, OutputRange(out.zero_point, low, high), op.folded_shift)


@dataclass(frozen=True)
class Dense:
    """The members of kws_dense_params, the weights among them, and what the requantisation in them relies on."""

    fields: dict[str, Any]
    weights: Stored
    folded_shift: int | None

    def sized(self, name: str) -> str:
        """The kernel or family `name` for weights packed like these."""
        return f"{name}_{self.weights.encoding}" if self.weights.encoding else name


def dense_of(op: Operands, x: Tensor, weights: Tensor, out: Tensor, factors: list[float], blocks: bool) -> Dense:
    """For weights whose first axis is the output channel. `blocks`: rows come by `DENSE_ROWS`, not one by one."""
    channels = weights.shape[0]
    matrix = np.asarray(weights.data).reshape(channels, -1)
    result = requantization_of(op, x, out, bias_of(op, channels), matrix, factors)
    plain = paired_rows(matrix)
    # The fast path for single rows unpacks few channels at once.
    at_once = blocks or result.fields["kind"] == CLAMPED
    unpacked_bytes = plain.nbytes if at_once else UNPACKED_PAIRS * plain.nbytes // ((channels + 1) // 2)
    stored = best_packing(op.packing, matrix, plain, out.elements // channels, unpacked_bytes, blocks)
    fields = {
        "weights": stored.values,
        "records": channel_pairs(result.records),
        "depth": matrix.shape[1],
        "channels": channels,
        "output": result.fields,
    }
    return Dense(fields, stored, result.folded_shift)


def dense_flash_bytes(calls: Iterable[Call]) -> int:
    """An estimate for the dense layers among `calls`: their weights, and the code of the kernels that read them."""
    total = 0
    parts: dict[str, int] = {}
    for call in calls:
        if call.weights is not None:
            total += call.weights.values.nbytes
            convolution = call.struct == "conv2d"
            blocks = convolution or int(call.arguments[0]) >= DENSE_ROWS
            for part, size in code_bytes(call.weights.encoding, blocks, convolution).items():
                parts[part] = max(size, parts.get(part, 0))
    return total + sum(parts.values())


def kernel_for(function: str, output: Mapping[str, int], fast: bool = True) -> str:
    """The function that may run the layer: the fast path has its conditions, the portable one beside it none."""
    return function if fast and output["kind"] != CLAMPED else f"{function.removesuffix('_few')}_portable"


def channel_pairs(records: NDArray[np.int32]) -> Records:
    """kws_channels of all channels: [channels, 3] to [pairs, 3, 2], a last one filled up with zeros."""
    padded = np.pad(records, ((0, len(records) % 2), (0, 0)))
    return Records(padded.reshape(-1, 2, 3).transpose(0, 2, 1), "channels")


def paired_rows(rows: NDArray[np.int8]) -> NDArray[np.int8]:
    """Weights [channels, depth] in the order of kws_dense.h, filled up with zeros."""
    channels, depth = rows.shape
    padded = np.pad(rows, ((0, channels % 2), (0, -depth % 4)))
    groups = padded.reshape(-1, 2, padded.shape[1] // 4, 2, 2)  # pair, channel, group, element / 2, element % 2
    return np.ascontiguousarray(groups.transpose(0, 2, 4, 3, 1)).reshape(-1)


def dense_scratch_bytes(dense: Dense, rows: int) -> int:
    """What kws_dense.h and, for packed weights, its kin ask for."""
    unit = unit_elements(dense.weights.encoding)
    depth: int = dense.fields["depth"]
    padded = -(-depth // unit) * unit
    if rows >= DENSE_ROWS:
        return dense.weights.unpacked_bytes + DENSE_ROWS * 2 * padded
    return dense.weights.unpacked_bytes + (padded if depth % unit else 0)


def channel_factors(x: Tensor, weights: Tensor, out: Tensor) -> list[float]:
    """Accumulator to output units, as the reference computes it for convolutions: in double precision."""
    return [x.scale * scale / out.scale for scale in weights.scales]
