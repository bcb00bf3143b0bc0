"""How many cycles a basic block costs on a core at zero wait states, from its instructions' classes.

M0+, M3 and M4 add up in order, with what the instruction before changes (`_in_order`). M33 and M7 issue one or two
instructions a cycle as operands become ready (`_scoreboard`). Each block starts afresh: a run of loads, an address
stall and a latency do not reach across its end. An instruction that an IT block skips is counted as if it ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rena_kws.devices.description import Fpu
from rena_kws.errors import CandidateError
from rena_kws.profilers.cortex_m.cores import CoreTiming
from rena_kws.profilers.cortex_m.instructions import BRANCHES, Instruction, Kind

_LOADS = ("load", "load_pc")
_MULTIPLE = ("load_multiple", "store_multiple", "pop_pc")
_MEMORY = (*_LOADS, *_MULTIPLE, "store", "load_double", "store_double", "table_branch")
_MULTIPLIES = ("multiply", "multiply_add", "multiply_long", "dsp_multiply")
_STORES = ("store", "store_double")
_ALONE = (*_MULTIPLE, "divide", "table_branch", "load_double", "store_double")


@dataclass(frozen=True)
class BlockCost:
    """Cycles of one pass through a block that falls through, and through one that leaves by a taken branch."""

    through: int
    taken: int


def block_cost(instructions: Sequence[Instruction], core: CoreTiming, *, dsp: bool, fpu: Fpu) -> BlockCost:
    """The cost of a block. Raises `CandidateError` for an instruction that the core does not have as it is fitted."""
    for item in instructions:
        missing = item.kind not in core.cycles
        missing |= item.kind in ("dsp", "dsp_multiply") and not dsp
        missing |= item.is_float and (fpu == "none" or (item.precision == "double" and fpu != "double"))
        if missing:
            raise CandidateError(f"{core.name} has no instruction {item.text!r}")
    cost = _scoreboard if core.issue_width else _in_order
    last = instructions[-1]
    if last.kind not in BRANCHES:
        cycles = cost(instructions, core)
        return BlockCost(cycles, cycles)
    taken = cost(instructions, core) + core.taken_cycles
    if not last.conditional:
        # Never falls through: where the target is the next instruction the counts cannot tell, and it is taken.
        return BlockCost(taken, taken)
    # A branch that is not taken is one ALU cycle on every core, whatever it would have loaded.
    rest = instructions[:-1]
    return BlockCost((cost(rest, core) if rest else 0) + 1, taken)


def _in_order(instructions: Sequence[Instruction], core: CoreTiming) -> int:
    total = 0
    before: Instruction | None = None
    for item in instructions:
        cycles = core.cycles[item.kind]
        if item.kind in _MULTIPLE:
            cycles += item.registers
        if item.kind == "load" and _is_double(item):
            cycles = core.cycles["load_double"]
        elif item.kind == "load" and core.loads_pipeline and before is not None and _starts_run(before):
            cycles -= 1
        elif item.kind == "store":
            cycles += _store_extra(item, before, core)
        if before is not None and item.kind in _MEMORY and before.kind not in _MEMORY:
            cycles += core.address_stall_cycles * bool(item.address_registers & before.writes)
        total += cycles
        before = item
    return total


def _starts_run(item: Instruction) -> bool:
    return item.kind == "load" and not _is_double(item)


def _is_double(item: Instruction) -> bool:
    return item.text.startswith("vldr") and " d" in item.text


def _store_extra(item: Instruction, before: Instruction | None, core: CoreTiming) -> int:
    """A store's cycles above (or below) its own: register offset, pipelining behind another access."""
    after_load = before is not None and before.kind == "load"
    extra = core.register_store_cycles if item.register_offset and not after_load else 0
    after_access = after_load or (before is not None and before.kind == "store")
    return extra - (1 if core.stores_pipeline and after_access else 0)


def _scoreboard(instructions: Sequence[Instruction], core: CoreTiming) -> int:
    """Issue in order, up to `issue_width` a cycle, each with its operands ready; cycles until the last is issued."""
    ready: dict[int, int] = {}
    produced_by: dict[int, Kind] = {}
    cycle, free = 0, 0
    beside: list[Instruction] = []
    for item in instructions:
        earliest = max((_ready(item, register, ready, produced_by, core) for register in item.reads), default=0)
        extra = core.right_shift_cycles if item.right_shifted else 0
        earliest = max(earliest, free)
        if earliest > cycle or not _pairs(item, beside, core):
            cycle = max(cycle + bool(beside), earliest)
            beside = []
        beside.append(item)
        occupies = core.cycles[item.kind] + extra
        if item.kind in _MULTIPLE:
            occupies += -(-item.registers // core.registers_per_cycle)
        if occupies > 1:
            free = cycle + occupies
        latency = core.narrow_load_latency if item.narrow_load else core.latency.get(item.kind, 1)
        for register in item.writes:
            ready[register] = cycle + max(latency, occupies)
            produced_by[register] = item.kind
    return max(cycle + 1, free)


def _ready(
    item: Instruction, register: int, ready: dict[int, int], produced_by: dict[int, Kind], core: CoreTiming
) -> int:
    """When `register` may be read; an accumulator that a multiply made is forwarded to the next one."""
    at = ready.get(register, 0)
    if register in item.accumulators and produced_by.get(register) in _MULTIPLIES:
        return at - core.latency.get(produced_by[register], 1) + core.accumulator_latency
    return at


def _pairs(item: Instruction, beside: list[Instruction], core: CoreTiming) -> bool:
    """Whether `item` may issue in the same cycle as those before it: the rules of the M7's two slots."""
    if not beside:
        return True
    if len(beside) >= core.issue_width:
        return False
    older = beside[0]
    if item.kind in _ALONE or older.kind in (*_ALONE, *BRANCHES) or item.kind == "dsp":
        return False
    kinds = (older.kind, item.kind)
    multiplies = sum(kind in _MULTIPLIES for kind in kinds)
    stores = sum(kind in _STORES for kind in kinds)
    return multiplies + stores < 2 and not (item.reads | item.writes) & older.writes
