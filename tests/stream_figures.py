"""What listening costs on emulated cores: rows of the README's tables.

python tests/stream_figures.py MODEL    MLPerf Tiny's keyword model, or another with that front end and those classes,
                                        or any model with its manifest beside it
python tests/stream_figures.py          a wide network and those that a search for streams begins with, untrained: each
                                        result a run of the whole network, and by new rows alone
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from rena_kws import model_file
from rena_kws.artifacts import ConvertedModel
from rena_kws.datasets.base import KEYWORDS, order_labels
from rena_kws.devices import catalogue
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.features import compute
from rena_kws.frontend.settings import UNSEEN_VOICES_IN_STREAMS, FrontEnd
from rena_kws.profilers.cortex_m.stream_profile import StreamCost, profile_stream
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.search_space import ladder, seed_architecture
from rena_kws.streaming.bundle import StreamBundle, stream_bundle

DEVICES = ("nucleo-l4r5zi", "cortex-m4", "nucleo-u575zi-q", "cortex-m33", "nucleo-h7a3zi-q", "cortex-m0plus")


def cost_of(bundle: StreamBundle, device: str) -> StreamCost:
    target = catalogue.get(device)
    return profile_stream(bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, target)


def of_a_model(path: Path) -> None:
    """On every device."""
    model = model_file.load(path)
    manifest = Manifest.beside(path) or Manifest.of(model, order_labels(KEYWORDS), FrontEnd().as_json(), {})
    bundle = stream_bundle(model, manifest)
    for name in DEVICES:
        device, cost = catalogue.get(name), cost_of(bundle, name)
        stream, features, network = (cost.cycles_a_hop[part] / 1e3 for part in ("stream", "features", "network"))
        row(
            name,
            f"{(device.clock_hz or 0) / 1e6:.0f}",
            cost.arithmetic,
            *(f"{kilo:.0f}" for kilo in (features, network, stream, cost.memory_cycles_a_hop / 1e3)),
            f"{100 * cost.load:.1f} %",
            f"{cost.longest_push_ms:.1f}",
            *(f"{size:,}" for size in (cost.ram_bytes, cost.flash_bytes)),
        )


def of_the_ladder(device: str = "cortex-m4") -> None:
    """Whole runs and new rows, and how many times less the latter cost: the network alone, and all of listening."""
    shape = UNSEEN_VOICES_IN_STREAMS.shape
    for architecture in (seed_architecture(12, shape, 64, 4, "valid"), *ladder(12, shape, "valid")):
        model, blocks = untrained(architecture), len(architecture.layers) - 1
        manifest = Manifest.of(model, order_labels(KEYWORDS), UNSEEN_VOICES_IN_STREAMS.as_json(), {})
        whole, rows = (cost_of(stream_bundle(model, manifest, whole=how), device) for how in (True, False))
        for cost in (whole, rows):
            row(
                f"{architecture.layers[0].channels} channels, {blocks} block{'s' * (blocks > 1)}",
                "new rows" if cost.kept_bytes else "whole",
                *(f"{cost.cycles_a_hop[part] / 1e3:.1f}" for part in ("features", "network", "stream")),
                f"{100 * cost.load:.2f} %",
                f"{whole.cycles_a_hop['network'] / cost.cycles_a_hop['network']:.1f}",
                f"{whole.load / cost.load:.1f}",
                f"{cost.longest_push_ms:.1f}",
                *(f"{size:,}" for size in (cost.ram_bytes, cost.kept_bytes, cost.flash_bytes)),
            )


def untrained(architecture: Architecture) -> ConvertedModel:
    """With random weights, the same each time, and the statistics of noise of all loudnesses."""
    import keras

    from rena_kws.convert.tflite import Int8TfliteConverter
    from rena_kws.model.keras_model import build, settle

    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (64, 16_000)) * 10 ** rng.uniform(-1, 0, (64, 1))
    x = compute(UNSEEN_VOICES_IN_STREAMS, noise)
    keras.utils.set_random_seed(0)
    built = build(architecture)
    settle(built, x)
    return Int8TfliteConverter().convert(built, x)


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        of_a_model(model_file.find(Path(sys.argv[1])))
    else:
        of_the_ladder()
