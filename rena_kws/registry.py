"""Name → plug-in, through the entry points of installed packages.

A third party adds a dataset, profiler, controller or exporter by declaring an entry point in the group `rena_kws.KIND`;
nothing here has to change. The plug-in's module is imported only when it is asked for.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from rena_kws.errors import UnknownNameError


def names(kind: str) -> list[str]:
    """The names of all plug-ins of a kind ("datasets", "profilers", "controllers", "exporters"), sorted."""
    return sorted({point.name for point in entry_points(group=f"rena_kws.{kind}")})


def load(kind: str, name: str) -> Any:
    """The plug-in `name` of `kind`. Raises `UnknownNameError` with the nearest known name."""
    for point in entry_points(group=f"rena_kws.{kind}"):
        if point.name == name:
            return point.load()
    raise UnknownNameError(kind.rstrip("s"), name, names(kind))
