"""One multiplication instead of two roundings: the same output for every sum that can occur."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.firmware.quantize import clamp, scale
from rena_kws.firmware.requantize import (
    CLAMPED,
    FOLDED,
    MAX_FOLDED_SHIFT,
    ROUNDED,
    OutputRange,
    _first_in_range,
    fold,
    requantization,
)
from rena_kws.firmware.weights import channel_pairs, paired_rows

MULTIPLIERS = st.one_of(
    st.sampled_from([1 << 30, 3 << 29, (1 << 31) - 1, (1 << 30) + 1, 1288490189]), st.integers(1 << 30, (1 << 31) - 1)
)


def reference(total: int, multiplier: int, right: int) -> int:
    """Both roundings, zero point -128."""
    return clamp(scale(total, multiplier, -right) - 128)


def steps(multiplier: int, right: int) -> set[int]:
    """Sums on both sides of every step of the output."""
    places = (int((step - 0.5) * 2.0 ** (31 + right) / multiplier) for step in range(1, 256))
    return {place + d for place in places for d in range(-3, 4)}


@given(
    multiplier=MULTIPLIERS,
    right=st.integers(1, 14),
    shift=st.integers(1, MAX_FOLDED_SHIFT),
    reach=st.sampled_from([100, 30_000, 1 << 21]),
    random=st.randoms(use_true_random=False),
)
def test_folded_output_is_the_reference_for_every_sum(
    multiplier: int, right: int, shift: int, reach: int, random: object
) -> None:
    if shift >= right:
        shift = right - 1
    if shift < 1 or (found := fold(multiplier, right, shift, -reach, reach)) is None:
        return
    move, m, addend = found
    assert -(1 << 15) <= addend < 1 << 15
    assert 0 < m < 1 << 31
    sums = {-reach, reach, 0, *(random.randint(-reach, reach) for _ in range(100))}  # type: ignore[attr-defined]
    for total in sums | {s for s in steps(multiplier, right) if -reach <= s <= reach}:
        folded = clamp(((((total + move) * m) >> 32) + addend) >> shift)
        assert folded == reference(total, multiplier, right), total


def test_nearly_every_channel_can_be_folded() -> None:
    """Otherwise a whole layer falls back to two roundings; with factors as networks have them."""
    random = np.random.default_rng(0)
    factors = random.integers(1 << 30, (1 << 31) - 1, 400)
    assert sum(fold(int(m), 8, 7, -60_000, 60_000) is None for m in factors) <= 1
    assert sum(fold(int(m), 8, 5, -60_000, 60_000) is None for m in factors) <= 1


@given(modulus=st.integers(1, 60), data=st.data())
def test_first_multiple_in_a_range(modulus: int, data: st.DataObject) -> None:
    """Against trying them all."""
    step = data.draw(st.integers(0, modulus - 1))
    low = data.draw(st.integers(0, modulus - 1))
    high = low + data.draw(st.integers(-1, modulus - 1))
    hits = (n for n in range(modulus) if any(low <= n * step % modulus + wrap <= high for wrap in (0, modulus)))
    assert _first_in_range(step, modulus, low, high) == next(hits, None)


def test_the_kind_follows_from_the_output() -> None:
    weights, bias = np.full((2, 8), 100, np.int8), np.array([5, -5])
    kinds = {
        FOLDED: OutputRange(-128, -128, 127),
        ROUNDED: OutputRange(3, -128, 127),
        CLAMPED: OutputRange(3, 3, 127),
    }
    for kind, output in kinds.items():
        assert requantization(bias, weights, [0.01, 0.02], output).fields["kind"] == kind
    assert requantization(bias, weights, [0.01, 0.7], OutputRange(-128, -128, 127)).fields["kind"] == CLAMPED
    assert requantization(bias, weights, [0.01, 0.0], OutputRange(-128, -128, 127)).fields["kind"] == CLAMPED


def test_a_sum_that_may_be_too_large_to_double_is_not_folded() -> None:
    weights = np.full((1, 4), 127, np.int8)
    output = OutputRange(-128, -128, 127)
    assert requantization(np.array([(1 << 30) - 60_000]), weights, [1e-4], output).fields["kind"] == CLAMPED
    assert requantization(np.array([(1 << 30) - 66_000]), weights, [1e-4], output).fields["kind"] != CLAMPED


@given(channels=st.integers(1, 7), depth=st.integers(1, 13))
def test_paired_rows_hold_every_weight_where_the_kernel_looks(channels: int, depth: int) -> None:
    rows = np.random.default_rng(channels * 100 + depth).integers(-127, 128, (channels, depth)).astype(np.int8)
    flat = paired_rows(rows)
    group_places = (0, 4, 2, 6)  # of elements 0 to 3 of a group; the second channel's weight is the next byte
    padded = (depth + 3) // 4 * 4
    assert flat.size == (channels + 1) // 2 * 2 * padded
    for channel in range(channels):
        for element in range(depth):
            pair, second = divmod(channel, 2)
            place = pair * 2 * padded + element // 4 * 8 + group_places[element % 4] + second
            assert flat[place] == rows[channel, element]
    assert np.abs(flat.astype(int)).sum() == np.abs(rows.astype(int)).sum(), "what fills up is zero"


def test_channel_pairs_fill_up_a_last_single_channel() -> None:
    records = np.array([[1, 10, 100], [2, 20, 200], [3, 30, 300]], np.int32)
    pairs = channel_pairs(records).values
    assert pairs.tolist() == [[[1, 2], [10, 20], [100, 200]], [[3, 0], [30, 0], [300, 0]]]
