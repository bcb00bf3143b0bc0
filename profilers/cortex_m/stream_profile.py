"""A stream on an emulated Cortex-M: samples in, events out, and what that costs a hop.

    sound ─ one hop a call ─► NAME_stream_push ─► events; cycles of front end, network and the rest; RAM, flash, load

The image is the bundle's C. The front end runs in single precision where the device has an FPU, else in integers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Firmware
from rena_kws.decisions import DecisionSettings
from rena_kws.devices.description import Device
from rena_kws.errors import DoesNotFitError, ModelError
from rena_kws.firmware.emit import renamed
from rena_kws.firmware.emit_stream import StreamEvaluation, evaluation_of, stream_arena_bytes
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize, Target, Toolchain, ZigToolchain
from rena_kws.frontend.settings import FrontEnd
from rena_kws.profilers.base import energy_uj
from rena_kws.profilers.cortex_m.emulator import Emulator, check, stack_of
from rena_kws.profilers.cortex_m.image import Image, read_image
from rena_kws.profilers.cortex_m.profiler import Chip, memory_cycles_of
from rena_kws.profilers.cortex_m.records import Counters
from rena_kws.profilers.cortex_m.worker import EmulatorProcess

PARTS = ("stream", "features", "network")
"""Who owns a cycle: rings and decisions, the front end, the network."""

_PERIODS = 12
_LOG = struct.Struct("<I4xiiQ")
"""How many events there were, and the last one; a hop has one at most."""


@dataclass(frozen=True)
class StreamEvent:
    """A detection on the chip. `score` in steps of the C's full score; `position`: samples heard by then."""

    label: int
    score: int
    position: int


@dataclass(frozen=True)
class StreamCost:
    """What listening costs, emulated. Cycles are means over whole periods of `hops_a_result` hops, once a clip has been
    heard; `cycles_a_hop` are by part, the memory's apart from them. `longest_push_ms` is a hop with a result.

    `load`: the share of its time that the core spends, at the device's clock. `power_mw`, estimated: that share of the
    board's active power; what it draws asleep is not in it. `ram_bytes`: the stream, its arena, the stack and data;
    `flash_bytes` the whole image. `kept_bytes`, of the stream: rows of the network's images that survive from one
    result to the next; 0 where each result is a run of the whole network.
    """

    device: str
    arithmetic: str
    hop_ms: int
    hops_a_result: int
    cycles_a_hop: Mapping[str, float]
    memory_cycles_a_hop: float
    longest_push_ms: float
    load: float
    power_mw: float | None
    ram_bytes: int
    stream_bytes: int
    kept_bytes: int
    arena_bytes: int
    stack_bytes: int
    flash_bytes: int
    events: tuple[StreamEvent, ...] = ()
    how: str = "emulated"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_part(self) -> Mapping[str, float]:
        """For the parts of a `Measurement`."""
        names = ("load", "longest_push_ms", "hop_ms", "hops_a_result", "memory_cycles_a_hop")
        sizes = ("ram_bytes", "stream_bytes", "kept_bytes", "arena_bytes", "stack_bytes", "flash_bytes")
        by_part = {f"{part}_cycles_a_hop": cycles for part, cycles in self.cycles_a_hop.items()}
        power = {} if self.power_mw is None else {"power_mw": self.power_mw}
        return {**{name: getattr(self, name) for name in (*names, *sizes)}, **by_part, **power}

    def as_line(self) -> str:
        """The headline, for people."""
        return listening_line(self.as_part())


def listening_line(part: Mapping[str, float]) -> str:
    """What `StreamCost.as_part` says, for people."""
    cycles = {name: part[f"{name}_cycles_a_hop"] for name in PARTS}
    cycles["memory"] = part["memory_cycles_a_hop"]
    total = sum(cycles.values())
    shares = ", ".join(f"{name} {100 * cycles[name] / total:.0f} %" for name in cycles if cycles[name])
    power = f"; {part['power_mw']:.1f} mW and what it draws asleep (estimated)" if "power_mw" in part else ""
    how = " of new rows alone" if part.get("kept_bytes") else ""
    period_ms = part["hop_ms"] * part["hops_a_result"]
    return (
        f"listening, a result every {period_ms:.0f} ms{how}: {100 * part['load']:.1f} % of the "
        f"processor ({shares}), {part['longest_push_ms']:.1f} ms at a time, RAM {part['ram_bytes']:,.0f} and flash "
        f"{part['flash_bytes']:,.0f} bytes (emulated){power}"
    )


