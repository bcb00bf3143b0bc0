"""A .tflite on an emulated Cortex-M: generate C, compile, run in unicorn, count cycles, add up memory.

    model ──generate──► Firmware ──compile──► Image ──emulate──► outputs, block counts ──cycle model──► Measurement

What is compiled is the C that is exported, byte for byte. The first input is counted; the others are only computed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Firmware, LayerCost, Measurement, Port
from rena_kws.devices.description import Device, MemoryPath
from rena_kws.errors import DoesNotFitError, ModelError, UnavailableError
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize, Target, Toolchain, ZigToolchain
from rena_kws.profilers.base import Profiler, batch_of, energy_uj
from rena_kws.profilers.cortex_m import result_cache
from rena_kws.profilers.cortex_m.cores import uncertainty
from rena_kws.profilers.cortex_m.emulator import Emulator, Run, check, stack_of
from rena_kws.profilers.cortex_m.image import Function, Image, read_image
from rena_kws.profilers.cortex_m.records import Counters
from rena_kws.profilers.cortex_m.worker import EmulatorProcess
from rena_kws.spec.architecture import KINDS


@dataclass(eq=False)
class CortexMProfiler(Profiler):
    """Profiles int8 .tflite models. The emulator's process starts with the first profile and is kept warm.

    An input may take `instructions`, and `seconds` of real time. With `cached`, figures are kept by content.
    """

    toolchain: Toolchain = field(default_factory=ZigToolchain)
    optimize: Optimize = DEFAULT_OPTIMIZE
    process: EmulatorProcess = field(default_factory=EmulatorProcess)
    instructions: int = 2_000_000_000
    seconds: float = 120.0
    cached: bool = True

    def unavailable(self) -> str | None:
        missing = [name for name in ("unicorn", "capstone", "ziglang") if importlib.util.find_spec(name) is None]
        if missing:
            return f"the emulated Cortex-M needs packages that are missing: pip install {' '.join(missing)}"
        return self.toolchain.unavailable()

    @property
    def kinds(self) -> tuple[str, ...]:
        return KINDS

    def optimized_for(self, goal: Optimize) -> CortexMProfiler:
        return replace(self, optimize=goal)

    def profile(self, model: ConvertedModel, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        from rena_kws.firmware.emit import generate

        if model.format != "tflite":
            raise ModelError(f"a Cortex-M runs int8 .tflite models: got a model in format {model.format}")
        return self.profile_firmware(generate(model, "kws", self.optimize), device, inputs)

    def profile_firmware(self, firmware: Firmware, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        """Profile generated C. The firmware has one input and one output whose first dimension is the batch of one."""
        reason = self.unavailable()
        if reason:
            raise UnavailableError(reason)
        if len(firmware.inputs) != 1 or len(firmware.outputs) != 1:
            ports = f"{len(firmware.inputs)} and {len(firmware.outputs)}"
            raise ModelError(f"a model with one input and one output is needed: it has {ports}")
        batch = batch_of(inputs, firmware.inputs[0].shape, firmware.inputs[0].dtype)
        chip = Chip.of(device)
        key = result_cache.key_of(firmware, device, batch, self.toolchain.identity, self.optimize)
        known = result_cache.load(key) if self.cached else None
        if known is not None:
            return known
        target = Target(chip.core, device.dsp, chip.flash_origin, chip.ram_origin)
        entry = f"{firmware.name}_run"
        image = read_image(self.toolchain.compile(firmware.sources, target, entry=entry, optimize=self.optimize))
        _check_fit(image, firmware, device, chip, stack_bytes=0)
        result = self._emulate(image, firmware, device, chip, batch)
        ram_bytes = _check_fit(image, firmware, device, chip, result.stack_bytes)
        measurement = self._measurement(firmware, device, chip, image, result, ram_bytes)
        if self.cached:
            result_cache.store(key, measurement)
        return measurement

    def _emulate(self, image: Image, firmware: Firmware, device: Device, chip: Chip, batch: NDArray[Any]) -> _Emulation:
        """Run every input from fresh RAM; the first is counted."""
        outputs: list[bytes] = []
        stack_bytes, counters = 0, None
        # Counting slows a board's loads down, so the further inputs run on a chip of their own.
        for inputs, count in ((batch[:1], True), (batch[1:], False)):
            if not len(inputs):
                continue
            with Emulator(
                device,
                count=count,
                bare=True,
                instructions=self.instructions,
                seconds=self.seconds,
                process=self.process,
            ) as emulator:
                emulator.load(image)
                if count:
                    emulator.own([(0, image.named(f"{firmware.name}_run")), *_layers(image, firmware)])
                for sample in inputs:
                    stack_bytes = max(stack_bytes, _call(emulator, image, firmware, chip, sample.tobytes()))
                    places = [(_arena(image, chip) + port.offset, port.size_bytes) for port in firmware.outputs]
                    outputs.append(b"".join(emulator.read(*place) for place in places))
                counters = counters or emulator.counters()
        assert counters is not None
        return _Emulation(tuple(outputs), stack_bytes, counters)

    def _measurement(
        self, firmware: Firmware, device: Device, chip: Chip, image: Image, result: _Emulation, ram_bytes: int
    ) -> Measurement:
        cycles, memory_cycles = result.counters.cycles, memory_cycles_of(result.counters, device)
        latency_ms = (cycles + memory_cycles) / chip.clock_hz * 1e3
        owned = dict(enumerate(own for own, _ in result.counters.by_owner))
        layers = tuple(
            LayerCost(
                layer.name, layer.op, layer.macs, cycles=owned.get(number, 0) if image.function(layer.symbol) else None
            )
            for number, layer in enumerate(firmware.layers, start=1)
        )
        return Measurement(
            device=device.name,
            how="emulated",
            latency_ms=latency_ms,
            outputs=_outputs(firmware.outputs[0], result.outputs),
            samples_ms=(latency_ms,),
            cycles=cycles,
            memory_cycles=memory_cycles,
            ram_bytes=ram_bytes,
            flash_bytes=image.flash_bytes,
            energy_uj=energy_uj(device, latency_ms),
            layers=layers,
            parts={
                "network": {
                    "cycles": cycles,
                    "ram_bytes": ram_bytes,
                    "arena_bytes": firmware.arena_bytes,
                    "stack_bytes": result.stack_bytes,
                    "flash_bytes": image.flash_bytes,
                }
            },
            environment={
                "toolchain": self.toolchain.identity,
                "optimize": self.optimize,
                **environment(device, result.counters),
                "arena_bytes": str(firmware.arena_bytes),
                "stack_bytes": str(result.stack_bytes),
            },
        )


def environment(device: Device, counters: Counters) -> dict[str, str]:
    """What a figure of this device rests on, for people."""
    path = device.memory
    memory = "zero wait states"
    if path != MemoryPath():
        memory = (
            f"fetch stalls {path.fetch_stall_share:g} of the core's cycles; misses: {counters.instruction_misses} "
            f"lines of {path.instruction_miss_cycles} cycles fetched, {counters.data_misses} of "
            f"{path.instruction_miss_cycles if path.unified_cache else path.data_miss_cycles} read"
        )
    notes = {
        "emulator": f"unicorn {version('unicorn')}",
        "cycle_model": f"instruction classes of the {device.core}, see profilers/cortex_m/cores.py",
        "memory_path": memory,
        "uncertainty": uncertainty(device),
    }
    if device.active_current_ma is not None:
        notes["energy"] = "an estimate: the board's active current (see its sources) times voltage and latency"
    return notes


def memory_cycles_of(spent: Counters | Run, device: Device) -> int:
    """The cycles that the core waits for memory, the share of its own that fetches stall included."""
    return round(device.memory.fetch_stall_share * spent.cycles) + spent.memory_cycles


@dataclass(frozen=True)
class _Emulation:
    outputs: tuple[bytes, ...]
    stack_bytes: int
    counters: Counters


def _layers(image: Image, firmware: Firmware) -> list[tuple[int, Function]]:
    """(number of the layer from 1, its function), for layers that the linker kept."""
    found = ((number, image.function(layer.symbol)) for number, layer in enumerate(firmware.layers, start=1))
    return [(number, function) for number, function in found if function]


def _call(emulator: Emulator, image: Image, firmware: Firmware, chip: Chip, data: bytes) -> int:
    """Run the network on one input, from fresh RAM → the stack it took."""
    arena, top = _arena(image, chip), chip.ram_origin + chip.ram_bytes
    emulator.clear_ram()
    for segment in image.load:
        if segment.address >= chip.ram_origin:
            emulator.write(segment.address, segment.data)
    emulator.write(arena + firmware.inputs[0].offset, data)
    emulator.set_register("sp", top)
    run = emulator.call(f"{firmware.name}_run", arena)
    check(run.stop, emulator, firmware.name)
    return stack_of(firmware.name, emulator, arena + firmware.arena_bytes, top)


@dataclass(frozen=True)
class Chip:
    """The fields of a Cortex-M device that are certain to be there."""

    core: str
    clock_hz: int
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int

    @classmethod
    def of(cls, device: Device) -> Chip:
        values = {name: getattr(device, name) for name in cls.__dataclass_fields__}
        if device.kind != "cortex_m" or None in values.values():
            raise ModelError(f"device {device.name} is no Cortex-M: its kind is {device.kind}")
        return cls(**values)


def _arena(image: Image, chip: Chip) -> int:
    """The arena's address: the first 16-byte boundary after the image's data."""
    return (max(image.ram_end, chip.ram_origin) + 15) // 16 * 16


def _check_fit(image: Image, firmware: Firmware, device: Device, chip: Chip, stack_bytes: int) -> int:
    """The RAM in use. Raises `DoesNotFitError` with the numbers where flash or RAM exceed the device."""
    if image.flash_bytes > chip.flash_bytes:
        raise DoesNotFitError(
            f"the image does not fit {device.name}: it needs {image.flash_bytes} bytes of flash, "
            f"there are {chip.flash_bytes}"
        )
    ram_bytes = _arena(image, chip) - chip.ram_origin + firmware.arena_bytes + stack_bytes
    if ram_bytes > chip.ram_bytes:
        raise DoesNotFitError(
            f"the image does not fit {device.name}: it needs {ram_bytes} bytes of RAM (data {image.ram_bytes}, arena "
            f"{firmware.arena_bytes}, stack {stack_bytes or 'not counted'}), there are {chip.ram_bytes}"
        )
    return ram_bytes


def _outputs(port: Port, outputs: Sequence[bytes]) -> NDArray[Any]:
    values = np.frombuffer(b"".join(outputs), np.dtype(port.dtype))
    return values.reshape(len(outputs), *port.shape[1:])
