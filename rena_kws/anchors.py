"""What other engines need for the networks of MLPerf Tiny: published figures, to stand beside ours.

TFLM is TensorFlow Lite Micro. Two kinds of figures. "emulated": the engine's published firmware image, counted by the
same model of the core as ours (profilers/cortex_m/cores.py), so that cycles compare like with like. "measured":
milliseconds on a board times its clock, from the results of MLPerf Tiny (github.com/mlcommons/tiny_results_v1.*); wait
states and caches are in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Anchor:
    """One engine on one core. `ram_bytes` and `flash_bytes` as far as they are known; flash is the whole image."""

    engine: str
    core: str
    cycles: int
    how: Literal["emulated", "measured"]
    ram_bytes: int | None = None
    flash_bytes: int | None = None


@dataclass(frozen=True)
class Benchmark:
    """A network of MLPerf Tiny, known by its multiply-accumulates."""

    title: str
    macs: int
    anchors: tuple[Anchor, ...]


def _row(
    engine: str,
    core: str,
    how: Literal["emulated", "measured"],
    millions: tuple[float, float, float],
    memory: tuple[int | None, int | None] = (None, None),
) -> tuple[Anchor, ...]:
    """The anchors of one engine, a network each. `memory`: RAM and flash in bytes, known for keyword spotting only."""
    memories = (memory, (None, None), (None, None))
    return tuple(
        Anchor(engine, core, round(m * 1e6), how, ram, flash)
        for m, (ram, flash) in zip(millions, memories, strict=True)
    )


_ROWS = (
    _row("X-CUBE-AI 10.2", "cortex-m4", "emulated", (5.09, 19.7, 0.490), (None, 87_800)),
    _row("HALE 1.0.175", "cortex-m4", "emulated", (6.64, 20.0, 0.512), (None, 70_400)),
    _row("TFLM, CMSIS-NN", "cortex-m4", "emulated", (9.27, 36.8, 0.744), (29_400, 107_600)),
    _row("microTVM, CMSIS-NN", "cortex-m4", "emulated", (9.97, 40.4, 0.807), (18_400, 54_900)),
    _row("TFLM, reference kernels", "cortex-m4", "emulated", (60.7, 156.0, 2.79), (29_400, 95_600)),
    _row("X-CUBE-AI 9.0, L4R5ZI", "cortex-m4", "measured", (5.18, 19.8, 0.63)),
    _row("Plumerai 2023, L4R5ZI", "cortex-m4", "measured", (5.73, 20.1, 0.49)),
    _row("HALE 1.0.175, G0B1RE", "cortex-m0plus", "measured", (30.4, 97.4, 2.62)),
    _row("X-CUBE-AI 9.0, U575", "cortex-m33", "measured", (4.65, 17.8, 0.55)),
    _row("TFLM, CMSIS-NN, RA6M4", "cortex-m33", "measured", (10.1, 49.2, 0.92)),
    _row("X-CUBE-AI 9.0, H7A3", "cortex-m7", "measured", (3.17, 11.4, 0.34)),
)
_NETWORKS = (
    ("MLPerf Tiny keyword spotting (DS-CNN)", 2_656_768),
    ("MLPerf Tiny image classification (ResNet-8)", 12_501_632),
    ("MLPerf Tiny anomaly detection (autoencoder)", 264_192),
)

BENCHMARKS = {macs: Benchmark(title, macs, tuple(row[i] for row in _ROWS)) for i, (title, macs) in enumerate(_NETWORKS)}
"""Multiply-accumulates → benchmark."""
