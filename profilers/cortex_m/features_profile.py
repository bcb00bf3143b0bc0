"""The front end's C on an emulated Cortex-M: what it makes of a clip there, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Port
from rena_kws.devices.description import Device
from rena_kws.errors import DoesNotFitError
from rena_kws.firmware.emit_features import features_sources, scratch_words
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize, Target, ZigToolchain
from rena_kws.frontend.settings import FrontEnd
from rena_kws.profilers.cortex_m.emulator import Emulator, check, stack_of
from rena_kws.profilers.cortex_m.image import read_image
from rena_kws.profilers.cortex_m.profiler import Chip, memory_cycles_of
from rena_kws.profilers.cortex_m.worker import EmulatorProcess


@dataclass(frozen=True)
class FeaturesCost:
    """Of one clip. RAM is the scratch memory and the stack, without the clip's samples and the network's input."""

    arithmetic: str
    cycles: int
    memory_cycles: int
    flash_bytes: int
    scratch_bytes: int
    stack_bytes: int
    features: NDArray[np.int8] = field(repr=False)

    @property
    def ram_bytes(self) -> int:
        return self.scratch_bytes + self.stack_bytes

    def as_part(self) -> Mapping[str, float]:
        """For the parts of a `Measurement`."""
        names = ("cycles", "memory_cycles", "ram_bytes", "scratch_bytes", "stack_bytes", "flash_bytes")
        return {name: getattr(self, name) for name in names}


def profile_features(
    front_end: FrontEnd,
    port: Port,
    device: Device,
    clip: NDArray[np.int16] | None = None,
    optimize: Optimize = DEFAULT_OPTIMIZE,
    process: EmulatorProcess | None = None,
) -> FeaturesCost:
    """`clip`, or noise where it is None, to the features that a network's input, `port`, takes: in single precision
    where the device has an FPU, else in integers.

    Raises `DoesNotFitError` where clip, scratch memory and stack are more than the device's RAM, and as profilers do.
    """
    chip = Chip.of(device)
    fpu = device.fpu != "none"
    if clip is None:
        clip = np.random.default_rng(0).normal(0, 4000, front_end.clip_samples).astype(np.int16)
    target = Target(chip.core, device.dsp, chip.flash_origin, chip.ram_origin, fpu)
    sources = features_sources(front_end, port, "kws")
    image = read_image(ZigToolchain().compile(sources, target, entry="kws_features", optimize=optimize))
    samples = chip.ram_origin
    features = samples + clip.nbytes
    scratch = features + (port.size_bytes + 7) // 8 * 8
    bottom, top = scratch + 4 * scratch_words(front_end), chip.ram_origin + chip.ram_bytes
    if bottom + 512 > top:
        raise DoesNotFitError(
            f"a clip's features do not fit {device.name}: they need {bottom - samples} bytes of RAM and a stack, "
            f"there are {chip.ram_bytes}"
        )
    with Emulator(device, bare=True, process=process) as emulator:
        emulator.clear_ram()
        emulator.load(image)
        emulator.write(samples, clip.astype("<i2").tobytes())
        run = emulator.call("kws_features", samples, features, scratch)
        check(run.stop, emulator, "the front end")
        found = np.frombuffer(emulator.read(features, port.size_bytes), np.int8).reshape(front_end.shape)
        return FeaturesCost(
            arithmetic="single precision" if fpu else "integers",
            cycles=run.cycles,
            memory_cycles=memory_cycles_of(emulator.counters(), device),
            flash_bytes=image.flash_bytes,
            scratch_bytes=bottom - scratch,
            stack_bytes=stack_of("the front end", emulator, bottom, top),
            features=found,
        )
