"""What firmware meets beside memory: the core's own registers, a serial port, and devices that nobody described.

    SystemSpace    timers that agree with the emulated cycles, the vector table's place, pending exceptions
    UnknownDevice  registers that remember; a loop that polls one sees it change, so clock set-up code gets on

Each is a pair `read(offset, size) -> value`, `write(offset, size, value)` over a range of addresses. Register addresses
and bits: Armv7-M Architecture Reference Manual, B3 (system control space) and C1 (DWT, ITM). Serial ports are in
serial_ports.py.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SYSTICK, PENDSV, SVCALL, HARD_FAULT = 15, 14, 11, 3


@dataclass
class Console:
    """What firmware sends, and what it has yet to receive. What is sent beyond `limit` bytes is dropped."""

    sent: bytearray = field(default_factory=bytearray)
    to_receive: deque[int] = field(default_factory=deque)
    limit: int = 1 << 20

    def send(self, data: bytes) -> None:
        self.sent += data[: self.limit - len(self.sent)]

    def receive(self, most: int) -> bytes:
        return bytes(self.to_receive.popleft() for _ in range(min(most, len(self.to_receive))))


class Registers(ABC):
    """A range of device addresses."""

    @abstractmethod
    def read(self, offset: int, size: int) -> int: ...

    @abstractmethod
    def write(self, offset: int, size: int, value: int) -> None: ...


_CPUID = {
    "cortex-m0plus": 0x410CC601,
    "cortex-m3": 0x412FC231,
    "cortex-m4": 0x410FC241,
    "cortex-m33": 0x411FD210,
    "cortex-m7": 0x411FC271,
}
_SYSTICK_CONTROL, _SYSTICK_RELOAD, _SYSTICK_VALUE = 0xE010, 0xE014, 0xE018
_COUNTFLAG = 1 << 16
_DEMCR, _DWT_CONTROL, _CYCLES = 0xEDFC, 0x1000, 0x1004
_CPUID_AT, _ICSR, _VTOR, _AIRCR, _CPACR = 0xED00, 0xED04, 0xED08, 0xED0C, 0xED88
_ITM_PORTS = range(0x0000, 0x0080)


@dataclass
class SystemSpace(Registers):
    """The private peripheral bus from 0xE0000000: SysTick, DWT, the system control block; the rest remembers.

    `cycles` tells the emulated time. A pending exception is one of `pending`; whoever takes it removes it there.
    """

    core: str
    cycles: Callable[[], int]
    console: Console
    vector_table: int = 0
    fpu_on: bool = False
    reset_requested: bool = False
    pending: set[int] = field(default_factory=set)
    enabled_interrupts: set[int] = field(default_factory=set)
    _words: dict[int, int] = field(default_factory=dict)
    _tick_from: int = 0
    _cycles_from: int = 0
    _ticks_taken: int = 0  # those that made the exception pending
    _ticks_read: int = 0  # those that a read of SYST_CSR has told of by COUNTFLAG

    def next_tick(self) -> int | None:
        """The cycle at which SysTick next asks for its exception, None where it never does."""
        if self._words.get(_SYSTICK_CONTROL, 0) & 3 != 3:
            return None
        return self._tick_from + (self._ticks_taken + 1) * self._period()

    def tick(self) -> None:
        """Make the exception pending if its time has come; ticks that were missed are one."""
        due = self.next_tick()
        if due is not None and self.cycles() >= due:
            self._ticks_taken = self._ticks()
            self.pending.add(SYSTICK)

    def read(self, offset: int, size: int) -> int:
        word = offset & ~3
        value = self._word(word)
        return value >> 8 * (offset & 3) & ((1 << 8 * size) - 1)

    def _word(self, word: int) -> int:
        if word == _CYCLES:
            return (self.cycles() - self._cycles_from) & 0xFFFFFFFF
        if word == _SYSTICK_VALUE:
            elapsed = (self.cycles() - self._tick_from) % self._period()
            return (self._period() - elapsed) % self._period() if self._words.get(_SYSTICK_CONTROL, 0) & 1 else 0
        if word == _SYSTICK_CONTROL:
            before, self._ticks_read = self._ticks_read, self._ticks()
            return self._words.get(word, 0) | 4 | (_COUNTFLAG if self._ticks_read > before else 0)
        if word == _CPUID_AT:
            return _CPUID[self.core]
        if word == _VTOR:
            return self.vector_table
        if word == _ICSR:
            bits = (1 << 28 if PENDSV in self.pending else 0) | (1 << 26 if SYSTICK in self.pending else 0)
            return bits
        if word in _ITM_PORTS:
            return 1  # ready
        return self._words.get(word, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        word, shift = offset & ~3, 8 * (offset & 3)
        if word in _ITM_PORTS:
            if word == 0:
                self.console.send(value.to_bytes(size, "little"))
            return
        mask = ((1 << 8 * size) - 1) << shift
        value = self._words.get(word, 0) & ~mask | value << shift & mask
        if 0xE100 <= word < 0xE180:  # ISER: writing ones enables
            self._set_interrupts(word - 0xE100, value, True)
        elif 0xE180 <= word < 0xE200:
            self._set_interrupts(word - 0xE180, value, False)
        elif word == _CYCLES:
            self._cycles_from = self.cycles() - value
        elif word == _SYSTICK_VALUE:
            self._restart_tick()
        elif word == _VTOR:
            self.vector_table = value & ~0x7F
        elif word == _ICSR:
            self._request(value)
        elif word == _AIRCR:
            self.reset_requested = value >> 16 == 0x05FA and bool(value & 4)
        else:
            self._words[word] = value & ~_COUNTFLAG if word == _SYSTICK_CONTROL else value
            if word == _CPACR:
                self.fpu_on = value >> 20 & 3 != 0
            if word in (_SYSTICK_CONTROL, _SYSTICK_RELOAD):
                self._restart_tick()

    def _set_interrupts(self, offset: int, bits: int, on: bool) -> None:
        named = {offset * 8 + bit for bit in range(32) if bits >> bit & 1}
        self.enabled_interrupts = self.enabled_interrupts | named if on else self.enabled_interrupts - named

    def _request(self, value: int) -> None:
        for bit, number, add in ((28, PENDSV, True), (27, PENDSV, False), (26, SYSTICK, True), (25, SYSTICK, False)):
            if value >> bit & 1:
                (self.pending.add if add else self.pending.discard)(number)

    def _restart_tick(self) -> None:
        self._tick_from, self._ticks_taken, self._ticks_read = self.cycles(), 0, 0

    def _ticks(self) -> int:
        """How often the timer has counted to 0 since it began anew."""
        return (self.cycles() - self._tick_from) // self._period() if self._words.get(_SYSTICK_CONTROL, 0) & 1 else 0

    def _period(self) -> int:
        return (self._words.get(_SYSTICK_RELOAD, 0) & 0xFFFFFF) + 1


class UnknownDevice(Registers):
    """Registers that remember what is written. A loop that reads one again and again waits for it to change: it does.

    One bit after the other turns over, then status bits one to three places above the bits that are set follow them (as
    clock control has it), then come all ones, zeros, alternating bits, and random ones. The answer that ends the
    waiting stays.
    """

    PATIENCE = 5
    """Reads of one register by one instruction, with no write in between, until it is waited for."""
    PLACES = 12
    """Instructions that are remembered: an unrolled loop reads at several, and a loop may watch several registers."""

    def __init__(self, pc: Callable[[], int]) -> None:
        """`pc()`: the instruction that reads."""
        self._pc = pc
        self._words: dict[int, int] = {}
        self._reads: dict[tuple[int, int], int] = {}  # by register and instruction, the latest at the end
        self._waits: dict[int, Iterator[int]] = {}  # register that is waited for → its answers
        self._random = random.Random(0)

    def read(self, offset: int, size: int) -> int:
        register = offset & ~3
        key = register, self._pc()
        reads = self._reads.pop(key, 0) + 1
        self._reads[key] = reads
        if len(self._reads) > self.PLACES:
            del self._reads[next(iter(self._reads))]
        if reads > self.PATIENCE:
            if register not in self._waits:
                self._waits[register] = self._answers(self._words.get(register, 0))
            self._words[register] = next(self._waits[register]) & 0xFFFFFFFF
        elif reads == 1:
            self._waits.pop(register, None)  # somebody else asks
        return self._words.get(register, 0) >> 8 * (offset & 3) & ((1 << 8 * size) - 1)

    def _answers(self, word: int) -> Iterator[int]:
        yield from (word ^ 1 << bit for bit in range(32))
        yield from (word | word << distance for distance in (1, 2, 3))
        yield from (0xFFFFFFFF, 0, 0xAAAAAAAA, 0x55555555)
        while True:
            yield self._random.getrandbits(32)

    def write(self, offset: int, size: int, value: int) -> None:
        self._reads.clear()
        self._waits.clear()
        shift = 8 * (offset & 3)
        mask = ((1 << 8 * size) - 1) << shift
        self._words[offset & ~3] = self._words.get(offset & ~3, 0) & ~mask | value << shift & mask
