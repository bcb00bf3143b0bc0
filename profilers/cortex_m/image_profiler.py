"""Any Cortex-M image on an emulated device: what a function of it costs, or all of it from start to stop.

The image runs from its vector table as on the chip: start-up code, clock set-up, `main`. Calls of the region are timed
as they happen. Where nothing in the image would call it (a benchmark that waits for a host, a library), it can be
called directly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rena_kws.artifacts import LayerCost, Measurement
from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError, ModelError
from rena_kws.profilers.base import energy_uj
from rena_kws.profilers.cortex_m.emulator import Emulator, Place, Run
from rena_kws.profilers.cortex_m.image import Image, read_image
from rena_kws.profilers.cortex_m.profiler import environment
from rena_kws.profilers.cortex_m.records import Counters

_FUNCTIONS_SHOWN = 40
_PRINTED_SHOWN = 4000


@dataclass(frozen=True)
class ImageRun:
    """What to run of an image.

    `start`: where to begin (None: the vector table's reset handler); `stop`: where to end. `region`: the function whose
    calls are timed, until `calls` of them are done. `arguments`: where given, the region is called directly with them,
    once `stop` is reached (None: at once). `send`: what the firmware receives on its serial port. `base`: where a raw
    binary lies.
    """

    region: Place | None = None
    calls: int = 3
    arguments: tuple[int, ...] | None = None
    start: Place | None = None
    stop: Place | None = None
    send: bytes = b""
    base: int | None = None
    instructions: int = 2_000_000_000
    seconds: float = 120.0


def profile_image(path: Path, device: Device, what: ImageRun) -> Measurement:
    """Run an image. `outputs` is empty; `layers` are its functions, each with what it spent in itself.

    Raises `ModelError` for a file or a place that cannot be used, `CandidateError` where the image faults or ends
    without a call of the region. Firmware runs for ever; where no region and no stop is given, the budget is the end.
    """
    if device.kind != "cortex_m":
        raise ModelError(f"an image runs on a Cortex-M: device {device.name} is none")
    image = read_image(path, what.base)
    device = _adapted(device, image)
    with Emulator(device, instructions=what.instructions, seconds=what.seconds) as chip:
        chip.clear_ram()
        chip.load(image)
        chip.send(what.send)
        if what.region is not None:
            chip.time_calls(what.region, what.calls)
        run = _go(chip, what)
        if run is not None and run.stop.why == "fault":
            raise CandidateError(f"{image.name} failed on {device.name}: {chip.report(run.stop)}")
        counters = chip.counters()
        if what.region is not None and not counters.samples:
            assert run is not None
            raise CandidateError(
                f"{image.name} on {device.name} never came back from a call of {what.region!r}: {chip.report(run.stop)}"
            )
        return _measurement(chip, image, device, counters, run)


def _go(chip: Emulator, what: ImageRun) -> Run | None:
    """Run as asked → the run that ended it, None where all that was wanted are direct calls."""
    run = None
    if what.arguments is None or what.stop is not None:
        run = chip.run(what.start, what.stop)
    if what.arguments is None or (run is not None and run.stop.why != "stop"):
        return run
    if what.region is None:
        raise ModelError("a direct call needs the region that is to be called")
    for _ in range(what.calls):
        run = chip.call(what.region, *what.arguments)
        if run.stop.why not in ("stop", "region"):
            return run
    return None


def _measurement(chip: Emulator, image: Image, device: Device, counters: Counters, run: Run | None) -> Measurement:
    assert device.clock_hz
    share = device.memory.fetch_stall_share
    pairs = counters.samples or ((counters.cycles, counters.memory_cycles),)
    # The median call is one that happened, not a mean of two.
    ordered = sorted((cycles + memory + round(share * cycles), cycles) for cycles, memory in pairs)
    total, cycles = ordered[(len(ordered) - 1) // 2]
    milliseconds = [(cycles + memory + share * cycles) / device.clock_hz * 1e3 for cycles, memory in pairs]
    latency_ms = total / device.clock_hz * 1e3
    functions = list(chip.by_function().items())[:_FUNCTIONS_SHOWN]
    notes = environment(device, counters)
    notes["ended"] = "after the direct calls" if run is None else chip.report(run.stop)
    notes["instructions"] = str(counters.instructions)
    if printed := chip.sent:
        notes["printed"] = printed[-_PRINTED_SHOWN:].decode("utf-8", "replace")
    return Measurement(
        device=device.name,
        how="emulated",
        latency_ms=latency_ms,
        outputs=np.zeros(0, np.int8),
        samples_ms=tuple(milliseconds),
        cycles=cycles,
        memory_cycles=total - cycles,
        ram_bytes=_ram_bytes(chip, image, device),
        flash_bytes=image.flash_bytes,
        energy_uj=energy_uj(device, latency_ms),
        layers=tuple(LayerCost(name or "(no symbol)", "function", 0, spent) for name, spent in functions),
        environment=notes,
    )


def _ram_bytes(chip: Emulator, image: Image, device: Device) -> int | None:
    """Sections in RAM and the stack's high-water mark; None for images that do not tell their sections."""
    if not image.functions and not image.ram_bytes:
        return None
    start = device.ram_origin or 0
    top = image.vectors.stack if image.vectors else start + (device.ram_bytes or 0)
    bottom = image.ram_end if start <= image.ram_end <= top else start
    return image.ram_bytes + chip.stack_bytes(bottom, top)


def _adapted(device: Device, image: Image) -> Device:
    """A generic core has its flash and RAM where the image wants them; a board stays as it is."""
    if device.name != device.core:
        return device
    flash, ram = device.flash_origin or 0, device.ram_origin or 0
    first = min(segment.address for segment in image.load if not segment.zeroed)
    if not flash <= first < flash + (device.flash_bytes or 0):
        flash = first & ~0xFFFFF
    stack = image.vectors.stack if image.vectors else ram + 4
    if not ram < stack <= ram + (device.ram_bytes or 0):
        ram = (stack - 1) & ~0xFFFFF
    return replace(device, flash_origin=flash, ram_origin=ram)
