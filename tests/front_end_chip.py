"""The front end's C on an emulated core, with an FPU and without: what it computes there and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Port
from rena_kws.devices import catalogue
from rena_kws.firmware.emit_features import features_sources, scratch_words
from rena_kws.firmware.toolchain import Optimize, Target, ZigToolchain
from rena_kws.frontend.settings import FrontEnd
from rena_kws.profilers.cortex_m.emulator import Emulator, check
from rena_kws.profilers.cortex_m.image import read_image

FPU = ("cortex-m4", "cortex-m33", "cortex-m7")


@dataclass(frozen=True)
class OnChip:
    """One call of the clip function."""

    features: NDArray[np.int8]
    cycles: int
    flash_bytes: int
    scratch_bytes: int
    stack_bytes: int


def run(
    front_end: FrontEnd, port: Port, clip: NDArray[np.int16], core: str, *, fpu: bool, optimize: Optimize = "balanced"
) -> OnChip:
    device = replace(catalogue.get(core), fpu="single" if fpu else "none")
    flash, ram = device.flash_origin or 0, device.ram_origin or 0
    sources = features_sources(front_end, port, "kws")
    target = Target(core, device.dsp, flash, ram, fpu)
    image = read_image(ZigToolchain().compile(sources, target, entry="kws_features", optimize=optimize))
    count, scratch_bytes = int(np.prod(front_end.shape)), 4 * scratch_words(front_end)
    features = ram + clip.nbytes
    scratch = features + (count + 7) // 8 * 8
    with Emulator(device, bare=True) as chip:
        chip.clear_ram()
        chip.load(image)
        chip.write(ram, clip.tobytes())
        ended = chip.call("kws_features", ram, features, scratch)
        check(ended.stop, chip, "the front end")
        stack_bytes = chip.stack_bytes(scratch + scratch_bytes, ram + (device.ram_bytes or 0))
        found = np.frombuffer(chip.read(features, count), np.int8).reshape(front_end.shape)
    return OnChip(found, ended.cycles, image.flash_bytes, scratch_bytes, stack_bytes)
