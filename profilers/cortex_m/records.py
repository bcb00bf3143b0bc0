"""What the emulator's process says: frozen records that travel as JSON.

JSON and not pickle: that process runs whatever an image does, and its answers must not be able to run code here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Why = Literal["stop", "region", "exit", "reset", "sleep", "input", "budget", "time", "fault"]
"""Why a run ended: the stop address or the wanted calls of a region were reached; the firmware left through
semihosting, asked for a reset, sleeps for ever or waits for input; a budget was spent; or something went wrong."""


@dataclass(frozen=True)
class Stop:
    """The end of a run, at the instruction `pc`."""

    why: Why
    detail: str
    pc: int


@dataclass(frozen=True)
class BlockCount:
    """How often a basic block ran, fell through or branched away, and what a pass costs each way in cycles."""

    address: int
    size: int
    instructions: int
    through: int
    taken: int
    mispredicted: int
    through_cycles: float
    taken_cycles: float


@dataclass(frozen=True)
class Counters:
    """Totals since the machine was made. `by_owner` and `samples`: (cycles, memory cycles) of each owner's code and of
    each call of the watched region. `calls`: (caller's block, callee), the latest last."""

    instructions: int
    cycles: int
    memory_cycles: int
    instruction_misses: int
    data_misses: int
    by_owner: tuple[tuple[int, int], ...]
    samples: tuple[tuple[int, int], ...]
    calls: tuple[tuple[int, int], ...]
