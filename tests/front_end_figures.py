"""What the front end in C costs on emulated cores, with an FPU and without: the rows of the README's table."""

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
        cells = (
            core,
            "single precision" if fpu else "integers",
            f"{found.cycles / 1e6:.2f}",
            *(f"{size:,}" for size in (found.flash_bytes, found.scratch_bytes, found.stack_bytes)),
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
