"""tracer.c from Python: the layout of its state, and its hooks put into unicorn. Only worker processes import this."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from importlib import resources

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import Uc, UcError, uclib

from rena_kws.devices.description import MemoryPath
from rena_kws.firmware.toolchain import compile_host_library

BLOCKS, CACHE_LINES, OWNERS, CALLS, DEPTH, SAMPLES = 65536, 4096, 1024, 16, 64, 4096
STOP_BUDGET, STOP_BLOCKS, STOP_REFUSED, STOP_EVENT, STOP_REGION = range(1, 6)
BLOCK_OPEN, BLOCK_CALLS, BLOCK_CONDITIONAL = 1, 2, 4

_U32, _U64 = ctypes.c_uint32, ctypes.c_uint64


class Block(ctypes.Structure):
    _fields_ = (
        *((name, _U32) for name in ("address", "size", "through_halves", "taken_halves", "instructions", "flags")),
        *((name, _U32) for name in ("predicted", "reserved")),
        *((name, _U64) for name in ("through", "taken", "mispredicted")),
    )


class _Cache(ctypes.Structure):
    _fields_ = (
        *((name, _U32) for name in ("line_bytes", "sets", "ways", "miss_cycles")),
        ("misses", _U64),
        ("lines", _U32 * CACHE_LINES),
    )


class _Frame(ctypes.Structure):
    _fields_ = (("return_address", _U32), ("stack", _U32), ("halves", _U64), ("memory_cycles", _U64))


class _Sample(ctypes.Structure):
    _fields_ = (("halves", _U64), ("memory_cycles", _U64))


_NewBlock = ctypes.CFUNCTYPE(ctypes.c_int, _U32, _U32, ctypes.POINTER(Block))


class State(ctypes.Structure):
    """The layout of `tracer` in tracer.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("reg_read", "reg_write", "emu_stop")),
        ("on_new_block", _NewBlock),
        ("owner_at", ctypes.POINTER(ctypes.c_uint16)),
        *((name, ctypes.c_int) for name in ("xpsr_register", "sp_register", "lr_register")),
        *((name, _U32) for name in ("owner_base", "owner_entries", "mispredict_cycles", "flash_first", "flash_last")),
        *((name, _U32) for name in ("prefetch", "unified", "region", "region_calls", "counting")),
        *((name, _U64) for name in ("instruction_budget", "event_halves")),
        *((name, _U32) for name in ("stop", "owner", "current", "current_owner", "used", "last_line")),
        *((name, _U32) for name in ("depth", "samples_used", "calls_used", "reserved")),
        *((name, _U64) for name in ("instructions", "halves", "memory_cycles")),
        ("owner_halves", _U64 * OWNERS),
        ("owner_memory_cycles", _U64 * OWNERS),
        ("call_from", _U32 * CALLS),
        ("call_to", _U32 * CALLS),
        ("frames", _Frame * DEPTH),
        ("samples", _Sample * SAMPLES),
        ("instruction_cache", _Cache),
        ("data_cache", _Cache),
        ("blocks", Block * BLOCKS),
    )


