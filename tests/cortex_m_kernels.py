"""Small handwritten firmwares, so that tests of the emulated Cortex-M need no model and no code generator."""

from __future__ import annotations

from rena_kws.artifacts import Firmware, FirmwareLayer, Measurement, Port
from rena_kws.devices import catalogue
from rena_kws.profilers.base import profiler_for
from rena_kws.profilers.cortex_m.profiler import CortexMProfiler

ARENA_BYTES = 64


def firmware(sources: dict[str, str], layers: tuple[str, ...] = ()) -> Firmware:
    """A firmware of one input and one output of four bytes each, both at the arena's start."""
    port = Port(0, (1, 4), "int8", 1.0, 0)
    steps = tuple(FirmwareLayer(symbol, symbol, "TEST", 0) for symbol in layers)
    return Firmware("kws", sources, ARENA_BYTES, (port,), (port,), steps)


def assembly(body: str) -> Firmware:
    """A firmware whose run function is `body`; r0 is the arena."""
    head = ".syntax unified\n.thumb\n.text\n.global kws_run\n.type kws_run, %function\n.balign 4\nkws_run:\n"
    return firmware({"kernel.s": head + body + ("" if ".size kws_run" in body else "\n.size kws_run, . - kws_run\n")})


def run(body: str, device: str = "cortex-m4") -> Measurement:
    """Profile `body` on a device that ships."""
    profiler = profiler_for(catalogue.get(device))
    assert isinstance(profiler, CortexMProfiler)
    return profiler.profile_firmware(assembly(body), catalogue.get(device))
