"""Runs one function of an image in unicorn. Only the worker process imports this file: unicorn is GPL-2, images crash.

The stack pointer starts at the top of RAM, the argument is the arena, and the return address is a page of its own where
emulation stops. No start-up code or vectors are needed. Flash is read-only, RAM cannot be executed, no more is mapped.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import Uc, UcError, uclib

from rena_kws.firmware.toolchain import compile_host_library
from rena_kws.profilers.cortex_m.job import BlockCount, Fault, Job, JobResult

_CPU_MODELS = {
    "cortex-m0plus": arm.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm.UC_CPU_ARM_CORTEX_M4,
    "cortex-m33": arm.UC_CPU_ARM_CORTEX_M33,
    "cortex-m7": arm.UC_CPU_ARM_CORTEX_M7,
}
_RETURN_PAGES = (0x1FFFF000, 0x0FFFF000, 0x07FFF000)  # in the region that every core may execute; one is free
_PAINT = 0xA5
_TABLE_SIZE, _CACHE_LINES = 65536, 1024
_ACCESS = {
    unicorn.UC_MEM_READ_UNMAPPED: "read of unmapped address",
    unicorn.UC_MEM_WRITE_UNMAPPED: "write to unmapped address",
    unicorn.UC_MEM_FETCH_UNMAPPED: "jump to unmapped address",
    unicorn.UC_MEM_WRITE_PROT: "write to flash at",
    unicorn.UC_MEM_READ_PROT: "read of protected address",
    unicorn.UC_MEM_FETCH_PROT: "jump into RAM at",
}


class _BlockCount(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("address", "size", "taken", "owner")),
        ("count", ctypes.c_uint64),
    )


class _Tracer(ctypes.Structure):
    """The layout of `tracer` in tracer.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("reg_read", "reg_write", "emu_stop")),
        ("xpsr_register", ctypes.c_int),
        ("owner_at", ctypes.POINTER(ctypes.c_uint16)),
        *((name, ctypes.c_uint32) for name in ("owner_base", "owner_entries", "cache_lines", "line_bytes", "counting")),
        *((name, ctypes.c_uint64) for name in ("halfword_budget", "halfwords", "misses")),
        *((name, ctypes.c_uint32) for name in ("overflow", "over_budget", "owner", "previous")),
        *((name, ctypes.c_uint32) for name in ("previous_size", "used")),
        ("lines", ctypes.c_uint32 * _CACHE_LINES),
        ("blocks", _BlockCount * _TABLE_SIZE),
    )


def load_tracer() -> ctypes.CDLL:
    """tracer.c compiled for this computer."""
    text = resources.files("rena_kws.profilers.cortex_m").joinpath("tracer.c").read_text(encoding="utf-8")
    library = ctypes.CDLL(str(compile_host_library({"tracer.c": text}, optimize="speed", libc=False)))
    library.tracer_close_block.argtypes = [ctypes.POINTER(_Tracer), ctypes.c_uint32]
    return library


def execute(job: Job, library: ctypes.CDLL) -> JobResult:
    """Run the job's function once for each input; the first run is counted, the others only watched."""
    outputs: list[bytes] = []
    first: _Run | None = None
    quick: _Run | None = None
    stack_bytes = 0
    for data in job.inputs:
        if first is None:
            first = run = _Run(job, library, counting=True)
        else:
            # A machine of its own: with a hook on reads every load takes the slow path.
            quick = run = quick or _Run(job, library, counting=False)
        fault = run.call(data)
        if fault:
            return JobResult(fault=fault)
        stack_bytes = max(stack_bytes, run.stack_bytes())
        if stack_bytes >= run.stack_space:
            return JobResult(fault=Fault("the stack ran into the arena or the data below it", run.pc()))
        outputs.append(run.outputs())
    blocks, misses = first.counts() if first else ((), 0)
    return JobResult(outputs=tuple(outputs), stack_bytes=stack_bytes, blocks=blocks, flash_misses=misses)