class Tracer:
    """The counters of one machine. `new_block(address, size, block)` fills in what a block costs; False refuses it."""

    def __init__(self, uc: Uc, new_block: Callable[[int, int, Block], bool], counting: bool) -> None:
        self.state = state = State()
        self._uc, self._library = uc, _library()
        self._new_block = _NewBlock(lambda address, size, block: int(not new_block(address, size, block.contents)))
        self._owner_entries: ctypes.Array[ctypes.c_uint16] | None = None
        self.owners = 1
        for name in ("reg_read", "reg_write", "emu_stop"):
            setattr(state, name, ctypes.cast(getattr(uclib, f"uc_{name}"), ctypes.c_void_p).value)
        state.on_new_block = self._new_block
        state.xpsr_register, state.sp_register = arm.UC_ARM_REG_XPSR, arm.UC_ARM_REG_SP
        state.lr_register = arm.UC_ARM_REG_LR
        state.counting, state.instruction_budget, state.event_halves = int(counting), 2**63, 2**63
        self._hook(unicorn.UC_HOOK_BLOCK, self._library.tracer_on_block, 1, 0)

    def stand_before_flash(self, path: MemoryPath, first: int, last: int) -> None:
        """Send fetches and reads of the flash, which lies from `first` to `last`, through the board's caches."""
        state = self.state
        state.flash_first, state.flash_last = first, last
        state.prefetch, state.unified = int(path.instruction_prefetch), int(path.unified_cache)
        for side in ("instruction", "data"):
            size, line = getattr(path, f"{side}_cache_bytes"), getattr(path, f"{side}_line_bytes")
            ways = getattr(path, f"{side}_ways") or (size // line if line else 0)
            cache = getattr(state, f"{side}_cache")
            if size:
                cache.line_bytes, cache.ways, cache.sets = line, ways, size // (line * ways)
                cache.miss_cycles = getattr(path, f"{side}_miss_cycles")
        if path.data_cache_bytes or (path.unified_cache and path.instruction_cache_bytes):
            self._hook(unicorn.UC_HOOK_MEM_READ, self._library.tracer_on_flash_read, first, last)

    def own(self, owners: list[tuple[int, int, int]]) -> None:
        """`owners`: (number, start, end): a block in [start, end) makes `number` the owner of what follows."""
        base = min((start for _, start, _ in owners), default=0) & ~1
        size = max((end for _, _, end in owners), default=base) - base
        entries = (ctypes.c_uint16 * max(1, size // 2))()
        for number, start, end in owners:
            for entry in range((start - base) // 2, (end - base) // 2):
                entries[entry] = number + 1
        self._owner_entries = entries
        self.owners = 1 + max((number for number, _, _ in owners), default=0)
        self.state.owner_at = ctypes.cast(entries, ctypes.POINTER(ctypes.c_uint16))
        self.state.owner_base, self.state.owner_entries = base, len(entries)

    def close_block(self, next_address: int) -> None:
        """Control left the block that ran for `next_address` without another block's beginning."""
        self._library.tracer_close_block(self.state, next_address)

    def arrive(self, address: int) -> None:
        """The run ended at `address`, which may be where a timed call returns to."""
        self._library.tracer_arrive(self.state, self._uc._uch, address)

    def blocks(self) -> list[Block]:
        return [block for block in self.state.blocks if block.through or block.taken]

    def last_calls(self) -> list[tuple[int, int]]:
        """(caller's block, callee), the latest last."""
        used = self.state.calls_used
        order = [index % CALLS for index in range(max(0, used - CALLS), used)]
        return [(self.state.call_from[index], self.state.call_to[index]) for index in order]

    def _hook(self, kind: int, function: object, begin: int, end: int) -> None:
        # The binding only takes Python callables; the C functions go to the library itself.
        handle = ctypes.c_size_t()
        pointer = ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type]
        user = ctypes.c_void_p(ctypes.addressof(self.state))
        status = uclib.uc_hook_add(
            self._uc._uch, ctypes.byref(handle), kind, pointer, user, ctypes.c_uint64(begin), ctypes.c_uint64(end)
        )
        if status != unicorn.UC_ERR_OK:
            raise UcError(status)  # type: ignore[no-untyped-call]


@cache
def _library() -> ctypes.CDLL:
    """tracer.c compiled for this computer."""
    text = resources.files("rena_kws.profilers.cortex_m").joinpath("tracer.c").read_text(encoding="utf-8")
    library = ctypes.CDLL(str(compile_host_library({"tracer.c": text}, optimize="speed", libc=False)))
    library.tracer_close_block.argtypes = [ctypes.POINTER(State), ctypes.c_uint32]
    library.tracer_arrive.argtypes = [ctypes.POINTER(State), ctypes.c_void_p, ctypes.c_uint32]
    return library
