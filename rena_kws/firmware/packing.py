"""Dense weights in fewer bits where they know few levels, without loss, and whether that is worth it.

    2bit, 4bit   Every channel's weights are small multiples of one step (ternary: -127, 0, 127). The kernels add up
                 products with the multiples and scale each sum by the step: in integers, without overflow.
    levels       Every channel knows at most 16 levels, as 4-bit training leaves them: round(127 · k / 7). 4 bits a
                 weight choose from a table; the weights are unpacked to scratch memory before the plain kernel runs.

What the weights save is paid in cycles, in code where a network needs several kernels, and in RAM (`levels`):

    speed      packs nothing
    size       packs what makes the image smaller
    balanced   packs what costs at most `CYCLES_A_BYTE` for each byte of flash, slowing no layer by more than half

One C source serves all cores, so the figures behind the choice are those of one, the Cortex-M4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rena_kws.firmware.toolchain import Optimize

STEP_BITS = {"2bit": 2, "4bit": 4}
"""Bits of a code, by encoding; the smallest first."""
LEVELS = "levels"
PLAIN = ""
"""Encodings are also the suffixes of the kernels that read them."""

RAM_WEIGHT = 2
"""Bytes of flash that a byte of RAM is worth."""

CYCLES_A_BYTE = 40
"""MLPerf Tiny's keyword spotting runs about 100 cycles for each byte of its image: at 40, flash shrinks by 2.5 % or
more for 1 % of the speed. Early layers of image networks, few weights and many pixels, stay as they are."""

MOST_SLOWER = 0.5
"""How much slower `balanced` lets a layer get."""

TABLE_LEVELS = 16

MAX_DEPTH = 1 << 16
"""Sums of codes are kept times 2^(8 - bits), below 2^14 an element: so many elements stay in 32 bits."""

# Emulated on the M4 with -Os. Cycles a MAC by encoding, for blocks of rows and for single rows; plain, about:
_PLAIN_CYCLES = 1.25
_EXTRA_CYCLES = {("2bit", True): 0.15, ("4bit", True): 0.14, ("2bit", False): 0.38, ("4bit", False): 0.34}
UNPACKING_CYCLES = 6  # a weight

# Bytes of code: the dense kernel for blocks of rows and for single rows, and what a convolution has around it.
_DENSE_BYTES = {("", True): 3300, ("", False): 1450, ("2bit", True): 3750, ("2bit", False): 1700}
_DENSE_BYTES |= {("4bit", True): 3700, ("4bit", False): 1650}
_CONV_2D_BYTES = 1850
_LEVELS_BYTES = 250


@dataclass(frozen=True)
class Packing:
    """What may be packed: for which goal, into which steps, and levels of how many bytes when they are unpacked."""

    optimize: Optimize
    steps: tuple[str, ...] = tuple(STEP_BITS)
    most_unpacked_bytes: int = 1 << 30


@dataclass(frozen=True)
class Stored:
    """Weights as the kernels of an encoding read them, and the scratch memory for what is unpacked at once."""

    encoding: str
    values: NDArray[np.int8]
    unpacked_bytes: int = 0


def best_packing(
    packing: Packing, matrix: NDArray[np.int8], plain: NDArray[np.int8], rows: int, unpacked_bytes: int, blocks: bool
) -> Stored:
    """A layer's weights [channels, depth] in the first encoding that is worth it, code and RAM left aside.

    `plain`: the weights as they are stored unpacked; `unpacked_bytes`: as much of them as is unpacked at once; `rows`:
    that meet them in a run, by `blocks` or one by one.
    """
    options = [(name, in_steps(matrix, STEP_BITS[name]), _EXTRA_CYCLES[name, blocks] * rows) for name in packing.steps]
    if unpacked_bytes <= packing.most_unpacked_bytes:
        options.append((LEVELS, in_levels(matrix), UNPACKING_CYCLES))
    for encoding, values, extra_a_weight in options if packing.optimize != "speed" else ():
        if values is None or values.nbytes >= plain.nbytes:
            continue
        affordable = extra_a_weight * matrix.size <= CYCLES_A_BYTE * (plain.nbytes - values.nbytes)
        if packing.optimize == "size" or (affordable and extra_a_weight <= MOST_SLOWER * _PLAIN_CYCLES * rows):
            return Stored(encoding, values, unpacked_bytes if encoding == LEVELS else 0)
    return Stored(PLAIN, plain)


def code_bytes(encoding: str, blocks: bool, convolution: bool) -> dict[str, int]:
    """What the kernels of an encoding add to an image, by part. A part that layers share is there once, the larger."""
    kernel = PLAIN if encoding == LEVELS else encoding
    parts = {f"dense {kernel}": _DENSE_BYTES[kernel, blocks]}
    if convolution:
        parts[f"conv2d {kernel}"] = _CONV_2D_BYTES
    if encoding == LEVELS:
        parts["unpacking"] = _LEVELS_BYTES
    return parts


def unit_elements(encoding: str) -> int:
    """KWS_UNIT of kws_weights.h: depths are filled up to a multiple."""
    return 8 if encoding == "2bit" else 4


def in_steps(matrix: NDArray[np.int8], bits: int) -> NDArray[np.int8] | None:
    """Steps times codes of `bits`, in the order of kws_weights.h."""
    wide = matrix.astype(np.int64)
    steps = np.maximum(np.gcd.reduce(wide, axis=1), 1)
    # One code more is free below zero than above; and -128 is a step, 128 is none.
    flipped = (wide.max(axis=1) > -wide.min(axis=1)) | (steps > 127)
    steps = np.where(flipped, -steps, steps)
    codes = wide // steps[:, None]
    half = 1 << (bits - 1)
    if matrix.shape[1] > MAX_DEPTH or codes.min() < -half or codes.max() >= half:
        return None
    unit, words = unit_elements(f"{bits}bit"), 8 // bits
    codes = np.pad(codes, ((0, len(codes) % 2), (0, -codes.shape[1] % unit)))
    pairs = len(codes) // 2
    # pair, channel, unit, group of four, element / 2, element % 2 → pair, unit, word (group, element % 2), byte
    split = codes.reshape(pairs, 2, -1, unit // 4, 2, 2).transpose(0, 2, 3, 5, 4, 1).reshape(pairs, -1, words, 4)
    shifts = 8 - bits * (1 + np.arange(words))
    units = ((split & ((1 << bits) - 1)) << shifts[:, None]).sum(axis=2).reshape(pairs, -1)
    both_steps = np.pad(steps, (0, len(steps) % 2)).reshape(pairs, 2)
    return _as_bytes(np.concatenate([units, both_steps, np.zeros_like(both_steps)], axis=1))


def in_levels(matrix: NDArray[np.int8]) -> NDArray[np.int8] | None:
    """Codes and tables in the order of kws_dense_levels.h."""
    known = [frozenset(row.tolist()) for row in matrix]
    if max(map(len, known)) > TABLE_LEVELS:
        return None
    tables: list[frozenset[int]] = []
    for levels in sorted(known, key=len, reverse=True):
        fitting = (i for i, table in enumerate(tables) if len(table | levels) <= TABLE_LEVELS)
        index = next(fitting, len(tables))
        tables[index : index + 1] = [tables[index] | levels if index < len(tables) else levels]
    if len(tables) > 256:
        return None
    chosen = [next(i for i, table in enumerate(tables) if levels <= table) for levels in known]
    orders = [sorted(table) for table in tables]
    codes = np.stack([np.searchsorted(orders[i], row) for i, row in zip(chosen, matrix, strict=True)])
    # Elements that fill up meet no input: any code does.
    codes = np.pad(codes, ((0, len(codes) % 2), (0, -codes.shape[1] % 4)))
    pairs = len(codes) // 2
    split = codes.reshape(pairs, 2, -1, 2, 2).transpose(0, 2, 4, 3, 1).reshape(pairs, -1, 2)
    numbers = np.pad(chosen, (0, len(chosen) % 2)).reshape(pairs, 2)
    both = np.concatenate([numbers, split[..., 0] | split[..., 1] << 4], axis=1)
    levels_of = [table + [0] * (TABLE_LEVELS - len(table)) for table in orders]
    return np.concatenate([_as_bytes(both), np.array(levels_of, np.int8).reshape(-1)])


def _as_bytes(values: NDArray[np.int64]) -> NDArray[np.int8]:
    return (values & 0xFF).astype(np.uint8).view(np.int8).reshape(-1)