def profile_stream(
    sources: Mapping[str, str],
    firmware: Firmware,
    front_end: FrontEnd,
    decisions: DecisionSettings,
    device: Device,
    sound: NDArray[np.int16] | None = None,
    optimize: Optimize = DEFAULT_OPTIMIZE,
    toolchain: Toolchain | None = None,
    process: EmulatorProcess | None = None,
) -> StreamCost:
    """Run `sources`, those of network, front end and stream, on `device` over `sound`: where it is None, a clip and
    `_PERIODS` periods of noise, in which the loudest sample of a clip changes now and then, and with it all features.
    Samples that fill no period are left out.

    Raises `DoesNotFitError`, `ModelError`, `CandidateError`, `UnavailableError`, as profilers do.
    """
    chip = Chip.of(device)
    name = firmware.name
    listener = resources.files("rena_kws.profilers.cortex_m").joinpath("kws_listener.c").read_text("utf-8")
    fpu = device.fpu != "none"
    target = Target(chip.core, device.dsp, chip.flash_origin, chip.ram_origin, fpu)
    files = {**sources, "listener.c": renamed(listener, name)}
    compiled = (toolchain or ZigToolchain()).compile(files, target, entry=f"{name}_listener", optimize=optimize)
    run = _Listening(read_image(compiled), firmware, front_end, decisions, device, chip)
    if sound is None:
        noise = np.random.default_rng(0).normal(0, 3000, front_end.clip_samples + _PERIODS * run.period)
        sound = noise.astype(np.int16)
    with Emulator(device, bare=True, process=process) as emulator:
        return run(emulator, sound, "single precision" if fpu else "integers")


@dataclass(frozen=True)
class _Places:
    """Addresses: of arena, stream, the samples of a push and the log of events, and where the stack has to end."""

    arena: int
    stream: int
    samples: int
    log: int
    bottom: int


