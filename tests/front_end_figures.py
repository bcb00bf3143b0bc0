"""What the front end in C costs on emulated cores, with an FPU and without: the README's figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rena_kws.artifacts import Port
from rena_kws.devices import catalogue
from rena_kws.firmware.emit_features import features_sources, scratch_floats
from rena_kws.firmware.toolchain import Optimize, Target, ZigToolchain
from rena_kws.frontend.settings import UNSEEN_VOICES
from rena_kws.profilers.cortex_m.emulator import Emulator, check
from rena_kws.profilers.cortex_m.image import read_image

_FPU = {"cortex-m4": "vfp4d16sp", "cortex-m33": "fp_armv8d16sp", "cortex-m7": "fp_armv8d16sp"}


class HardFloat(ZigToolchain):
    """Floats in the registers of the FPU."""

    def command(self, target: Target, optimize: Optimize) -> list[str]:
        words = super().command(target, optimize)
        words[words.index("thumb-freestanding-eabi")] = "thumb-freestanding-eabihf"
        cpu = next(i for i, word in enumerate(words) if word.startswith("-mcpu="))
        words[cpu] += f"+{_FPU[target.core]}"
        return words


def main() -> None:
    front_end = UNSEEN_VOICES
    sources = features_sources(front_end, Port(0, (1, *front_end.shape), "int8", 0.5, 0), "kws")
    clip = np.random.default_rng(0).normal(0, 4000, front_end.clip_samples).astype(np.int16)
    for core, fpu in ((core, fpu) for fpu in (True, False) for core in (*_FPU, "cortex-m0plus")):
        if fpu and core not in _FPU:
            continue
        device = replace(catalogue.get(core), fpu="single" if fpu else "none")
        target = Target(core, device.dsp, device.flash_origin or 0, device.ram_origin or 0)
        toolchain = HardFloat() if fpu else ZigToolchain()
        image = read_image(toolchain.compile(sources, target, entry="kws_features", optimize="balanced"))
        samples = device.ram_origin or 0
        features = samples + clip.nbytes
        with Emulator(device, bare=True) as chip:
            chip.load(image)
            chip.write(samples, clip.tobytes())
            run = chip.call("kws_features", samples, features, features + 1024)
            check(run.stop, chip, "the front end")
        with_what = "FPU" if fpu else "no FPU"
        print(
            f"{core:14} {with_what:7} {run.cycles / 1e6:6.2f} M cycles, flash {image.flash_bytes:,} bytes, "
            f"scratch {4 * scratch_floats(front_end):,} bytes (emulated)"
        )


if __name__ == "__main__":
    main()
