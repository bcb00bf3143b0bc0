"""rena-kws devices: what models can be measured on, boards that are plugged in included."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rena_kws.devices.description import Device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="?", help="one device, with the source of each number")
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
    if arguments.device and devices[0].sources:
        rows = [(name, _value(devices[0], name), source) for name, source in devices[0].sources.items()]
        print("\n" + table(("number", "value", "source"), rows))


def _value(device: Device, name: str) -> str:
    """A number of the description by its dotted name; places and sizes as people write them."""
    head, _, rest = name.partition(".")
    if head == "regions":
        region = device.regions[rest]
        return f"{region.kind}, {region.origin:#010x}, {region.bytes // 1024:,} kB"
    value = getattr(device.memory, rest) if rest else getattr(device, name)
    if head.endswith("origin"):
        return f"{value:#010x}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _scaled(value: int | None, unit: int) -> int | None:
    return None if value is None else value // unit
