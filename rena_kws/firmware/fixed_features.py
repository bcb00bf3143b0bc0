"""The tables of a front end in integers, for `kws_features_fixed.c`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Port
from rena_kws.errors import ModelError
from rena_kws.frontend.features import dct_matrix
from rena_kws.frontend.settings import FrontEnd

_LOG_BITS = 10  # Those of kws_features_fixed.c.
_FLOORS = (1e-7, 1.0)  # What 64 bits hold of a floor beside a frame of any loudness.


@dataclass(frozen=True)
class FixedTables:
    """`tables`: member of `kws_features_fixed_params` → integers, in the dtype that the C has. `members`: the rest."""

    tables: Mapping[str, NDArray[np.integer]]
    members: Mapping[str, int]


def fixed_tables(
    front_end: FrontEnd,
    port: Port,
    window: NDArray[np.float64],
    cosines: NDArray[np.float64],
    band: NDArray[np.integer],
    rise: NDArray[np.float64],
) -> FixedTables:
    """`window`: its first half, `cosines`: a quarter of the circle, `band` and `rise` of each bin, as the C in single
    precision has them.

    Raises `ModelError` for a floor that the integers cannot hold.
    """
    if not _FLOORS[0] <= front_end.log_floor <= _FLOORS[1]:
        raise ModelError(f"log_floor {front_end.log_floor}: in C it lies between {_FLOORS[0]} and {_FLOORS[1]}")
    steps = math.log(2) / port.scale
    is_mfcc = front_end.kind == "mfcc"
    rows = steps * (dct_matrix(front_end).T.astype(np.float64) if is_mfcc else np.ones((1, 1)))
    transform_bits = _transform_bits(rows)
    transform = _rounded(half_rows(rows), transform_bits, np.int16)
    band_shift = _band_shift(band)
    floor_exponent = math.frexp(front_end.log_floor)[1] - 16
    tables = {
        "window": _rounded(window, 31, np.int32),
        "cosines": _rounded(cosines, 30, np.int32),
        "rise": _rounded(rise, 16, np.uint16),
        "roots": _rounded(np.sqrt((32 + np.arange(97)) * 2.0**25), 0, np.uint16),
        "logarithms": _rounded(np.log2(1 + np.arange(33) / 32), 15, np.uint16),
    }
    if is_mfcc:
        tables["transform"] = transform
    members = {
        "gain": 0 if is_mfcc else int(transform[0, 0]),
        "spectrum_shift": front_end.fft_size.bit_length() + band_shift,
        "band_shift": band_shift,
        "floor_mantissa": min(round(math.ldexp(front_end.log_floor, -floor_exponent)), (1 << 16) - 1),
        "floor_exponent": floor_exponent,
        "feature_shift": _LOG_BITS + transform_bits,
    }
    return FixedTables(tables, members)


def half_rows(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row i of a cosine transform without its second half, which is the first one's mirror image, negated for odd i; of
    an odd number of bands with the middle one, which is 0 for odd i."""
    return transform[:, : (transform.shape[1] + 1) // 2]


def _transform_bits(rows: NDArray[np.float64]) -> int:
    """Fraction bits that keep a row times logarithms of 16 bits within 31."""
    largest = float(np.abs(rows).sum(axis=1).max())
    return min(20, math.floor(math.log2((32767 - rows.shape[1] / 2) / largest)))


def _band_shift(band: NDArray[np.integer]) -> int:
    """By how much the bins of a band are made smaller so that their sum stays below 2^32.

    The squares of a spectrum add up to those of its samples times its size (Parseval), and by Cauchy-Schwarz the
    magnitudes of n bins to at most sqrt(n / 2) * 2^30 in the units of the C.
    """
    widest = int(np.convolve(np.bincount(band), [1, 1]).max())  # A band rises over some bins and falls over others.
    return max(0, math.ceil(math.log2(widest / 30) / 2))


def _rounded(values: NDArray[np.float64], bits: int, dtype: type[np.integer]) -> NDArray[np.integer]:
    """Fixed point with `bits` of fraction; 1 may be the largest below it."""
    limits = np.iinfo(dtype)
    return np.clip(np.round(values * 2.0**bits), limits.min, limits.max).astype(dtype)
