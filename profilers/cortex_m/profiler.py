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
from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError, DoesNotFitError, ModelError, UnavailableError
from rena_kws.firmware.toolchain import Optimize, Target, Toolchain, ZigToolchain
from rena_kws.profilers.base import Profiler, batch_of
from rena_kws.profilers.cortex_m.cores import CORES
from rena_kws.profilers.cortex_m.cycle_model import BlockCost, block_cost
from rena_kws.profilers.cortex_m.image import Image, read_image
from rena_kws.profilers.cortex_m.instructions import decode
from rena_kws.profilers.cortex_m.job import BlockCount, Job, JobResult
from rena_kws.profilers.cortex_m.worker import EmulatorProcess


@dataclass(eq=False)
class CortexMProfiler(Profiler):
    """Profiles int8 .tflite models. The emulator's process starts with the first profile and is kept warm."""

    toolchain: Toolchain = field(default_factory=ZigToolchain)
    optimize: Optimize = "balanced"
    emulator: EmulatorProcess = field(default_factory=EmulatorProcess)
    halfword_budget: int = 4_000_000_000

    def unavailable(self) -> str | None:
        missing = [name for name in ("unicorn", "capstone", "ziglang") if importlib.util.find_spec(name) is None]
        if missing:
            return f"the emulated Cortex-M needs packages that are missing: pip install {' '.join(missing)}"
        return self.toolchain.unavailable()

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
        chip = _Chip.of(device)
        target = Target(chip.core, device.dsp, chip.flash_origin, chip.ram_origin)
        entry = f"{firmware.name}_run"
        image = read_image(self.toolchain.compile(firmware.sources, target, entry=entry, optimize=self.optimize))
        _check_fit(image, firmware, device, chip, stack_bytes=0)
        result = self.emulator.run(self._job(image, firmware, device, chip, batch))
        if result.fault:
            where = image.where(result.fault.pc)
            raise CandidateError(f"{firmware.name} failed on {device.name}: {result.fault.reason} (pc {where})")
        ram_bytes = _check_fit(image, firmware, device, chip, result.stack_bytes)
        by_owner = _cycles_by_owner(image, result.blocks, device, owners=1 + len(firmware.layers))
        return self._measurement(firmware, device, chip, image, result, by_owner, ram_bytes)

    def _job(self, image: Image, firmware: Firmware, device: Device, chip: _Chip, batch: NDArray[Any]) -> Job:
        run = image.function(f"{firmware.name}_run")
        if run is None:
            raise CandidateError(f"the image lacks its entry function {firmware.name}_run")
        owners = [(0, run.start, run.end)]
        for number, layer in enumerate(firmware.layers, start=1):
            function = image.function(layer.symbol)
            if function is not None:
                owners.append((number, function.start, function.start + 2))
        path = device.memory
        return Job(
            core=chip.core,
            flash_origin=chip.flash_origin,
            flash_bytes=chip.flash_bytes,
            ram_origin=chip.ram_origin,
            ram_bytes=chip.ram_bytes,
            flash=image.flash,
            ram=image.ram,
            entry=run.start,
            code_bytes=max(part.address + len(part.data) for part in image.flash) - chip.flash_origin,
            arena=_arena(image, chip),
            arena_bytes=firmware.arena_bytes,
            input_offsets=tuple(port.offset for port in firmware.inputs),
            output_offsets=tuple(port.offset for port in firmware.outputs),
            output_sizes=tuple(port.size_bytes for port in firmware.outputs),
            inputs=tuple((sample.tobytes(),) for sample in batch),
            owners=tuple(owners),
            cache_lines=path.data_cache_bytes // path.data_cache_line_bytes if path.data_cache_bytes else 0,
            cache_line_bytes=path.data_cache_line_bytes,
            halfword_budget=self.halfword_budget,
        )

    def _measurement(
        self,
        firmware: Firmware,
        device: Device,
        chip: _Chip,
        image: Image,
        result: JobResult,
        by_owner: Sequence[int],
        ram_bytes: int,
    ) -> Measurement:
        cycles = sum(by_owner)
        path = device.memory
        memory_cycles = round(path.fetch_stall_share * cycles) + path.data_miss_cycles * result.flash_misses
        latency_ms = (cycles + memory_cycles) / chip.clock_hz * 1e3
        layers = tuple(
            LayerCost(layer.name, layer.op, layer.macs, cycles=count if image.function(layer.symbol) else None)
            for layer, count in zip(firmware.layers, by_owner[1:], strict=True)
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
            energy_uj=_energy_uj(device, latency_ms),
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
            environment=self._environment(firmware, device, result),
        )

    def _environment(self, firmware: Firmware, device: Device, result: JobResult) -> dict[str, str]:
        notes = {
            "toolchain": self.toolchain.identity,
            "optimize": self.optimize,
            "emulator": f"unicorn {version('unicorn')}",
            "cycle_model": f"instruction classes of the {device.core}, see profilers/cortex_m/cores.py",
            "memory_path": "zero wait states",
            "arena_bytes": str(firmware.arena_bytes),
            "stack_bytes": str(result.stack_bytes),
        }
        path = device.memory
        if path.data_cache_bytes or path.fetch_stall_share:
            notes["memory_path"] = (
                f"fetch stalls {path.fetch_stall_share:g} of the core's cycles, "
                f"{result.flash_misses} data cache misses of {path.data_miss_cycles} cycles"
            )
        if device.active_current_ma is not None:
            notes["energy"] = "an estimate: the datasheet's active current times the latency"
        return notes


