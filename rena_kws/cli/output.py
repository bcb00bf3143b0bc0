"""How figures are shown: aligned tables for people, one JSON object for machines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rena_kws.artifacts import Measurement

_TOLD = ("ended", "printed", "adapter", "board", "windows", "outputs", "clock", "troubles")
"""The notes of an environment that people should see without asking."""


def add_optimize(parser: argparse.ArgumentParser) -> None:
    """--optimize, for commands that generate firmware."""
    parser.add_argument(
        "--optimize",
        choices=("speed", "balanced", "size"),
        help="what the firmware aims at: which weights are packed, and how it is compiled (default: balanced)",
    )


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need; numbers to the right."""
    cells = [[_text(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    right = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(header))]

    def line(values: Sequence[str]) -> str:
        padded = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)]
        return "  ".join(padded).rstrip()

    return "\n".join([line(header), *(line(row) for row in cells)])


def describe_measurement(measurement: Measurement, layers: bool) -> str:
    """A measurement for people; every figure says how it was obtained."""
    lines = [f"{measurement.device}: latency {measurement.latency_ms:.3f} ms ({measurement.how})"]
    if measurement.cycles is not None:
        memory = f" + {measurement.memory_cycles:,} for memory" if measurement.memory_cycles else ""
        lines.append(f"  cycles {measurement.cycles:,}{memory} ({measurement.how})")
    if band := measurement.environment.get("uncertainty"):
        lines.append(f"  may be off by {band} (estimated)")
    if measurement.ram_bytes is not None:
        network = measurement.parts.get("network", {})
        split = [f"{part} {network[f'{part}_bytes']:,.0f}" for part in ("arena", "stack") if f"{part}_bytes" in network]
        of_it = f", of it {' and '.join(split)}" if split else ""
        lines.append(f"  RAM {measurement.ram_bytes:,} bytes{of_it} ({measurement.how})")
    if measurement.flash_bytes is not None:
        how = "estimated" if measurement.how == "estimated" else "measured"  # what was linked, or the file, has a size
        lines.append(f"  flash {measurement.flash_bytes:,} bytes ({how})")
    if measurement.energy_uj is not None:
        lines.append(f"  energy {measurement.energy_uj:,.1f} µJ (estimated)")
    lines += [
        _indented(f"{note}: {measurement.environment[note].strip()}")
        for note in _TOLD
        if note in measurement.environment
    ]
    if layers and measurement.layers:
        lines.append(layer_table(measurement))
    return "\n".join(lines)


def layer_table(measurement: Measurement) -> str:
    """Layers of a network, or functions of an image."""
    if all(cost.op == "function" for cost in measurement.layers):
        total = sum(cost.cycles or 0 for cost in measurement.layers)
        functions = [(cost.cycles, f"{_share(cost.cycles, total):.1%}", cost.name) for cost in measurement.layers]
        return table(("cycles", "share", "function itself"), functions)
    rows = [
        (cost.op, cost.macs, cost.cycles, _per_mac(cost.cycles, cost.macs), cost.name) for cost in measurement.layers
    ]
    return table(("op", "MACs", "cycles", "cycles/MAC", "layer"), rows)


def _indented(text: str) -> str:
    """A note, its further lines below its first."""
    return "\n".join(("  " if i == 0 else "    ") + line.rstrip() for i, line in enumerate(text.splitlines()))


def _share(cycles: int | None, total: int) -> float:
    return (cycles or 0) / total if total else 0.0


def _per_mac(cycles: int | None, macs: int) -> float | None:
    return cycles / macs if cycles is not None and macs else None


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
