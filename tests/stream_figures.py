"""What listening costs on emulated cores: the rows of the README's table. The argument: MLPerf Tiny's keyword model, or
another with that front end and those classes, or any model with its manifest beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from rena_kws import model_file
from rena_kws.datasets.base import KEYWORDS, order_labels
from rena_kws.devices import catalogue
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.settings import FrontEnd
from rena_kws.profilers.cortex_m.stream_profile import profile_stream
from rena_kws.streaming.bundle import stream_bundle

DEVICES = ("nucleo-l4r5zi", "cortex-m4", "nucleo-u575zi-q", "cortex-m33", "nucleo-h7a3zi-q", "cortex-m0plus")


def main() -> None:
    path = model_file.find(Path(sys.argv[1]))
    model = model_file.load(path)
    manifest = Manifest.beside(path) or Manifest.of(model, order_labels(KEYWORDS), FrontEnd().as_json(), {})
    bundle = stream_bundle(model, manifest)
    for name in DEVICES:
        device = catalogue.get(name)
        cost = profile_stream(bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, device)
        stream, features, network = (cost.cycles_a_hop[part] / 1e3 for part in ("stream", "features", "network"))
        cells = (
            name,
            f"{(device.clock_hz or 0) / 1e6:.0f}",
            cost.arithmetic,
            *(f"{kilo:.0f}" for kilo in (features, network, stream, cost.memory_cycles_a_hop / 1e3)),
            f"{100 * cost.load:.1f} %",
            f"{cost.longest_push_ms:.1f}",
            *(f"{size:,}" for size in (cost.ram_bytes, cost.flash_bytes)),
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
