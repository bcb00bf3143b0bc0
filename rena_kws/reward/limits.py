"""A limit: how much of a resource a network may use, as the user writes it: `latency_ms=30`, `cpu:latency_ms=1`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rena_kws.errors import LimitError, UnknownNameError

STREAM_RESOURCES = ("stream_load_percent", "stream_ram_bytes", "stream_flash_bytes")
"""Of the whole program that listens; the others are the network's."""
LIMIT_NAMES = (
    *("latency_ms", "ram_bytes", "flash_bytes", "energy_uj", "params", "macs", "intensity_min"),
    *STREAM_RESOURCES,
)


@dataclass(frozen=True)
class Limit:
    """At most `value` of the resource `name`; at least, where the name ends in `_min`.

    `device` is the device the limit speaks of, None for the one that is searched on.
    """

    name: str
    value: float
    device: str | None = None

    @property
    def resource(self) -> str:
        """The key of the resource in a trial's resources: `intensity` for the limit `intensity_min`."""
        key = self.name.removesuffix("_min")
        return f"{self.device}:{key}" if self.device else key

    @property
    def at_least(self) -> bool:
        return self.name.endswith("_min")

    def violation(self, resources: Mapping[str, float]) -> float:
        """V = |U/T − 1| where use U lies on the wrong side of threshold T, else 0 (RENA, arXiv 1806.07912; recalled).

        Raises `LimitError` where the device cannot tell the resource.
        """
        use = resources.get(self.resource)
        if use is None:
            raise LimitError(
                f"limit {self}: the device does not tell {self.resource} (it tells {', '.join(resources)})"
            )
        broken = use < self.value if self.at_least else use > self.value
        return abs(use - self.value) / self.value if broken else 0.0  # never rounds to 0, as |U/T − 1| can

    def __str__(self) -> str:
        prefix = f"{self.device}:" if self.device else ""
        return f"{prefix}{self.name}={repr(float(self.value)).removesuffix('.0')}"  # exact: `parse_limit` reads it back


def parse_limit(text: str) -> Limit:
    """`[DEVICE:]NAME=VALUE` → Limit. The device is split off at the last colon before the `=`.

    Raises `LimitError` for a malformed text or value, `UnknownNameError` for an unknown name.
    """
    left, equals, right = text.partition("=")
    if not equals:
        raise LimitError(f"a limit reads [DEVICE:]NAME=VALUE, got {text!r}")
    device, _, name = left.rpartition(":")
    if name not in LIMIT_NAMES:
        raise UnknownNameError("limit", name, LIMIT_NAMES)
    try:
        value = float(right)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise LimitError(f"a limit is a positive number, got {text!r}")
    return Limit(name, value, device or None)


def over_limits(limits: Iterable[Limit], resources: Mapping[str, float]) -> list[Limit]:
    """The limits that `resources` break."""
    return [limit for limit in limits if limit.violation(resources) > 0]
