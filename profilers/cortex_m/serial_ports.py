"""Registers of common serial ports: what is sent is kept, what is to be received comes from a buffer.

After their reference manuals (recalled).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from rena_kws.profilers.cortex_m.peripherals import Console, Registers


@dataclass
class SerialPort(Registers):
    """A UART that is always ready to send. `patience`: reads of its state, with nothing left to receive, until the
    firmware is taken to wait for input. `read_memory` and `write_memory` are for ports that fetch and store by
    themselves."""

    console: Console
    read_memory: Callable[[int, int], bytes]
    write_memory: Callable[[int, bytes], None]
    patience: int = 20_000
    idle_reads: int = 0
    receive_interrupt: ClassVar[tuple[int, int]] = (0, 0)  # register and bit that enable it
    words: dict[int, int] = field(default_factory=dict)

    @property
    def waits_for_input(self) -> bool:
        return self.idle_reads > self.patience

    @property
    def asks_for_interrupt(self) -> bool:
        """Whether a byte is there and the firmware wants to be interrupted for it."""
        place, bit = self.receive_interrupt
        return bool(self.console.to_receive) and bool(self.words.get(place, 0) >> bit & 1)

    def has_input(self) -> bool:
        """Whether a byte is there; asked for by reads of a status register."""
        waiting = bool(self.console.to_receive)
        self.idle_reads = 0 if waiting else self.idle_reads + 1
        return waiting

    def receive(self) -> int:
        return self.console.receive(1)[0] if self.console.to_receive else 0

    def send(self, data: bytes) -> None:
        self.idle_reads = 0
        self.console.send(data)

    def read(self, offset: int, size: int) -> int:
        return self.words.get(offset & ~3, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        self.words[offset & ~3] = value


class Stm32Usart1(SerialPort):
    """STM32 F1, F2, F4: SR at 0 (RXNE 5, TC 6, TXE 7), DR at 4."""

    receive_interrupt = (0x0C, 5)

    def read(self, offset: int, size: int) -> int:
        if offset == 0:
            return 0xC0 | self.has_input() << 5
        return self.receive() if offset == 4 else super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.send(bytes([value & 0xFF])) if offset == 4 else super().write(offset, size, value)


class Stm32Usart2(SerialPort):
    """STM32 L4, F7, H7, U5, G0: ISR at 0x1C (RXNE 5, TC 6, TXE 7, TEACK 21, REACK 22), RDR 0x24, TDR 0x28."""

    receive_interrupt = (0x00, 5)

    def read(self, offset: int, size: int) -> int:
        if offset == 0x1C:
            return 0x006000C0 | self.has_input() << 5
        return self.receive() if offset == 0x24 else super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.send(bytes([value & 0xFF])) if offset == 0x28 else super().write(offset, size, value)


class Pl011(SerialPort):
    """Arm PL011, as in the RP2040: DR at 0, FR at 0x18 (RXFE 4, TXFE 7)."""

    receive_interrupt = (0x38, 4)

    def read(self, offset: int, size: int) -> int:
        if offset == 0x18:
            return 0x80 | (not self.has_input()) << 4
        return self.receive() if offset == 0 else super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.send(bytes([value & 0xFF])) if offset == 0 else super().write(offset, size, value)


class Cmsdk(SerialPort):
    """Arm's CMSDK APB UART: DATA at 0, STATE at 4 (TX full 0, RX full 1)."""

    receive_interrupt = (0x08, 3)

    def read(self, offset: int, size: int) -> int:
        if offset == 4:
            return self.has_input() << 1
        return self.receive() if offset == 0 else super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.send(bytes([value & 0xFF])) if offset == 0 else super().write(offset, size, value)


class NrfUarte(SerialPort):
    """Nordic's UARTE, which moves whole buffers: tasks at 0 (STARTRX) and 8 (STARTTX), events ENDRX 0x110, ENDTX 0x120,
    RXD.PTR 0x534 and MAXCNT, AMOUNT behind it, TXD.PTR 0x544 likewise."""

    receive_interrupt = (0x300, 4)

    def read(self, offset: int, size: int) -> int:
        if offset == 0x110 and not self.words.get(0x110) and self.words.get(0) and self.has_input():
            taken = self.console.receive(self.words.get(0x538, 0))
            self.write_memory(self.words.get(0x534, 0), taken)
            self.words |= {0: 0, 0x110: 1, 0x53C: len(taken)}
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        super().write(offset, size, value)
        if offset == 8 and value & 1:
            length = self.words.get(0x548, 0) & 0xFFFF
            self.send(self.read_memory(self.words.get(0x544, 0), length))
            self.words |= {0x120: 1, 0x11C: 1, 0x54C: length}


SERIAL_PORTS: dict[str, type[SerialPort]] = {
    "stm32_usart_1": Stm32Usart1,
    "stm32_usart_2": Stm32Usart2,
    "nrf_uarte": NrfUarte,
    "pl011": Pl011,
    "cmsdk": Cmsdk,
}
"""By the name of `Device.uart`."""
SERIAL_PORT_BYTES: dict[str, int] = {"nrf_uarte": 0x1000}
"""Where it is not 0x400, which is as close together as STM32 ports lie."""
