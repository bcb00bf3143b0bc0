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
_FLOATS = ("float", "float_divide", "float_multiply_add")
_ALONE = (*_MULTIPLE, "divide", "table_branch", "load_double", "store_double")


@dataclass(frozen=True)
class BlockCost:
    """Half cycles of one pass through a block that falls through, and through one that leaves by a taken branch."""

    through_halves: int
    taken_halves: int


def block_cost(instructions: Sequence[Instruction], core: CoreTiming, *, dsp: bool, fpu: Fpu) -> BlockCost:
    """The cost of a block. Raises `CandidateError` for an instruction that the core does not have as it is fitted."""
    for item in instructions:
        missing = item.kind not in core.cycles
        missing |= item.kind in ("dsp", "dsp_multiply") and not dsp
        missing |= item.is_float and (fpu == "none" or (item.precision == "double" and fpu != "double"))
        if missing:
            raise CandidateError(f"{core.name} has no instruction {item.text!r}")
    cost = _scoreboard_halves if core.issue_width else _in_order_halves
    last = instructions[-1]
    if not last.is_branch:
        halves = cost(instructions, core)
        return BlockCost(halves, halves)
    taken = cost(instructions, core) + 2 * core.taken_cycles
    if not last.conditional:
        # Never falls through: where the target is the next instruction the counts cannot tell, and it is taken.
        return BlockCost(taken, taken)
    # A branch that is not taken is one ALU cycle on every core, whatever it would have loaded.
    rest = instructions[:-1]
    return BlockCost((cost(rest, core) if rest else 0) + 2, taken)


def _in_order_halves(instructions: Sequence[Instruction], core: CoreTiming) -> int:
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
    return 2 * total


def _starts_run(item: Instruction) -> bool:
    return item.kind == "load" and not _is_double(item)


def _is_double(item: Instruction) -> bool:
    return item.text.startswith(("vldr", "vstr")) and " d" in item.text


def _store_extra(item: Instruction, before: Instruction | None, core: CoreTiming) -> int:
    """A store's cycles above (or below) its own: register offset, pipelining behind another access."""
    after_load = before is not None and before.kind == "load"
    extra = core.register_store_cycles if item.register_offset and not after_load else 0
    after_access = after_load or (before is not None and before.kind == "store")
    return extra - (1 if core.stores_pipeline and after_access else 0)


def _scoreboard_halves(instructions: Sequence[Instruction], core: CoreTiming) -> int:
    """Issue in order, up to `issue_width` a cycle, each with its operands ready; the time until the last is issued."""
    ready: dict[int, int] = {}
    produced_by: dict[int, Kind] = {}
    cycle = free = conflicts = 0
    beside: list[Instruction] = []
    for item in instructions:
        earliest = max((_ready(item, register, ready, produced_by, core) for register in item.reads), default=0)
        earliest = max(earliest, free)
        if earliest > cycle or not _pairs(item, beside, core):
            cycle = max(cycle + bool(beside), earliest)
            beside = []
        conflicts += any(_may_conflict(item, other) for other in beside)
        beside.append(item)
        occupies = core.cycles[item.kind]
        if item.kind in _MULTIPLE:
            occupies += -(-item.registers // core.registers_per_cycle)
        if occupies > 1:
            free = cycle + occupies
        latency = core.narrow_load_latency if item.narrow_load else core.latency.get(item.kind, 1)
        latency = max(latency, core.right_shift_latency if item.right_shifted else 1)
        for register in item.writes:
            # A new base address is there a stage before other results.
            early = core.early_cycles if register in item.base_updates else 0
            ready[register] = cycle + (1 - early if early else max(latency, occupies))
            produced_by[register] = item.kind
    return 2 * max(cycle + 1, free) + conflicts


def _may_conflict(item: Instruction, other: Instruction) -> bool:
    """Whether two loads of one cycle meet in one of the two banks of memory half the time: nothing is known of their
    addresses."""
    return item.kind == other.kind == "load" and not (item.bank_of and item.bank_of == other.bank_of)


def _ready(
    item: Instruction, register: int, ready: dict[int, int], produced_by: dict[int, Kind], core: CoreTiming
) -> int:
    """When `register` may be read; an accumulator that a multiply made is forwarded to the next one."""
    if register not in ready:
        return 0
    at = ready[register]
    if register in item.address_registers or register in item.shifted:
        return at + core.early_cycles
    if register in item.stored:
        return at - core.late_cycles
    maker = produced_by.get(register, "alu")
    if register in item.accumulators and maker in _MULTIPLIES:
        return at - core.latency.get(maker, 1) + core.accumulator_latency
    if register in item.accumulators and maker == "float_multiply_add" and core.float_accumulator_latency:
        return at - core.latency.get(maker, 1) + core.float_accumulator_latency
    return at


def _pairs(item: Instruction, beside: list[Instruction], core: CoreTiming) -> bool:
    """Whether `item` may issue in the same cycle as those before it: the rules of the M7's two slots."""
    if not beside:
        return True
    if len(beside) >= core.issue_width:
        return False
    older = beside[0]
    if item.kind in _ALONE or older.kind in (*_ALONE, *BRANCHES) or item.unit == "simd" or _wide(item) or _wide(older):
        return False
    kinds = (older.kind, item.kind)
    if kinds == ("load", "load") and item.bank_of and item.bank_of == older.bank_of and item.bank == older.bank:
        return False
    single = (_MULTIPLIES, _STORES, _FLOATS)
    if any(all(kind in unit for kind in kinds) for unit in single) or (item.unit and item.unit == older.unit):
        return False
    # What the older one makes is there in time only for what is stored.
    needed = item.reads - item.stored if core.late_cycles and core.latency.get(older.kind, 1) == 1 else item.reads
    return not (needed | item.writes) & older.writes


def _wide(item: Instruction) -> bool:
    """Whether it moves a double in or out of the FPU, which takes both slots."""
    return item.kind in ("load", "store") and _is_double(item)
