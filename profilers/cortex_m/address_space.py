"""The addresses of an emulated chip: its memories, and devices behind the rest. Only worker processes import this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import UcError

from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError
from rena_kws.profilers.cortex_m.peripherals import Registers, UnknownDevice

_PAGE = 4096
_RETURN_PAGES = (0x1FFFF000, 0x0FFFF000, 0x07FFF000, 0x1EFFF000)  # every core may execute there; one is free
_DEVICE_RANGES = ((0x40000000, 0x20000000), (0xA0000000, 0x40000000), (0xE0000000, 0x100000))
_PAINT = 0xA5


class AddressSpace:
    """Maps the device's memories into `uc`. `return_page` is a page beside them, where nothing happens."""

    def __init__(self, uc: Any, device: Device, *, run_ram: bool) -> None:
        self._uc, self._device = uc, device
        self._registers: list[tuple[int, int, Registers]] = []
        read, execute = unicorn.UC_PROT_READ, unicorn.UC_PROT_EXEC
        ram = read | unicorn.UC_PROT_WRITE | (execute if run_ram else 0)
        self._flash = (device.flash_origin or 0, device.flash_bytes or 0)
        self._ram = [(device.ram_origin or 0, device.ram_bytes or 0)]
        self._ram += [(region.origin, region.bytes) for region in device.regions.values() if region.kind == "ram"]
        rom = [(region.origin, region.bytes) for region in device.regions.values() if region.kind != "ram"]
        self._aliases = [r.origin - self._flash[0] for r in device.regions.values() if r.kind == "flash_alias"]
        self._memories = [self._flash, *self._ram, *rom]
        for place in self._memories:
            uc.mem_map(place[0], _whole_pages(place[1]), ram if place in self._ram else read | execute)
        free = (p for p in _RETURN_PAGES if not any(a - _PAGE < p < a + size for a, size in self._memories))
        self.return_page = next(free)
        uc.mem_map(self.return_page, _PAGE, read | execute)
        uc.mem_write(self.return_page, b"\xfe\xe7" * 2)

    def clear_ram(self) -> None:
        """Fill RAM with what the stack's high-water mark is told from."""
        for origin, size in self._ram:
            self._uc.mem_write(origin, bytes([_PAINT]) * size)

    def write(self, address: int, data: bytes) -> None:
        """Into RAM or flash, whatever the rights. Raises `CandidateError` where there is no memory."""
        try:
            self._uc.mem_write(address, data)
            if self._flash[0] <= address < sum(self._flash):
                for distance in self._aliases:
                    self._uc.mem_write(address + distance, data)
        except UcError:
            raise self.outside("write", address, len(data)) from None

    def read(self, address: int, size: int) -> bytes:
        try:
            return bytes(self._uc.mem_read(address, size))
        except UcError:
            raise self.outside("read", address, size) from None

    def halfword(self, address: int) -> bytes:
        """Two bytes of code; none where nothing is mapped."""
        try:
            return bytes(self._uc.mem_read(address, 2))
        except UcError:
            return b""

    def holds(self, address: int) -> bool:
        return any(origin <= address < origin + size for origin, size in self._memories)

    def outside(self, what: str, address: int, size: int) -> CandidateError:
        memories = ", ".join(f"{origin:#010x} to {origin + length - 1:#010x}" for origin, length in self._memories)
        return CandidateError(
            f"{what} of {size} bytes at {address:#010x}: the memories of {self._device.name} are {memories}"
        )

    def untouched(self, bottom: int, top: int) -> int:
        """How many bytes from `bottom` up still have the paint that `clear_ram` left; at most `top` - `bottom`."""
        touched = np.frombuffer(self.read(bottom, top - bottom), np.uint8) != _PAINT
        return int(touched.argmax()) if touched.any() else top - bottom

    def map_devices(self, after_access: Callable[[Registers, bool], None]) -> None:
        """Put an unknown device wherever no memory is. `after_access(registers, written)` follows each access."""
        unknown = UnknownDevice(lambda: int(self._uc.reg_read(arm.UC_ARM_REG_PC)))
        for first, size in _DEVICE_RANGES:
            self.attach(first, size, unknown)
            self._map_bus(first, size, after_access)

    def attach(self, first: int, size: int, registers: Registers) -> None:
        """Put a device at [first, first + size), before those that are there."""
        self._registers.append((first, first + size - 1, registers))

    def _map_bus(self, base: int, size: int, after_access: Callable[[Registers, bool], None]) -> None:
        def read(uc: object, offset: int, width: int, user: object) -> int:
            first, registers = self._at(base + offset)
            value = registers.read(base + offset - first, width)
            after_access(registers, False)
            return value

        def write(uc: object, offset: int, width: int, value: int, user: object) -> None:
            first, registers = self._at(base + offset)
            registers.write(base + offset - first, width, value)
            after_access(registers, True)

        self._uc.mmio_map(base, size, read, None, write, None)

    def _at(self, address: int) -> tuple[int, Registers]:
        return next((first, r) for first, last, r in reversed(self._registers) if first <= address <= last)


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
