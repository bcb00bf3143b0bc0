"""An emulated microcontroller: memory, a core in unicorn, exceptions, devices, counters.

Only worker processes import this file: unicorn is GPL-2, and an image may crash it. An image can do nothing to the
host: it sees the memory and the devices that are given here, and semihosting opens no files.

unicorn executes instructions and knows neither time nor interrupts. Time comes from the cycle model, block by block
(tracer.c). Exceptions are taken here, between two blocks, one at a time and without priorities among them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import Uc, UcError

from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError
from rena_kws.profilers.cortex_m import exceptions
from rena_kws.profilers.cortex_m import tracer as counting
from rena_kws.profilers.cortex_m.address_space import AddressSpace
from rena_kws.profilers.cortex_m.cores import CORES
from rena_kws.profilers.cortex_m.cycle_model import block_cost
from rena_kws.profilers.cortex_m.instructions import decode
from rena_kws.profilers.cortex_m.peripherals import SVCALL, SYSTICK, Console, Registers, SystemSpace
from rena_kws.profilers.cortex_m.records import Stop, Why
from rena_kws.profilers.cortex_m.semihosting import Semihosting
from rena_kws.profilers.cortex_m.serial_ports import SERIAL_PORT_BYTES, SERIAL_PORTS, SerialPort

_CPU_MODELS = {
    "cortex-m0plus": arm.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm.UC_CPU_ARM_CORTEX_M4,
    "cortex-m33": arm.UC_CPU_ARM_CORTEX_M33,
    "cortex-m7": arm.UC_CPU_ARM_CORTEX_M7,
}
_SYSTEM_SPACE, _SYSTEM_SPACE_BYTES = 0xE0000000, 0x100000
_FIRST_INTERRUPT = 16  # exceptions below are the core's own
_MASKED_POLL_CYCLES = 1000  # how often an exception that is masked off looks again
_REGISTERS = {f"r{n}": getattr(arm, f"UC_ARM_REG_R{n}") for n in range(13)} | {
    "sp": arm.UC_ARM_REG_SP,
    "lr": arm.UC_ARM_REG_LR,
    "pc": arm.UC_ARM_REG_PC,
    "xpsr": arm.UC_ARM_REG_XPSR,
}
_ACCESS = {
    unicorn.UC_MEM_READ_UNMAPPED: "read of unmapped address",
    unicorn.UC_MEM_WRITE_UNMAPPED: "write to unmapped address",
    unicorn.UC_MEM_FETCH_UNMAPPED: "jump to unmapped address",
    unicorn.UC_MEM_WRITE_PROT: "write to flash at",
    unicorn.UC_MEM_READ_PROT: "read of protected address",
    unicorn.UC_MEM_FETCH_PROT: "jump into RAM at",
}
_SVC, _PREFETCH_ABORT, _DATA_ABORT, _BREAKPOINT = 2, 3, 4, 7  # unicorn's numbers of exceptions
_WFE, _WFI, _SEMIHOSTING = b"\x20\xbf", b"\x30\xbf", b"\xab\xbe"


class Machine:
    """A device with nothing loaded. `bare`: memory alone, no devices and no code in RAM."""

    def __init__(self, device: Device, *, count: bool = True, bare: bool = False) -> None:
        assert device.core and device.clock_hz
        self._slowdown = 1 + device.memory.fetch_stall_share
        self.device, self.timing = device, CORES[device.core]
        self.uc: Any = Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)  # type: ignore[no-untyped-call]
        self.uc.ctl_set_cpu_model(_CPU_MODELS[device.core])
        self.console = Console()
        self._refusal = self._access = ""
        self._raised: int | None = None
        self._stopped: Stop | None = None
        self._expired = False
        self.space = AddressSpace(self.uc, device, run_ram=not bare)
        self.system = SystemSpace(device.core, self.now, self.console)
        self.semihosting = Semihosting(self.uc, self.console, self.now, device.clock_hz)
        self.serial_port: SerialPort | None = None
        if not bare:
            self._map_devices()
        self.tracer = counting.Tracer(self.uc, self._new_block, count)
        if count and device.flash_origin is not None and device.flash_bytes:
            last = device.flash_origin + device.flash_bytes - 1
            self.tracer.stand_before_flash(device.memory, device.flash_origin, last)
        self.tracer.state.mispredict_cycles = self.timing.mispredict_cycles
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)

    def _map_devices(self) -> None:
        self.space.map_devices(self._after_access)
        self.space.attach(_SYSTEM_SPACE, _SYSTEM_SPACE_BYTES, self.system)
        port = SERIAL_PORTS.get(self.device.uart)
        if port and self.device.uart_origin is not None:
            self.serial_port = port(self.console, self.space.read, self.space.write)
            size = SERIAL_PORT_BYTES.get(self.device.uart, 0x400)
            self.space.attach(self.device.uart_origin, size, self.serial_port)

    def _after_access(self, registers: Registers, written: bool) -> None:
        if written:
            self._set_deadline()
        elif registers is self.serial_port and self.serial_port.waits_for_input:
            self.uc.emu_stop()

    # Time

    def now(self) -> int:
        """Cycles since the machine was made, the memory's included."""
        return int(self.tracer.state.halves / 2 * self._slowdown + self.tracer.state.memory_cycles)

    def _halves(self, time: int) -> int:
        """The core's count of half cycles at which `now` will be `time`, if the memory adds no more than the share."""
        core_cycles = (time - int(self.tracer.state.memory_cycles)) / self._slowdown
        return math.ceil(2 * core_cycles)

    def _new_block(self, address: int, size: int, block: counting.Block) -> bool:
        """Work out what a block costs; False where the core lacks one of its instructions."""
        try:
            instructions = decode(bytes(self.uc.mem_read(address, size)), address)
            cost = block_cost(instructions, self.timing, dsp=self.device.dsp, fpu=self.device.fpu)
            if not self.system.fpu_on and any(item.is_float for item in instructions):
                raise CandidateError("floating point while the FPU is off (CPACR)")
        except CandidateError as error:
            self._refusal = str(error)
            return False
        block.through_halves, block.taken_halves = cost.through_halves, cost.taken_halves
        block.instructions = len(instructions)
        last = instructions[-1]
        block.flags |= counting.BLOCK_OPEN * (not last.is_branch)
        block.flags |= counting.BLOCK_CALLS * (last.kind == "branch_link")
        block.flags |= counting.BLOCK_CONDITIONAL * (last.is_branch and last.conditional)
        return True

    # Running

    def register(self, name: str) -> int:
        return int(self.uc.reg_read(_REGISTERS[name]))

    def set_register(self, name: str, value: int) -> None:
        self.uc.reg_write(_REGISTERS[name], value & 0xFFFFFFFF)

    def run(self, start: int, stop: int | None, *, instructions: int, seconds: float) -> Stop:
        """Run from `start` until the address `stop` is reached, or something else ends it. The budgets are for this
        run alone."""
        state = self.tracer.state
        state.instruction_budget = state.instructions + instructions
        pc, self._stopped, self._expired = start & ~1, None, False
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            return self._run_until(pc, stop, instructions, seconds)
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._expired = True
        self.uc.emu_stop()

    def _run_until(self, pc: int, stop: int | None, instructions: int, seconds: float) -> Stop:
        state = self.tracer.state
        woken_at = -1  # the count of instructions at the last WFE
        while self._stopped is None:
            state.stop, self._raised, self._access, self._refusal = 0, None, "", ""
            self._set_deadline()
            if self._expired:
                return self._stop("time", f"it did not end within {seconds:g} s of real time")
            error = self._emulate(pc, stop)
            pc = self.register("pc")
            slept = error and not (state.stop or self._access) and self.space.halfword(pc - 2) == _WFE
            if slept and state.instructions > woken_at:
                # unicorn takes WFE for an invalid instruction once it has run it. An event may always be there.
                error, woken_at = None, state.instructions
            try:
                self._stopped = self._after(pc, stop, error, instructions)
                if self._stopped is None:
                    self._take_exception()
            except CandidateError as failed:
                self._stopped = self._stop("fault", str(failed))
            pc = self.register("pc")
        return self._stopped

    def _emulate(self, pc: int, stop: int | None) -> UcError | None:
        try:
            self.uc.emu_start(pc | 1, 0xFFFFFFFE if stop is None else stop & ~1)
        except UcError as error:
            return error
        return None

    def _after(self, pc: int, stop: int | None, error: UcError | None, instructions: int) -> Stop | None:
        """Why emulation came back at `pc`: what ends the run, or None where it goes on."""
        state = self.tracer.state
        if self._access:
            return self._stop("fault", self._access)
        if state.stop == counting.STOP_REFUSED:
            return self._stop("fault", self._refusal)
        if state.stop == counting.STOP_BUDGET:
            return self._stop("budget", f"it did not end within its budget of {instructions} instructions")
        if state.stop == counting.STOP_BLOCKS:
            return self._stop("budget", f"it has more basic blocks than the {counting.BLOCKS // 2} that are counted")
        if state.stop == counting.STOP_REGION:
            return self._stop("region", "the calls that were wanted are counted")
        if (self._raised is not None or error is not None) and exceptions.is_return(pc):
            self._cross(lambda: exceptions.leave(self.uc, pc | 1))
            return None
        if self._raised is not None:
            return self._on_raised(self._raised, pc)
        if error is not None:
            return self._stop("fault", self._reason(error, pc))
        if stop is not None and pc == stop & ~1:
            self.tracer.arrive(pc)
            return self._stop("stop", "the stop address was reached")
        if self.system.reset_requested:
            return self._stop("reset", "the firmware asked for a reset")
        if self.serial_port and self.serial_port.waits_for_input:
            self.serial_port.idle_reads = 0
            return self._stop("input", "the firmware waits for input on its serial port")
        if not state.stop and self.space.halfword(pc - 2) == _WFI:
            return self._sleep()
        return None

    def _sleep(self) -> Stop | None:
        """Let the time pass until SysTick."""
        self.system.tick()
        if self.system.pending or self._serial_interrupt():
            return None
        tick = self.system.next_tick()
        if tick is None:
            return self._stop("sleep", "the firmware sleeps, and nothing is there to wake it")
        self.tracer.state.halves = max(self.tracer.state.halves, self._halves(tick))
        return None

    def _stop(self, why: Why, detail: str) -> Stop:
        return Stop(why, detail, self.register("pc"))

    def _reason(self, error: UcError, pc: int) -> str:
        if not self.space.holds(pc):
            return f"jump to {pc:#010x}, where nothing can run"
        return str(error).split(" (UC_", 1)[0].lower()  # "invalid instruction", without the constant's name

    def _on_invalid(self, uc: object, access: int, address: int, size: int, value: int, user: object) -> bool:
        if access != unicorn.UC_MEM_FETCH_UNMAPPED or not exceptions.is_return(address):
            self._access = f"{_ACCESS.get(access, 'invalid access to')} {address:#010x} ({size} bytes)"
        return False

    # Exceptions

    def _on_exception(self, uc: object, number: int, user: object) -> None:
        self._raised = number
        self.uc.emu_stop()

    def _on_raised(self, number: int, pc: int) -> Stop | None:
        if number == _SVC:
            self._cross(lambda: exceptions.enter(self.uc, SVCALL, pc, self.system.vector_table))
            return None
        if number == _BREAKPOINT:
            return self._breakpoint(pc)
        what = {_PREFETCH_ABORT: f"jump to {pc:#010x}, where nothing can run", _DATA_ABORT: "unaligned access"}
        return self._stop("fault", what.get(number, f"exception {number} of the emulator"))

    def _breakpoint(self, pc: int) -> Stop | None:
        at = next((place for place in (pc, pc - 2) if self.space.halfword(place) == _SEMIHOSTING), None)
        if at is None:
            return self._stop("fault", "breakpoint instruction without a debugger")
        self.uc.reg_write(arm.UC_ARM_REG_PC, at + 2 | 1)
        status = self.semihosting.call(self.register("r0"), self.register("r1"))
        return None if status is None else self._stop("exit", f"status {status}")

    def _take_exception(self) -> None:
        """Enter the exception that is pending, if one is and may be."""
        system = self.system
        system.tick()
        if self._serial_interrupt():
            system.pending.add(_FIRST_INTERRUPT + (self.device.uart_interrupt or 0))
        if system.pending and exceptions.may_take(self.uc):
            number = SYSTICK if SYSTICK in system.pending else min(system.pending)
            system.pending.discard(number)
            pc = self.register("pc")
            self._cross(lambda: exceptions.enter(self.uc, number, pc, system.vector_table))

    def _serial_interrupt(self) -> bool:
        """Whether the serial port asks for its interrupt, and the firmware has enabled it."""
        port, number = self.serial_port, self.device.uart_interrupt
        return port is not None and number in self.system.enabled_interrupts and port.asks_for_interrupt

    def _cross(self, change: Callable[[], int]) -> None:
        """Enter or leave an exception, which takes its time."""
        try:
            self.tracer.close_block(change())
        except UcError:
            raise self.space.outside("exception whose stack or vector is", self.register("sp"), 32) from None
        self.tracer.state.halves += 2 * self.timing.exception_cycles

    def _set_deadline(self) -> None:
        """The count at which the tracer next has to stop for an exception."""
        state, system = self.tracer.state, self.system
        tick = system.next_tick()
        pending = bool(system.pending) or self._serial_interrupt()
        if system.reset_requested or (pending and exceptions.may_take(self.uc)):
            state.event_halves = state.halves
        elif pending or (tick is not None and tick <= self.now()):
            state.event_halves = state.halves + 2 * _MASKED_POLL_CYCLES
        else:
            state.event_halves = 2**63 if tick is None else self._halves(tick)