@dataclass
class _Listening:
    """One image on one chip."""

    image: Image
    firmware: Firmware
    front_end: FrontEnd
    decisions: DecisionSettings
    device: Device
    chip: Chip

    @property
    def period(self) -> int:
        """Samples between two results."""
        return self.front_end.hop_samples * self.decisions.hops_a_result

    def __call__(self, emulator: Emulator, sound: NDArray[np.int16], arithmetic: str) -> StreamCost:
        first, hop = self.front_end.clip_samples, self.front_end.hop_samples
        periods = (len(sound) - first) // self.period
        if periods < 1:
            raise ModelError(f"a stream is profiled over {first + self.period} samples or more, not {len(sound)}")
        self._load(emulator)
        places = self._places(emulator)
        emulator.write(places.log, bytes(_LOG.size))
        self._call(emulator, places.stream, places.arena, 0, places.log)
        events: list[StreamEvent] = []

        def push(begin: int, end: int) -> int:
            emulator.write(places.samples, sound[begin:end].astype("<i2").tobytes())
            cycles = self._call(emulator, places.stream, 0, places.samples, end - begin)
            count, *event = _LOG.unpack(emulator.read(places.log, _LOG.size))
            if count > len(events):
                events.append(StreamEvent(*event))
            return cycles

        for begin, end in pairwise([*range(0, first, hop), first]):
            push(begin, end)
        start = emulator.counters()  # what comes before the first result is no steady state
        ends = range(first, first + periods * self.period + 1, hop)
        longest = max(push(begin, end) for begin, end in pairwise(ends))
        stack_bytes = stack_of("the stream", emulator, places.bottom, self.chip.ram_origin + self.chip.ram_bytes)
        spent = (start, emulator.counters())
        return self._cost(arithmetic, spent, len(ends) - 1, longest, places, stack_bytes, tuple(events))

    def _cost(
        self,
        arithmetic: str,
        spent: tuple[Counters, Counters],
        hops: int,
        longest: int,
        places: _Places,
        stack_bytes: int,
        events: tuple[StreamEvent, ...],
    ) -> StreamCost:
        """Of `hops` hops, between two readings of the counters."""
        before, after = spent
        by_part = {
            part: (ended[0] - began[0]) / hops
            for part, began, ended in zip(PARTS, before.by_owner, after.by_owner, strict=True)
        }
        memory = (memory_cycles_of(after, self.device) - memory_cycles_of(before, self.device)) / hops
        load = (sum(by_part.values()) + memory) / (self.chip.clock_hz * self.front_end.hop_ms / 1e3)
        stream_bytes = places.samples - places.stream
        return StreamCost(
            device=self.device.name,
            arithmetic=arithmetic,
            hop_ms=self.front_end.hop_ms,
            hops_a_result=self.decisions.hops_a_result,
            cycles_a_hop=by_part,
            memory_cycles_a_hop=memory,
            longest_push_ms=1e3 * longest / self.chip.clock_hz,
            load=load,
            power_mw=energy_uj(self.device, load),  # microjoules of each millisecond
            ram_bytes=self.image.ram_bytes + self._arena_bytes + stream_bytes + stack_bytes,
            stream_bytes=stream_bytes,
            kept_bytes=self._kept_bytes,
            arena_bytes=self._arena_bytes,
            stack_bytes=stack_bytes,
            flash_bytes=self.image.flash_bytes - self._harness_bytes,
            events=events,
        )

    @property
    def _arena_bytes(self) -> int:
        return stream_arena_bytes(self.front_end, self.firmware, self.decisions)

    @property
    def _kept_bytes(self) -> int:
        run = self.firmware.incremental
        return run.rows_bytes if run and self._evaluation == "incremental" else 0

    @property
    def _evaluation(self) -> StreamEvaluation:
        return evaluation_of(self.front_end, self.firmware, self.decisions)[0]

    @property
    def _harness_bytes(self) -> int:
        """Of the image, what is there for the emulator's sake."""
        return sum(f.end - f.start for f in self.image.functions if f.name.startswith(f"{self.firmware.name}_listener"))

    def _load(self, emulator: Emulator) -> None:
        name = self.firmware.name
        emulator.clear_ram()
        emulator.load(self.image)
        owners = {
            "stream": ("stream_push", "decide"),
            "features": ("frame_bands", "frame_features"),
            "network": ("run_incremental" if self._evaluation == "incremental" else "run",),
        }
        places = [
            (PARTS.index(part), self.image.named(f"{name}_{function}"))
            for part, functions in owners.items()
            for function in functions
        ]
        emulator.own(places)

    def _places(self, emulator: Emulator) -> _Places:
        stream_bytes = emulator.call(f"{self.firmware.name}_listener", 0, 0, 0, 0).value
        arena = _aligned(max(self.image.ram_end, self.chip.ram_origin))
        stream = _aligned(arena + self._arena_bytes)
        samples = stream + stream_bytes
        log = _aligned(samples + 2 * self.front_end.hop_samples)
        bottom = log + _LOG.size
        free = self.chip.ram_origin + self.chip.ram_bytes - bottom
        if free < 512:
            raise DoesNotFitError(
                f"the stream does not fit {self.device.name}: it needs {bottom - self.chip.ram_origin} bytes of RAM "
                f"and a stack, there are {self.chip.ram_bytes}"
            )
        return _Places(arena, stream, samples, log, bottom)

    def _call(self, emulator: Emulator, *arguments: int) -> int:
        emulator.set_register("sp", self.chip.ram_origin + self.chip.ram_bytes)
        run = emulator.call(f"{self.firmware.name}_listener", *arguments)
        check(run.stop, emulator, "the stream")
        return run.cycles + memory_cycles_of(run, self.device)


def _aligned(address: int) -> int:
    return (address + 15) // 16 * 16
