"""What stands behind a USB serial port, by vendor and product: the table `probes.toml`, every row with its source."""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@cache
def table() -> dict[str, dict[str, str]]:
    """ "VVVV:PPPP" in hex, or "VVVV:*", → title and source."""
    return tomllib.loads(resources.files("rena_kws.devices").joinpath("probes.toml").read_text(encoding="utf-8"))


def title(vid: int, pid: int) -> str | None:
    """The probe's or converter's name, or None for a device that is not known to lead to a board."""
    row = table().get(f"{vid:04x}:{pid:04x}") or table().get(f"{vid:04x}:*")
    return row["title"] if row else None
