"""Semihosting: what firmware asks of a debugger with BKPT 0xAB, as far as it can do no harm.

Numbers and arguments: Arm, "Semihosting for AArch32 and AArch64", section 3. There are no files: only the console
":tt" opens, and it is the machine's serial line. The clock is the emulated one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import UcError

from rena_kws.profilers.cortex_m.peripherals import Console

_OPEN, _CLOSE, _WRITE_CHARACTER, _WRITE_STRING, _WRITE, _READ, _READ_CHARACTER = 1, 2, 3, 4, 5, 6, 7
_IS_ERROR, _IS_TERMINAL, _LENGTH, _CLOCK, _TIME, _ERROR_NUMBER = 8, 9, 12, 16, 17, 19
_EXIT, _EXIT_EXTENDED, _ELAPSED, _TICKS_A_SECOND = 24, 32, 48, 49
_APPLICATION_EXIT = 0x20026
_INPUT, _OUTPUT = 1, 2  # handles; standard error is output too
_LONGEST_STRING = 4096
_REFUSED = 0xFFFFFFFF


class Semihosting:
    """`now()` counts cycles."""

    def __init__(self, uc: Any, console: Console, now: Callable[[], int], clock_hz: int) -> None:
        self._uc, self._console, self._now, self._clock_hz = uc, console, now, clock_hz

    def call(self, number: int, argument: int) -> int | None:
        """Do what is asked and put the answer into r0; the exit status where the firmware ends itself."""
        if number == _EXIT:
            return 0 if argument == _APPLICATION_EXIT else 1
        try:
            if number == _EXIT_EXTENDED:
                reason, status = self._words(argument, 2)
                return status if reason == _APPLICATION_EXIT else 1
            answer = self._answer(number, argument)
        except UcError:
            answer = _REFUSED
        self._uc.reg_write(arm.UC_ARM_REG_R0, answer & 0xFFFFFFFF)
        return None

    def _answer(self, number: int, argument: int) -> int:
        if number == _WRITE_CHARACTER:
            self._console.send(bytes(self._uc.mem_read(argument, 1)))
            return 0
        if number == _WRITE_STRING:
            self._console.send(self._string(argument))
            return 0
        if number == _OPEN:
            name, mode, length = self._words(argument, 3)
            console = length == 3 and bytes(self._uc.mem_read(name, 3)) == b":tt"
            return (_INPUT if mode < 4 else _OUTPUT) if console else _REFUSED
        if number == _WRITE:
            _, data, length = self._words(argument, 3)
            written = min(length, _LONGEST_STRING)
            self._console.send(bytes(self._uc.mem_read(data, written)))
            return length - written
        if number == _READ:
            _, place, length = self._words(argument, 3)
            taken = self._console.receive(length)
            self._uc.mem_write(place, taken)
            return length - len(taken)
        if number == _READ_CHARACTER:
            return (self._console.receive(1) or b"\xff")[0]
        if number == _ELAPSED:
            self._uc.mem_write(argument, self._now().to_bytes(8, "little"))
            return 0
        simple = {
            _CLOSE: 0,
            _IS_ERROR: 0,
            _IS_TERMINAL: 1,
            _LENGTH: 0,
            _ERROR_NUMBER: 0,
            _TICKS_A_SECOND: self._clock_hz,
        }
        simple |= {_CLOCK: self._now() * 100 // self._clock_hz, _TIME: self._now() // self._clock_hz}
        return simple.get(number, _REFUSED)

    def _words(self, address: int, count: int) -> list[int]:
        data = bytes(self._uc.mem_read(address, 4 * count))
        return [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(count)]

    def _string(self, address: int) -> bytes:
        text = bytearray()
        while len(text) < _LONGEST_STRING:
            byte = self._uc.mem_read(address + len(text), 1)
            if byte == b"\0":
                break
            text += byte
        return bytes(text)
