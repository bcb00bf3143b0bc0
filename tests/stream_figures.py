"""What listening costs on emulated cores: the rows of the README's table. The argument: a model with its manifest."""

from __future__ import annotations

import sys
from pathlib import Path

from rena_kws.api import profile_stream

DEVICES = ("nucleo-l4r5zi", "cortex-m4", "nucleo-u575zi-q", "cortex-m33", "nucleo-h7a3zi-q", "cortex-m0plus")


def main() -> None:
    for device in DEVICES:
        cost = profile_stream(Path(sys.argv[1]), device)
        stream, features, network = (cost.cycles_a_hop[part] / 1e3 for part in ("stream", "features", "network"))
        cells = (
            device,
            cost.arithmetic,
            *(f"{kilo:.1f}" for kilo in (features, network, stream, cost.memory_cycles_a_hop / 1e3)),
            f"{100 * cost.load:.1f} %",
            f"{cost.longest_push_ms:.1f}",
            *(f"{size:,}" for size in (cost.ram_bytes, cost.flash_bytes)),
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
