"""What the worker does when asked: the methods of one chip, with arguments and answers that are plain JSON or bytes.

Only worker processes import this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import unicorn
from unicorn import arm_const as arm

from rena_kws.devices.description import Device
from rena_kws.profilers.cortex_m.machine import Machine
from rena_kws.profilers.cortex_m.peripherals import Registers

Ask = Callable[[int, str, Sequence[int]], Any]
_IT_BITS = 0x0600FC00


class _Remote(Registers):
    """A device on the other end of the pipe."""

    def __init__(self, ask: Ask, hook: int) -> None:
        self._ask, self._hook = ask, hook

    def read(self, offset: int, size: int) -> int:
        return int(self._ask(self._hook, "read", (offset, size))) & ((1 << 8 * size) - 1)

    def write(self, offset: int, size: int, value: int) -> None:
        self._ask(self._hook, "write", (offset, size, value))


class Chip:
    """See `Emulator` for what each method means."""

    def __init__(self, ask: Ask, device: dict[str, Any], count: bool, bare: bool) -> None:
        self._ask = ask
        self._machine = Machine(Device.from_json(device), count=count, bare=bare)

    def write(self, address: int, data: bytes) -> None:
        self._machine.space.write(address, data)

    def read(self, address: int, size: int) -> bytes:
        return self._machine.space.read(address, size)

    def clear_ram(self) -> None:
        self._machine.space.clear_ram()

    def untouched(self, bottom: int, top: int) -> int:
        return self._machine.space.untouched(bottom, top)

    def attach(self, address: int, size: int, hook: int) -> None:
        self._machine.space.attach(address, size, _Remote(self._ask, hook))

    def watch(self, first: int, last: int, hook: int) -> None:
        remote, uc = _Remote(self._ask, hook), self._machine.uc

        def seen(_: object, access: int, address: int, size: int, value: int, user: object) -> None:
            # unicorn leaves the state of an IT block set after a watched access in it; see tracer.c.
            xpsr = uc.reg_read(arm.UC_ARM_REG_XPSR)
            if xpsr & _IT_BITS:
                uc.reg_write(arm.UC_ARM_REG_XPSR, xpsr & ~_IT_BITS)
            if access == unicorn.UC_MEM_WRITE:
                remote.write(address, size, value & ((1 << 8 * size) - 1))
            else:
                remote.read(address, size)

        uc.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, seen, None, first, last)

    def register(self, name: str) -> int:
        return self._machine.register(name)

    def set_register(self, name: str, value: int) -> None:
        self._machine.set_register(name, value)

    def set_vector_table(self, address: int) -> None:
        self._machine.system.vector_table = address

    def turn_fpu_on(self) -> None:
        self._machine.system.fpu_on = True

    def return_address(self) -> int:
        return self._machine.space.return_page

    def send(self, data: bytes) -> None:
        self._machine.console.to_receive.extend(data)

    def sent(self) -> bytes:
        return bytes(self._machine.console.sent)

    def take_sent(self) -> bytes:
        console = self._machine.console
        sent = bytes(console.sent)
        console.sent.clear()
        return sent

    def run(self, start: int, stop: int | None, instructions: int, seconds: float) -> list[Any]:
        end = self._machine.run(start, stop, instructions=instructions, seconds=seconds)
        return [end.why, end.detail, end.pc]

    def own(self, owners: list[list[int]]) -> None:
        self._machine.tracer.own([(number, start, end) for number, start, end in owners])

    def time_calls(self, address: int, calls: int) -> None:
        state = self._machine.tracer.state
        state.region, state.region_calls, state.samples_used, state.depth = address, calls, 0, 0

    def mispredict_cycles(self) -> int:
        return self._machine.timing.mispredict_cycles

    def counters(self) -> dict[str, Any]:
        tracer = self._machine.tracer
        state = tracer.state
        owners = zip(state.owner_halves, state.owner_memory_cycles, strict=True)
        return {
            "instructions": state.instructions,
            "cycles": state.halves // 2,
            "memory_cycles": state.memory_cycles,
            "instruction_misses": state.instruction_cache.misses,
            "data_misses": state.data_cache.misses,
            "by_owner": [(halves // 2, memory) for halves, memory in owners][: tracer.owners],
            "samples": [(s.halves // 2, s.memory_cycles) for s in state.samples[: state.samples_used]],
            "calls": tracer.last_calls(),
        }

    def blocks(self) -> list[list[int]]:
        names = ("address", "size", "instructions", "through", "taken", "mispredicted")
        blocks = self._machine.tracer.blocks()
        return [[*(getattr(b, name) for name in names), b.through_halves / 2, b.taken_halves / 2] for b in blocks]
