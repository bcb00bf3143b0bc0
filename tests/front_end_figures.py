"""What the front end in C costs on emulated cores, with an FPU and without: the README's figures."""

from __future__ import annotations

import numpy as np
from front_end_chip import FPU, run

from rena_kws.artifacts import Port
from rena_kws.frontend.settings import UNSEEN_VOICES


def main() -> None:
    front_end = UNSEEN_VOICES
    port = Port(0, (1, *front_end.shape), "int8", 0.5, 0)
    clip = np.random.default_rng(0).normal(0, 4000, front_end.clip_samples).astype(np.int16)
    for core, fpu in [
        *((core, True) for core in FPU),
        *((core, False) for core in (*FPU, "cortex-m3", "cortex-m0plus")),
    ]:
        found = run(front_end, port, clip, core, fpu=fpu)
        print(
            f"{core:14} {'FPU' if fpu else 'no FPU':7} {found.cycles / 1e6:6.2f} M cycles, "
            f"flash {found.flash_bytes:,} bytes, scratch {found.scratch_bytes:,} bytes, "
            f"stack {found.stack_bytes:,} bytes (emulated)"
        )


if __name__ == "__main__":
    main()
