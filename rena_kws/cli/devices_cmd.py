"""rena-kws devices: what models can be measured on, boards that are plugged in included."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rena_kws.devices.description import Device, MemoryPath


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="?", help="one device: its memories and memory path, each number's source")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.cli.output import print_json, table
    from rena_kws.devices import catalogue
    from rena_kws.profilers.serial_board.usb import boards_on_usb

    if arguments.device:
        devices = [catalogue.get(arguments.device)]
    else:
        devices = [*map(catalogue.get, catalogue.names()), *boards_on_usb()]
    if arguments.json:
        print_json(devices[0].as_json() if arguments.device else {d.name: d.as_json() for d in devices})
        return
    header = ("device", "core", "clock MHz", "flash kB", "RAM kB", "profiler", "what")
    print(
        table(
            header,
            [
                (
                    d.name,
                    d.core,
                    _scaled(d.clock_hz, 10**6),
                    _scaled(d.flash_bytes, 1024),
                    _scaled(d.ram_bytes, 1024),
                    d.profiler,
                    d.title,
                )
                for d in devices
            ],
        )
    )
    if arguments.device:
        for line in _details(devices[0]):
            print(line)


def _details(device: Device) -> Iterator[str]:
    """A board's facts, each with its sources below it."""
    if device.core is None or device.clock_hz is None:
        return
    extension = "with" if device.dsp else "no"
    yield from _fact(device, f"core {device.core}, {extension} DSP extension, FPU: {device.fpu}", "core", "dsp", "fpu")
    yield from _fact(device, f"clock {device.clock_hz / 1e6:g} MHz", "clock_hz")
    for name, kind, origin, size in _memories(device):
        keys = (f"{name}_origin", f"{name}_bytes", f"regions.{name}")
        last = origin + size - 1
        yield from _fact(device, f"{name}: {kind}, {size / 1024:g} kB, {origin:#010x} to {last:#010x}", *keys)
    for text, *names in _memory_path(device.memory):
        yield from _fact(device, text, *(f"memory.{name}" for name in names))
    if device.uart_origin is not None:
        interrupt = "" if device.uart_interrupt is None else f", interrupt {device.uart_interrupt}"
        text = f"serial port {device.uart} at {device.uart_origin:#010x}{interrupt}"
        yield from _fact(device, text, "uart", "uart_origin", "uart_interrupt")
    if device.active_current_ma is not None:
        text = f"active {device.active_current_ma:g} mA at {device.supply_v:g} V"
        yield from _fact(device, text, "active_current_ma", "supply_v")


def _fact(device: Device, text: str, *keys: str) -> Iterator[str]:
    yield f"  {text}"
    yield from (f"      {key}: {device.sources[key]}" for key in keys if key in device.sources)


def _memories(device: Device) -> list[tuple[str, str, int, int]]:
    """Name, kind, origin and bytes of every memory, by origin."""
    kinds = {"ram": "RAM", "rom": "read only", "flash_alias": "the flash again, here without wait states"}
    memories = [
        ("flash", "flash", device.flash_origin or 0, device.flash_bytes or 0),
        ("ram", "RAM", device.ram_origin or 0, device.ram_bytes or 0),
        *((name, kinds[r.kind], r.origin, r.bytes) for name, r in device.regions.items()),
    ]
    return sorted(memories, key=lambda memory: memory[2])


def _memory_path(path: MemoryPath) -> Iterator[tuple[str, ...]]:
    """Each part of the path that costs something: what it is, then the names of its numbers."""
    if not any(vars(path).values()):
        yield ("flash without wait states",)
        return
    if path.instruction_cache_bytes:
        what = "instructions and data" if path.unified_cache else "instructions"
        ahead = ", the next line fetched ahead" if path.instruction_prefetch else ""
        yield f"cache for {what}: {_cache(path, 'instruction')}{ahead}", *_names("instruction"), "unified_cache"
    if path.data_cache_bytes:
        yield f"cache for data in flash: {_cache(path, 'data')}", *_names("data")
    if path.fetch_stall_share:
        yield f"further stalls of {path.fetch_stall_share:.1%} of the core's cycles", "fetch_stall_share"
    yield f"the memory path may be off by {path.error_share:.0%} of the latency", "error_share"


def _cache(path: MemoryPath, side: str) -> str:
    size, line, ways, miss = (
        getattr(path, f"{side}_{part}") for part in ("cache_bytes", "line_bytes", "ways", "miss_cycles")
    )
    among = f"{ways} ways" if ways else "fully associative"
    return f"{size:,} bytes, lines of {line}, {among}, {miss} cycles a miss"


def _names(side: str) -> list[str]:
    from rena_kws.devices.description import MemoryPath

    return [item.name for item in fields(MemoryPath) if item.name.startswith(side)]


def _scaled(value: int | None, unit: int) -> int | None:
    return None if value is None else value // unit
