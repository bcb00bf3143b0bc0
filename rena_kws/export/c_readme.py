"""What the README of a bundle of C says, in parts that every layout shares."""

from __future__ import annotations

import numpy as np

from rena_kws.artifacts import Measurement
from rena_kws.export.c_check import TEST_VECTORS
from rena_kws.export.c_library import DEVICE, CLibrary
from rena_kws.export.c_stream import stream_readme


def readme(library: CLibrary, start: str, host_test: str, example: str) -> str:
    """`start`: how to make the layout part of a project. `host_test`: the command. `example`: where one listens."""
    stream = stream_readme(library.name, library.stream, example, DEVICE, library.stream_cost)
    return _network(library, start, host_test) + _front_end(library) + stream


def _network(library: CLibrary, start: str, host_test: str) -> str:
    name, upper = library.name, library.name.upper()
    figures = library.manifest.figures
    rows = [_figures_row(library.measurement)]
    searched = figures.get("measurement")
    if searched and searched["device"] != library.measurement.device:
        rows.append(_figures_row(Measurement(**{**searched, "outputs": np.empty(0), "layers": ()})))
    validation = "validation split, before it was trained on that too" if figures.get("refit") else "validation split"
    accuracy = "".join(
        f"\nint8 accuracy on the {split}, measured: {100 * figures[key]:.1f} %\n"
        for split, key in ((validation, "accuracy"), ("test split", "test_accuracy"))
        if figures.get(key) is not None
    )
    labels = ", ".join(library.manifest.labels) or "unknown (the model came without a manifest)"
    return f"""# {name}

An int8 network as C99: no allocation, no global state, nothing but `stdint.h` and `string.h`. Licence MIT-0: your
firmware owes nothing.
{start}
    {upper}_ARENA_BYTES bytes of your memory, aligned to {upper}_ARENA_ALIGNMENT
    write {name}_input(arena) · call {name}_run(arena) · read {name}_output(arena)

| device | how | latency ms | cycles | RAM bytes | flash bytes |
|---|---|---|---|---|---|
{chr(10).join(rows)}

RAM counts the arena and the stack, flash counts code and weights; start-up code and vectors are left out. The sources
were generated, and compiled by clang, for `--optimize {library.goal}`; another compiler gives other figures.
{accuracy}
Labels: {labels}

{host_test} runs {TEST_VECTORS} test vectors on
your computer and compares every value with what the emulated chip computed.
"""


def _front_end(library: CLibrary) -> str:
    name, upper = library.name, library.name.upper()
    if not library.front_end.sources:
        return f"\nThere is no front end in C here: {library.front_end.reason}.\n"
    return f"""
## From sound to words

`{name}_features(samples, {name}_input(arena), scratch)` turns {upper}_CLIP_SAMPLES samples at
{upper}_SAMPLE_RATE_HZ into the network's input, as training did; `scratch` is {upper}_FEATURES_SCRATCH_WORDS words of
type `{name}_features_word`, yours. `{name}_frame_bands` and `{name}_frame_features` do one window at a time, in two
steps. They compute in single precision, and in integers on an Arm core whose compiler is not told of an FPU;
`{upper}_FRONT_END_FIXED` 0 or 1, defined for all files, chooses. The figures above are the network's alone.
"""


def _figures_row(m: Measurement) -> str:
    cells = (m.device, m.how, f"{m.latency_ms:.3f}", m.cycles, m.ram_bytes, m.flash_bytes)
    return "| " + " | ".join("–" if cell is None else str(cell) for cell in cells) + " |"
