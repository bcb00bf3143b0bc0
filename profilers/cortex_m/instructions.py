"""Thumb machine code in, timing classes out: what the cycle model has to know of each instruction of a block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import capstone
from capstone import arm

from rena_kws.errors import CandidateError

Kind = Literal[
    "alu",
    "multiply",
    "multiply_add",
    "multiply_long",
    "dsp",
    "dsp_multiply",
    "divide",
    "load",
    "store",
    "load_double",
    "store_double",
    "load_multiple",
    "store_multiple",
    "branch",
    "branch_link",
    "table_branch",
    "load_pc",
    "pop_pc",
    "float",
    "float_divide",
    "float_multiply_add",
]
"""Timing classes. The three float classes take part in arithmetic only; float loads and stores are loads and stores."""

BRANCHES = ("branch", "branch_link", "table_branch", "load_pc", "pop_pc")

_MULTIPLY = {"mul"}
_MULTIPLY_ADD = {"mla", "mls"}
_MULTIPLY_LONG = {"smull", "umull", "smlal", "umlal"}
_DIVIDE = {"sdiv", "udiv"}
_DSP_GROUPS = {"THUMB2DSP", "T2EXTRACTPACK"}
_LOAD = {"ldr", "ldrb", "ldrh", "ldrsb", "ldrsh", "ldrt", "ldrbt", "ldrht", "ldrsbt", "ldrsht", "ldrex", "vldr"}
_STORE = {"str", "strb", "strh", "strt", "strbt", "strht", "strex", "vstr"}
_LOAD_MULTIPLE = {"ldm", "ldmdb", "pop", "vldmia", "vldmdb", "vpop"}
_STORE_MULTIPLE = {"stm", "stmdb", "push", "vstmia", "vstmdb", "vpush"}
_BRANCH = {"b", "bx", "cbz", "cbnz"}
_BRANCH_LINK = {"bl", "blx"}
_TABLE_BRANCH = {"tbb", "tbh"}
_NARROW_LOAD = {"ldrb", "ldrh", "ldrsb", "ldrsh"}
_RIGHT_SHIFTS = {arm.ARM_SFT_LSR, arm.ARM_SFT_ASR, arm.ARM_SFT_ROR, arm.ARM_SFT_LSR_REG, arm.ARM_SFT_ASR_REG}


@dataclass(frozen=True)
class Instruction:
    """One instruction. Registers are capstone's numbers; `registers` is N of a load or store of many.

    `accumulators` are the registers a multiply adds to; `address_registers` those a load or store forms its address of,
    `base_updates` those of them that it changes, `stored` what a store writes to memory, `shifted` the operands that go
    through the shifter first. `unit`: what two instructions of one cycle may not both need.
    `bank`: the word (of two) that a load takes, counted from where the register `bank_of` points; 0: it is not known.
    """

    text: str
    kind: Kind
    reads: frozenset[int]
    writes: frozenset[int]
    address_registers: frozenset[int] = frozenset()
    base_updates: frozenset[int] = frozenset()
    stored: frozenset[int] = frozenset()
    shifted: frozenset[int] = frozenset()
    accumulators: frozenset[int] = frozenset()
    unit: Literal["", "shift", "simd"] = ""
    bank_of: int = 0
    bank: int = 0
    registers: int = 1
    register_offset: bool = False
    narrow_load: bool = False
    right_shifted: bool = False
    conditional: bool = False
    precision: Literal["none", "single", "double"] = "none"

    @property
    def is_branch(self) -> bool:
        return self.kind in BRANCHES

    @property
    def is_float(self) -> bool:
        """Whether it needs an FPU, be it only for its registers."""
        return self.precision != "none"


def decode(code: bytes, address: int) -> tuple[Instruction, ...]:
    """The instructions of one basic block. Raises `CandidateError` for code that cannot be read whole."""
    items = []
    at = conditions = 0
    while at < len(code):
        size = 4 if code[at + 1 : at + 2] >= b"\xe8" else 2
        item = _decode_one(code[at : at + size], conditions > 0)
        if item is None:
            raise CandidateError(f"no known instruction at {address + at:#010x}: its cycles cannot be counted")
        items.append(item)
        conditions = max(0, conditions - 1, _conditions(code[at : at + size]))
        at += size
    if not items:
        raise CandidateError(f"no known instruction at {address:#010x}: its cycles cannot be counted")
    return tuple(items)


def _conditions(code: bytes) -> int:
    """How many instructions an IT makes conditional: its mask ends in a one whose place tells."""
    mask = code[0] & 15
    return 0 if len(code) != 2 or code[1] != 0xBF or not mask else 4 - ((mask & -mask).bit_length() - 1)


@cache
def _decode_one(code: bytes, in_it_block: bool) -> Instruction | None:
    """Encodings repeat, and capstone takes its time: each is decoded once, as if it stood at address 0."""
    item = next(_disassembler().disasm(code, 0), None)
    return None if item is None or item.size != len(code) else _instruction(item, in_it_block)


@cache
def _disassembler() -> capstone.Cs:
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    disassembler.detail = True
    return disassembler


def _instruction(item: Any, in_it_block: bool) -> Instruction:
    name = _base_name(item)
    _, written = item.regs_access()
    writes = frozenset(written)
    kind = _kind(item, name, writes)
    operands = item.operands
    memory = next((operand.mem for operand in operands if operand.type == arm.ARM_OP_MEM), None)
    is_memory = kind in ("load_multiple", "store_multiple", "pop_pc") or memory is not None
    registers = [operand.reg for operand in operands if operand.type == arm.ARM_OP_REG]
    # capstone forgets sources of some instructions (SXTAB16, PKHBT, SSAT), so all but the destination count as read.
    reads = frozenset(item.regs_access()[0]) | (frozenset() if is_memory else frozenset(registers[1:]))
    if memory is not None:
        address_registers = frozenset({memory.base, memory.index} - {0, arm.ARM_REG_PC})
    elif is_memory:
        address_registers = frozenset({arm.ARM_REG_SP if name.endswith(("push", "pop")) else registers[0]})
    else:
        address_registers = frozenset()
    listed = len(registers) - (0 if name.endswith(("push", "pop")) else 1)
    return Instruction(
        text=f"{item.mnemonic} {item.op_str}".strip(),
        kind=kind,
        reads=reads,
        writes=writes,
        address_registers=address_registers,
        base_updates=address_registers & writes if memory is not None or name != "pop" else frozenset(),
        stored=frozenset(registers[: 2 if kind == "store_double" else 1]) if kind.startswith("store") else frozenset(),
        shifted=_shifted(name, kind, operands, registers),
        unit=_unit(name, kind, operands),
        bank_of=memory.base if memory is not None and not memory.index else 0,
        bank=memory.disp >> 2 & 1 if memory is not None else 0,
        accumulators=_accumulators(name, kind, registers),
        registers=max(1, listed) if is_memory and memory is None else 1,
        register_offset=memory is not None and memory.index != 0,
        narrow_load=name in _NARROW_LOAD,
        right_shifted=kind == "alu" and len(operands) > 1 and operands[-1].shift.type in _RIGHT_SHIFTS,
        conditional=in_it_block or name in ("cbz", "cbnz") or item.cc not in (arm.ARM_CC_INVALID, arm.ARM_CC_AL),
        precision=_precision(name, kind, registers),
    )


def _shifted(name: str, kind: Kind, operands: Any, registers: list[int]) -> frozenset[int]:
    """Operands that the shifter of the stage before reads: shifted ones, bit fields, saturations, reversals."""
    if kind == "alu" and operands and operands[-1].shift.type:
        return frozenset(registers[-1:])
    early = name.startswith(("rev", "rbit", "ssat", "usat", "pkh", "sxta", "uxta")) or name in ("sbfx", "ubfx")
    return frozenset(registers[-1:]) if early else frozenset()


def _unit(name: str, kind: Kind, operands: Any) -> Literal["", "shift", "simd"]:
    if kind == "dsp" or name in ("sbfx", "ubfx", "bfi", "bfc", "clz", "rbit") or name.startswith(("rev", "sxt", "uxt")):
        return "simd"
    shifts = name in ("lsl", "lsr", "asr", "ror", "rrx") or (kind == "alu" and operands and operands[-1].shift.type)
    return "shift" if shifts else ""


def _precision(name: str, kind: Kind, registers: list[int]) -> Literal["none", "single", "double"]:
    """What FPU the instruction needs. Every FPU moves, loads and stores doubles; only one of double precision computes
    with them."""
    if not name.startswith("v"):
        return "none"
    doubles = any(arm.ARM_REG_D0 <= register <= arm.ARM_REG_D31 for register in registers)
    return "double" if doubles and kind.startswith("float") and name != "vmov" else "single"


def _base_name(item: Any) -> str:
    """The mnemonic without width suffix, condition and flag letter, e.g. "ldreq.w" → "ldr"."""
    return str(item.insn_name())


def _kind(item: Any, name: str, writes: frozenset[int]) -> Kind:
    to_pc = arm.ARM_REG_PC in writes
    for names, kind in _BY_NAME:
        if name in names:
            if to_pc and kind in ("load", "load_multiple"):
                return "load_pc" if kind == "load" else "pop_pc"
            return kind
    if name.startswith("v"):
        if name in ("vdiv", "vsqrt"):
            return "float_divide"
        return "float_multiply_add" if name in ("vmla", "vmls", "vfma", "vfms", "vnmla", "vnmls", "vfnma") else "float"
    groups = {item.group_name(group) for group in item.groups}
    if groups & _DSP_GROUPS:
        return "dsp_multiply" if name.startswith(("smla", "smul", "smua", "smus", "smls", "smm", "umaal")) else "dsp"
    return "branch" if to_pc else "alu"


_BY_NAME: tuple[tuple[set[str], Kind], ...] = (
    (_MULTIPLY, "multiply"),
    (_MULTIPLY_ADD, "multiply_add"),
    (_MULTIPLY_LONG, "multiply_long"),
    (_DIVIDE, "divide"),
    (_LOAD, "load"),
    (_STORE, "store"),
    ({"ldrd"}, "load_double"),
    ({"strd"}, "store_double"),
    (_LOAD_MULTIPLE, "load_multiple"),
    (_STORE_MULTIPLE, "store_multiple"),
    (_BRANCH, "branch"),
    (_BRANCH_LINK, "branch_link"),
    (_TABLE_BRANCH, "table_branch"),
)


def _accumulators(name: str, kind: Kind, registers: list[int]) -> frozenset[int]:
    if name in ("smlal", "umlal") or name.startswith(("smlald", "smlsld", "smlalb", "smlalt")):
        return frozenset(registers[:2])
    if kind in ("multiply_add", "dsp_multiply") and len(registers) == 4:
        return frozenset(registers[3:])
    if kind == "float_multiply_add":
        return frozenset(registers[:1])
    return frozenset()
