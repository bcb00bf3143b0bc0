"""The devices that ship: one TOML file each in `boards/`. Adding a device is adding a file.

A board on the desk has no file: `serial:PORT` (`rena_kws.devices.bench`) is its name.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import resources

from rena_kws.devices.bench import is_serial, read_bench
from rena_kws.devices.description import Device, parse
from rena_kws.errors import UnknownNameError

ALIASES = {"cortex-m": "cortex-m4"}
"""Other names of a device."""


def names() -> list[str]:
    """The names of all devices, sorted, without aliases."""
    files = resources.files("rena_kws.devices.boards").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def get(name: str) -> Device:
    """The device `name`. Raises `UnknownNameError` with the nearest known name, `DeviceError` for a bad `serial:…`."""
    return _on_serial_port(name) if is_serial(name) else _shipped(name)


def _on_serial_port(name: str) -> Device:
    """A real board; where it says what it is, with that device's facts."""
    bench = read_bench(name)
    port = Device(name, f"board on {bench.port}", kind="serial", profiler="serial_board")
    if bench.board is None:
        return port
    board = get(bench.board)
    return replace(board, name=name, title=f"{board.title} on {bench.port}", kind=port.kind, profiler=port.profiler)


@cache
def _shipped(name: str) -> Device:
    known = names()
    file_name = ALIASES.get(name, name)
    if file_name not in known:
        raise UnknownNameError("device", name, [*known, *ALIASES, "serial:PORT"])
    text = resources.files("rena_kws.devices.boards").joinpath(f"{file_name}.toml").read_text(encoding="utf-8")
    return parse(file_name, text)
