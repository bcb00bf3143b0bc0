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

FPU = {"cortex-m4": "vfp4d16sp", "cortex-m33": "fp_armv8d16sp", "cortex-m7": "fp_armv8d16sp"}


@dataclass(frozen=True)
class OnChip:
    """One call of the clip function."""

    features: NDArray[np.int8]
    cycles: int
    flash_bytes: int
    scratch_bytes: int
    stack_bytes: int


class HardFloat(ZigToolchain):
    """Floats in the registers of the FPU."""

    def command(self, target: Target, optimize: Optimize) -> list[str]:
        words = super().command(target, optimize)
        words[words.index("thumb-freestanding-eabi")] = "thumb-freestanding-eabihf"
        cpu = next(i for i, word in enumerate(words) if word.startswith("-mcpu="))
        words[cpu] += f"+{FPU[target.core]}"
        return words


def run(
    front_end: FrontEnd, port: Port, clip: NDArray[np.int16], core: str, *, fpu: bool, optimize: Optimize = "balanced"
) -> OnChip:
    device = replace(catalogue.get(core), fpu="single" if fpu else "none")
    flash, ram = device.flash_origin or 0, device.ram_origin or 0
    toolchain = HardFloat() if fpu else ZigToolchain()
    sources = features_sources(front_end, port, "kws")
    target = Target(core, device.dsp, flash, ram)
    image = read_image(toolchain.compile(sources, target, entry="kws_features", optimize=optimize))
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
