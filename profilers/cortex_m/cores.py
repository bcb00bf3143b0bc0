"""The timing of each core as data, with the source of each number. How they combine is in cycle_model.py.

`cycles` maps a class of instructions to its own cycles at zero wait states; a class that is missing does not exist on
the core. Loads and stores of N registers cost their entry + N. Where a manual gives a range, the middle is taken.

Sources: [M0+] Arm DDI0484C; [M3] Arm DDI0337E; [M4] the class model that was checked on NUCLEO-L4R5ZI boards (2.9 % rms
on nine MLPerf Tiny images), over TI SWCU192 table 3-25 and LLVM's ARMScheduleM4.td; [M33] slothy's cortex_m33.py,
measured on RP2350; [M7] LLVM's ARMScheduleM7.td and slothy's cortex_m7.py: Arm publishes no table. "recalled": from
memory, not read again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from rena_kws.devices.description import Device
from rena_kws.profilers.cortex_m.instructions import Kind


@dataclass(frozen=True)
class CoreTiming:
    """One core. With `issue_width` 0 costs add up instruction by instruction; else instructions wait for operands.

    `taken_cycles`: added to a taken branch. `mispredict_cycles`: added where a branch goes the way that a two-bit
    counter of it did not predict. `exception_cycles`: to enter an exception, and to leave one.
    `address_stall_cycles`: an address register was written by the data-processing instruction just before.
    `error_share`: how far off the core's cycles may be, and `checked` how that is known.
    `latency`: cycles until a result may be used, where that is longer than one (issue widths 1 and 2 only);
    `early_cycles` longer for addresses and operands that are shifted first, `late_cycles` shorter for what is stored.
    """

    name: str
    cycles: Mapping[Kind, int]
    taken_cycles: int
    mispredict_cycles: int = 0
    exception_cycles: int = 12
    loads_pipeline: bool = False
    stores_pipeline: bool = False
    register_store_cycles: int = 0
    address_stall_cycles: int = 0
    right_shift_latency: int = 1
    issue_width: int = 0
    registers_per_cycle: int = 1
    latency: Mapping[Kind, int] = field(default_factory=dict)
    narrow_load_latency: int = 1
    accumulator_latency: int = 1
    float_accumulator_latency: int = 0
    early_cycles: int = 0
    late_cycles: int = 0
    error_share: float = 0.0
    checked: str = ""


# [M0+] B taken 2, BL 3; the one-cycle multiplier; POP with pc 3 + N (recalled). No MLA, long multiply, divide, TBB.
_M0PLUS = CoreTiming(
    name="cortex-m0plus",
    error_share=0.1,
    checked="from the manual's table; no board checked",
    cycles={
        "alu": 1,
        "multiply": 1,
        "load": 2,
        "store": 2,
        "load_multiple": 1,
        "store_multiple": 1,
        "branch": 1,
        "branch_link": 2,
        "pop_pc": 2,
    },
    taken_cycles=1,
    exception_cycles=15,
)

# [M3] SMULL 3–7: 5; divide 2–12: 7; refill P = 1–3: 2; LDR to pc and TBB after their least, 5 and 6.
_M3 = CoreTiming(
    name="cortex-m3",
    error_share=0.1,
    checked="from the manual's table; no board checked",
    cycles={
        "alu": 1,
        "multiply": 1,
        "multiply_add": 2,
        "multiply_long": 5,
        "divide": 7,
        "load": 2,
        "store": 2,
        "load_double": 3,
        "store_double": 3,
        "load_multiple": 1,
        "store_multiple": 1,
        "branch": 1,
        "branch_link": 1,
        "table_branch": 4,
        "load_pc": 3,
        "pop_pc": 1,
    },
    taken_cycles=2,
    loads_pipeline=True,
    stores_pipeline=True,
)

# [M4] the checked model. LDR to pc: at least 5 with the refill (the manual's table).
_M4 = CoreTiming(
    name="cortex-m4",
    error_share=0.07,
    checked="the class model, against 17 programs on boards: 2.9 % rms on nine, 6.8 % on eight",
    cycles={
        "alu": 1,
        "multiply": 1,
        "multiply_add": 1,
        "multiply_long": 1,
        "dsp": 1,
        "dsp_multiply": 1,
        "divide": 7,
        "load": 2,
        "store": 1,
        "load_double": 3,
        "store_double": 3,
        "load_multiple": 1,
        "store_multiple": 1,
        "branch": 1,
        "branch_link": 1,
        "table_branch": 3,
        "load_pc": 3,
        "pop_pc": 1,
        "float": 1,
        "float_divide": 14,
        "float_multiply_add": 3,
    },
    taken_cycles=2,
    loads_pipeline=True,
    register_store_cycles=1,
    address_stall_cycles=1,
)

# [M33] single issue with latencies: 2 for loads, products, SIMD and what an operand shifted right went into; taken
# branch 3; N registers in about N; divide 2–12: 7. Float as on the M4 (assumed: no source at hand).
_M33 = CoreTiming(
    name="cortex-m33",
    error_share=0.1,
    checked="latencies measured by others, within 5 % on 7 of 8 kernels; no network checked",
    cycles={
        **{kind: 1 for kind in _M4.cycles},
        "divide": 7,
        "load_double": 2,
        "store_double": 2,
        "load_multiple": 0,
        "store_multiple": 0,
        "pop_pc": 0,
        "float_divide": 14,
        "float_multiply_add": 3,
    },
    taken_cycles=2,
    right_shift_latency=2,
    issue_width=1,
    latency={
        "multiply": 2,
        "multiply_add": 2,
        "multiply_long": 2,
        "dsp": 2,
        "dsp_multiply": 2,
        "load": 2,
        "load_double": 3,
    },
    narrow_load_latency=2,
)

# [M7] two in a cycle. Counted from the stage of the ALUs: addresses and shifted operands are needed a stage early, what
# is stored a stage late; words are loaded in 2 (both sources), bytes and halfwords in one more; two loads of a cycle
# that meet in one of the memory's two banks wait for each other (LLVM's bank-conflict recogniser: banks by bit 2), as
# two unknown addresses do half the time. One shift a cycle, one SIMD instruction a cycle and in the older slot. A
# predicted branch is free beside another instruction; a mispredicted one costs 6 to 8: 7. The predictor is not public:
# a two-bit counter for each branch stands in for it. Jumps through a table or a loaded pc count as mispredicted.
_M7 = CoreTiming(
    name="cortex-m7",
    error_share=0.1,
    checked="a model of the two slots after compilers' tables; no board checked",
    cycles={
        **{kind: 1 for kind in _M4.cycles},
        "divide": 7,
        "load_multiple": 0,
        "store_multiple": 0,
        "pop_pc": 0,
        "table_branch": 8,
        "load_pc": 8,
        "float_divide": 14,
    },
    taken_cycles=0,
    mispredict_cycles=7,
    issue_width=2,
    registers_per_cycle=2,
    early_cycles=1,
    late_cycles=1,
    latency={
        "multiply": 2,
        "multiply_add": 2,
        "multiply_long": 2,
        "dsp_multiply": 2,
        "load": 2,
        "load_double": 2,
        "load_multiple": 2,
        "float": 3,
        "float_multiply_add": 6,
    },
    narrow_load_latency=3,
    float_accumulator_latency=3,
)


def uncertainty(device: Device) -> str:
    """How far off a latency of `device` may be, and why, e.g. "±14 %: core 7 % (…), memory path 5 % (…)"."""
    core, path = CORES[device.core or ""], device.memory
    total = math.hypot(core.error_share, path.error_share)
    text = f"±{total:.0%}: core {core.error_share:.0%} ({core.checked})"
    if path.error_share:
        return f"{text}, memory path {path.error_share:.0%} ({device.sources['memory.error_share']})"
    return text


CORES: Mapping[str, CoreTiming] = MappingProxyType({core.name: core for core in (_M0PLUS, _M3, _M4, _M33, _M7)})
"""Every core by its name."""