class _Run:
    """One emulated machine with the image loaded."""

    def __init__(self, job: Job, library: ctypes.CDLL, counting: bool) -> None:
        self.job, self.library = job, library
        self.access = ""
        self.uc: Any = Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)  # type: ignore[no-untyped-call]
        self.uc.ctl_set_cpu_model(_CPU_MODELS[job.core])
        self.uc.mem_map(job.flash_origin, _pages(job.flash_bytes), unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self.uc.mem_map(job.ram_origin, _pages(job.ram_bytes), unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        taken = ((job.flash_origin, job.flash_bytes), (job.ram_origin, job.ram_bytes))
        self.return_page = next(p for p in _RETURN_PAGES if all(not a - 4096 < p < a + size for a, size in taken))
        self.uc.mem_map(self.return_page, 4096, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self.uc.mem_write(self.return_page, b"\xfe\xe7" * 2)
        for segment in job.flash:
            self.uc.mem_write(segment.address, segment.data)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)
        self.tracer = _Tracer()
        self._set_up_tracer(counting)
        self.stack_bottom = job.arena + job.arena_bytes
        self.stack_space = job.ram_origin + job.ram_bytes - self.stack_bottom

    def _set_up_tracer(self, counting: bool) -> None:
        job, tracer = self.job, self.tracer
        for name in ("reg_read", "reg_write", "emu_stop"):
            setattr(tracer, name, ctypes.cast(getattr(uclib, f"uc_{name}"), ctypes.c_void_p).value)
        tracer.xpsr_register = arm.UC_ARM_REG_XPSR
        self._owners = (ctypes.c_uint16 * max(1, job.code_bytes // 2))()
        for owner, start, end in job.owners:
            for entry in range((start - job.flash_origin) // 2, (end - job.flash_origin) // 2):
                self._owners[entry] = owner + 1
        tracer.owner_at = ctypes.cast(self._owners, ctypes.POINTER(ctypes.c_uint16))
        tracer.owner_base, tracer.owner_entries = job.flash_origin, job.code_bytes // 2
        tracer.counting, tracer.halfword_budget = int(counting), job.halfword_budget
        self._hook(unicorn.UC_HOOK_BLOCK, self.library.tracer_on_block, 1, 0)
        if counting and job.cache_lines:
            tracer.cache_lines, tracer.line_bytes = min(job.cache_lines, _CACHE_LINES), job.cache_line_bytes
            flash_end = job.flash_origin + job.flash_bytes - 1
            self._hook(unicorn.UC_HOOK_MEM_READ, self.library.tracer_on_flash_read, job.flash_origin, flash_end)

    def _hook(self, kind: int, function: object, begin: int, end: int) -> None:
        # The binding only takes Python callables; the C functions go to the library itself.
        handle = ctypes.c_size_t()
        pointer = ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type]
        user = ctypes.c_void_p(ctypes.addressof(self.tracer))
        status = uclib.uc_hook_add(
            self.uc._uch, ctypes.byref(handle), kind, pointer, user, ctypes.c_uint64(begin), ctypes.c_uint64(end)
        )
        if status != unicorn.UC_ERR_OK:
            raise UcError(status)  # type: ignore[no-untyped-call]

    def call(self, data: Sequence[bytes]) -> Fault | None:
        """Fresh RAM, the inputs in the arena, and one call of the entry function."""
        job, uc, tracer = self.job, self.uc, self.tracer
        uc.mem_write(job.ram_origin, bytes([_PAINT]) * job.ram_bytes)
        for segment in job.ram:
            uc.mem_write(segment.address, segment.data)
        for offset, content in zip(job.input_offsets, data, strict=True):
            uc.mem_write(job.arena + offset, content)
        uc.reg_write(arm.UC_ARM_REG_R0, job.arena)
        uc.reg_write(arm.UC_ARM_REG_SP, job.ram_origin + job.ram_bytes)
        uc.reg_write(arm.UC_ARM_REG_LR, self.return_page | 1)
        tracer.halfwords = 0
        try:
            uc.emu_start(job.entry | 1, self.return_page)
        except UcError as error:
            return Fault(self.access or self._reason(error), self.pc())
        if tracer.over_budget:
            return Fault(f"it did not return within its budget of {job.halfword_budget} halfwords of code", self.pc())
        if tracer.overflow:
            return Fault(f"it has more basic blocks than the {_TABLE_SIZE // 2} that are counted", self.pc())
        self.library.tracer_close_block(self.tracer, self.return_page)
        return None

    def _on_invalid(self, uc: object, access: int, address: int, size: int, value: int, user: object) -> bool:
        self.access = f"{_ACCESS.get(access, 'invalid access to')} {address:#010x} ({size} bytes)"
        return False

    def _reason(self, error: UcError) -> str:
        if not 0 <= self.pc() - self.job.flash_origin < self.job.flash_bytes:
            return f"jump to {self.pc():#010x}, where nothing can run"
        return str(error).split(" (UC_", 1)[0].lower()  # "invalid instruction", without the constant's name

    def pc(self) -> int:
        return int(self.uc.reg_read(arm.UC_ARM_REG_PC))

    def stack_bytes(self) -> int:
        """The high-water mark: from the lowest byte of the stack that lost its paint to the top of RAM."""
        stack = np.frombuffer(bytes(self.uc.mem_read(self.stack_bottom, self.stack_space)), np.uint8)
        touched = stack != _PAINT
        return int(stack.size - touched.argmax()) if touched.any() else 0

    def outputs(self) -> bytes:
        places = zip(self.job.output_offsets, self.job.output_sizes, strict=True)
        return b"".join(bytes(self.uc.mem_read(self.job.arena + offset, size)) for offset, size in places)

    def counts(self) -> tuple[tuple[BlockCount, ...], int]:
        blocks = (block for block in self.tracer.blocks if block.count)
        counted = tuple(BlockCount(b.address, b.size, bool(b.taken), b.owner, b.count) for b in blocks)
        return counted, int(self.tracer.misses)


def _pages(size: int) -> int:
    return (size + 4095) // 4096 * 4096