@dataclass(frozen=True)
class _Chip:
    """The fields of a Cortex-M device that are certain to be there."""

    core: str
    clock_hz: int
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int

    @classmethod
    def of(cls, device: Device) -> _Chip:
        values = {name: getattr(device, name) for name in cls.__dataclass_fields__}
        if device.kind != "cortex_m" or None in values.values():
            raise ModelError(f"device {device.name} is no Cortex-M: its kind is {device.kind}")
        return cls(**values)


def _arena(image: Image, chip: _Chip) -> int:
    """The arena's address: the first 16-byte boundary after the image's data."""
    return (max(image.ram_end, chip.ram_origin) + 15) // 16 * 16


def _check_fit(image: Image, firmware: Firmware, device: Device, chip: _Chip, stack_bytes: int) -> int:
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


def _cycles_by_owner(image: Image, blocks: Sequence[BlockCount], device: Device, *, owners: int) -> list[int]:
    """Cycles of the entry function itself (0) and of each layer, from how often each block ran and how it left."""
    core = CORES[device.core or ""]
    costs: dict[tuple[int, int], BlockCost] = {}
    passes: dict[tuple[int, int, int], list[int]] = {}
    for block in blocks:
        key = (block.address, block.size)
        if key not in costs:
            code = decode(image.code(*key), block.address)
            costs[key] = block_cost(code, core, dsp=device.dsp, fpu=device.fpu != "none")
        passes.setdefault((*key, block.owner), [0, 0])[block.taken] += block.count
    cycles = [0] * owners
    for (address, size, owner), (through, taken) in passes.items():
        cost = costs[address, size]
        rarer = min(through, taken) * core.mispredict_cycles
        cycles[owner] += through * cost.through + taken * cost.taken + rarer
    return cycles


def _outputs(port: Port, outputs: Sequence[bytes]) -> NDArray[Any]:
    values = np.frombuffer(b"".join(outputs), np.dtype(port.dtype))
    return values.reshape(len(outputs), *port.shape[1:])


def _energy_uj(device: Device, latency_ms: float) -> float | None:
    if device.active_current_ma is None or device.supply_v is None:
        return None
    return device.active_current_ma * device.supply_v * latency_ms
