"""The devices that ship: one TOML file each in `boards/`. Adding a device is adding a file."""

from __future__ import annotations

from functools import cache
from importlib import resources

from rena_kws.devices.description import Device, parse
from rena_kws.errors import UnknownNameError

ALIASES = {"cortex-m": "cortex-m4"}
"""Other names of a device."""


def names() -> list[str]:
    """The names of all devices, sorted, without aliases."""
    files = resources.files("rena_kws.devices.boards").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


@cache
def get(name: str) -> Device:
    """The device `name`. Raises `UnknownNameError` with the nearest known name."""
    known = names()
    file_name = ALIASES.get(name, name)
    if file_name not in known:
        raise UnknownNameError("device", name, [*known, *ALIASES])
    text = resources.files("rena_kws.devices.boards").joinpath(f"{file_name}.toml").read_text(encoding="utf-8")
    return parse(file_name, text)
