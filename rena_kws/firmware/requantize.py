"""From accumulators to int8 outputs: the cheapest way that gives the reference's output for every sum that can occur.

The reference rounds twice: x = round(sum · m / 2^31), then output = round(x / 2^s) with ties away from zero. Where the
output's zero point is -128 (every layer with a ReLU), only positive x matter, and the whole is a staircase of 255 steps
in the sum. `fold` looks for one multiplication and one addend with the same 255 steps,

    output = ((sum + bias') · M / 2^32 + addend) >> shift, saturated,

which a Cortex-M4 does in three instructions. The steps are compared exactly, in integers; nothing is approximated. The
search is a small lattice problem: bias' moves the staircase by whole sums and the addend by 2^32 / M of them, so that
together they place it almost anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.firmware.quantize import INT8_MAX, INT8_MIN, quantize_multiplier

FOLDED, ROUNDED, CLAMPED = 0, 1, 2
"""KWS_FOLDED, KWS_ROUNDED and KWS_CLAMPED of kws_quantized.h."""

SUM_LIMIT = 1 << 30
"""Sums below it may be doubled in 32 bits."""

MAX_RIGHT_SHIFT = 22
"""A zero point shifted left by so much stays in 32 bits with room for a sum."""

MAX_FOLDED_SHIFT = 8
"""Addends, about -128 · 2^shift, are kept in 16 bits: that leaves thousands for all 255 steps to fall into place."""


@dataclass(frozen=True)
class OutputRange:
    """The output's zero point and the values it may take (output units)."""

    zero_point: int
    low: int
    high: int


@dataclass(frozen=True)
class Requantization:
    """`records`: [channels, 3], bias, multiplier and adjustment of kws_channels.

    `fields`: the members of kws_requantization; `folded_shift`: the KWS_FOLDED_SHIFT that a folded layer needs.
    """

    records: NDArray[np.int32]
    fields: dict[str, int]
    folded_shift: int | None


def requantization(
    bias: NDArray[np.int64],
    weights: NDArray[np.int8],
    factors: Sequence[float],
    output: OutputRange,
    folded_shift: int | None = None,
) -> Requantization:
    """How the sums of a layer become outputs.

    `bias` [channels] has the input's zero point folded in, `weights` [channels, depth] meet inputs from -128 to 127,
    `factors` [channels] convert sums to output units. `folded_shift` None takes the one that suits the layer best.
    """
    pairs = [quantize_multiplier(factor) for factor in factors]
    wide = weights.astype(np.int64)
    reach = 128 * np.abs(wide).sum(axis=1)
    lows = bias + np.minimum(wide * INT8_MIN, wide * INT8_MAX).sum(axis=1)
    highs = bias + np.maximum(wide * INT8_MIN, wide * INT8_MAX).sum(axis=1)
    plain = bool((np.abs(bias) + reach < SUM_LIMIT).all()) and (output.low, output.high) == (INT8_MIN, INT8_MAX)
    kind, shift = CLAMPED, None
    # Wrapped to 32 bits as the reference's accumulator would be.
    records = [(int(b), m, s) for b, (m, s) in zip(bias.astype(np.int32), pairs, strict=True)]
    if plain and all(-MAX_RIGHT_SHIFT <= s <= -1 for _, s in pairs):
        kind = ROUNDED
        largest = min(MAX_FOLDED_SHIFT, *(-1 - s for _, s in pairs))
        shift = largest if folded_shift is None else folded_shift
        folded = []
        if output.zero_point == INT8_MIN and 1 <= shift <= largest:
            for b, (m, s), low, high in zip(bias.tolist(), pairs, lows.tolist(), highs.tolist(), strict=True):
                found = fold(m, -s, shift, low, high)
                if found is None:
                    break
                move, multiplier, addend = found
                folded.append((b + move, multiplier, addend))
        if len(folded) == len(pairs):
            kind, records = FOLDED, folded
    fields = {"kind": kind, "zero_point": output.zero_point, "min": output.low, "max": output.high}
    folded_by = shift if kind == FOLDED else None
    return Requantization(np.array(records, np.int32), fields, folded_by)


def fold(multiplier: int, right: int, shift: int, low: int, high: int) -> tuple[int, int, int] | None:
    """(what to add to the sum, M, addend) that give the reference's output for all sums from `low` to `high`, or None.

    The reference: multiplier in Q31, `right` >= 1 bits, zero point -128. `shift` < `right` is that of the folded form.
    """
    steps = np.arange(1, 256, dtype=np.int64)
    # The least sum that reaches a step: x ≥ step · 2^right - half, and x ≥ X means sum · m ≥ X · 2^31 - 2^30.
    least_x = (steps << right) - (1 << (right - 1))
    first = -((-(least_x * 2 - 1) << 30) // multiplier)
    product = (steps + INT8_MIN) << (32 + shift)
    within = (first > low) & (first <= high)
    exact = multiplier / (1 << (right - 1 - shift))
    for m in sorted(range(int(exact) - 3, int(exact) + 5), key=lambda m: abs(m - exact)):
        if not 0 < m < 1 << 31:
            continue
        # moved · m + addend · 2^32 must lie in [bottom, top): steps are reached at their first sum, and not before.
        least = np.concatenate([(product - first * m)[within], (product - low * m)[first <= low]])
        most = np.concatenate([(product - (first - 1) * m)[within], (product - high * m)[first > high]])
        bottom = int(least.max()) if least.size else int(most.min()) - m
        top = int(most.min()) if most.size else bottom + m
        found = _lattice_point(m, bottom, top)
        if found is not None:
            return found[0], m, found[1]
    return None


def _lattice_point(m: int, bottom: int, top: int) -> tuple[int, int] | None:
    """The (move, addend) next to move 0 with bottom <= move · m + addend · 2^32 < top, or None within 16 bits."""
    start = bottom >> 32
    best: tuple[int, int] | None = None
    for sign in (1, -1):
        # A move fits where the multiple of m at or above bottom - addend · 2^32 is less than top - bottom above it.
        low = (bottom - (start << 32)) % m
        steps = _first_in_range(sign * (1 << 32) % m, m, low, low + top - bottom - 1)
        if steps is None:
            continue
        addend = start + sign * steps
        move = -((addend << 32) - bottom) // m
        move += move * m + (addend << 32) < bottom
        fits = -(1 << 15) <= addend < 1 << 15 and abs(move) < SUM_LIMIT
        if fits and (best is None or abs(move) < abs(best[0])):
            best = move, addend
    return best


def _first_in_range(step: int, modulus: int, low: int, high: int) -> int | None:
    """The least n >= 0 with n · step mod modulus in [low, high], which may reach past the modulus; Euclid's descent."""
    if high < low:
        return None
    if low == 0 or high >= modulus:
        return 0
    if step == 0:
        return None
    n = -(-low // step)
    if n * step <= high:
        return n
    wraps = _first_in_range(modulus % step, step, -high % step, -low % step)
    return None if wraps is None else -(-(low + modulus * wraps) // step)
