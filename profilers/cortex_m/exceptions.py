"""Taking and leaving exceptions, as the Armv7-M Architecture Reference Manual describes them (B1.5.6 to B1.5.8).

unicorn has the registers of both modes and both stacks but takes no exceptions. Here the caller's registers go onto the
stack in use, with those of the FPU where the thread has used it, and come back from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from unicorn import arm_const as arm

_CALLER_SAVED = tuple(getattr(arm, f"UC_ARM_REG_{name}") for name in ("R0", "R1", "R2", "R3", "R12", "LR"))
_FLOATS = tuple(getattr(arm, f"UC_ARM_REG_S{n}") for n in range(16))
_NUMBER, _ALIGNED = 0x1FF, 0x200  # xPSR: the exception in progress; the stack was moved to a multiple of eight
_IT_AND_THUMB = 0x0700FC00
_THUMB = 0x01000000
_PROCESS_STACK, _FLOAT_ACTIVE = 2, 4  # CONTROL


def may_take(uc: Any) -> bool:
    """Whether no mask is set and no exception in progress."""
    masks = (arm.UC_ARM_REG_PRIMASK, arm.UC_ARM_REG_BASEPRI, arm.UC_ARM_REG_FAULTMASK, arm.UC_ARM_REG_IPSR)
    return not any(uc.reg_read(mask) for mask in masks)


def enter(uc: Any, number: int, return_to: int, vector_table: int) -> int:
    """Save the caller and go to the handler of exception `number` → its address. Raises `UcError` without memory."""
    control, xpsr = uc.reg_read(arm.UC_ARM_REG_CONTROL), uc.reg_read(arm.UC_ARM_REG_XPSR)
    stack = uc.reg_read(arm.UC_ARM_REG_SP)
    nested, with_floats = bool(xpsr & _NUMBER), bool(control & _FLOAT_ACTIVE)
    top = stack - 4 * (26 if with_floats else 8)
    moved = top & 4
    words = [uc.reg_read(register) for register in _CALLER_SAVED]
    words += [return_to & ~1, xpsr & ~_ALIGNED | (_ALIGNED if moved else 0)]
    if with_floats:
        words += [*(uc.reg_read(register) for register in _FLOATS), uc.reg_read(arm.UC_ARM_REG_FPSCR), 0]
    uc.mem_write(top - moved, np.array(words, "<u4").tobytes())
    uc.reg_write(arm.UC_ARM_REG_SP, top - moved)
    uc.reg_write(arm.UC_ARM_REG_XPSR, xpsr & ~(_NUMBER | _IT_AND_THUMB) | _THUMB | number)
    uc.reg_write(arm.UC_ARM_REG_CONTROL, control & ~(_PROCESS_STACK | _FLOAT_ACTIVE))
    link = 0xFFFFFFF1 if nested else 0xFFFFFFFD if control & _PROCESS_STACK else 0xFFFFFFF9
    uc.reg_write(arm.UC_ARM_REG_LR, link & ~0x10 if with_floats else link)
    handler = int.from_bytes(uc.mem_read(vector_table + 4 * number, 4), "little")
    uc.reg_write(arm.UC_ARM_REG_PC, handler | 1)
    return handler & ~1


def is_return(address: int) -> bool:
    """Whether a jump there is the return from an exception."""
    return address >= 0xFFFFFF00


def leave(uc: Any, link: int) -> int:
    """Undo `enter` as the address `link` says → where the caller goes on. Raises `UcError` without memory."""
    with_floats = not link & 0x10
    control = uc.reg_read(arm.UC_ARM_REG_CONTROL) & ~(_PROCESS_STACK | _FLOAT_ACTIVE)
    control |= (_PROCESS_STACK if link & 4 else 0) | (_FLOAT_ACTIVE if with_floats else 0)
    # Mode and control decide which stack is in use, so they come first.
    uc.reg_write(arm.UC_ARM_REG_XPSR, uc.reg_read(arm.UC_ARM_REG_XPSR) & ~_NUMBER)
    uc.reg_write(arm.UC_ARM_REG_CONTROL, control)
    stack = uc.reg_read(arm.UC_ARM_REG_SP)
    size = 4 * (26 if with_floats else 8)
    words = np.frombuffer(bytes(uc.mem_read(stack, size)), "<u4").tolist()
    for register, value in zip(_CALLER_SAVED, words[:6], strict=True):
        uc.reg_write(register, value)
    if with_floats:
        for register, value in zip(_FLOATS, words[8:24], strict=True):
            uc.reg_write(register, value)
        uc.reg_write(arm.UC_ARM_REG_FPSCR, words[24])
    uc.reg_write(arm.UC_ARM_REG_SP, stack + size + (4 if words[7] & _ALIGNED else 0))
    uc.reg_write(arm.UC_ARM_REG_XPSR, words[7] & ~_ALIGNED)
    uc.reg_write(arm.UC_ARM_REG_PC, words[6] | 1)
    return int(words[6]) & ~1
