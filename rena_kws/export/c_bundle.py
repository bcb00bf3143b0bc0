"""The C bundle: what a firmware engineer adds to a project.

The sources are those that the profiler compiles, byte for byte. The test vectors are what the emulated chip computed
from them, so that `make test` shows on the host, in one command, that the code does there what it did on the chip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Firmware, Measurement
from rena_kws.devices import catalogue
from rena_kws.errors import CandidateError
from rena_kws.export.base import FirmwareOptions, require_format, write_bundle
from rena_kws.export.c_front_end import FrontEndFiles, check_functions, front_end_files
from rena_kws.export.c_stream import StreamFiles, stream_check, stream_files, stream_readme
from rena_kws.export.manifest import FILE_NAME, Manifest
from rena_kws.firmware.emit import generate
from rena_kws.firmware.emit_harness import harness_sources
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize
from rena_kws.profilers.base import profiler_for
from rena_kws.profilers.cortex_m.stream_profile import StreamCost, profile_stream

TEST_VECTORS = 8
_DEVICE = "cortex-m4"
_WARNINGS = "-std=c99 -Wall -Wextra -Wpedantic -Wconversion"


def export_c(model: ConvertedModel, manifest: Manifest, folder: Path, name: str, options: FirmwareOptions) -> None:
    """Write the bundle; with a harness what a board needs to be profiled over a serial line lies in it too.

    Raises `ModelError` for what the generator does not support.
    """
    goal = options.optimize or DEFAULT_OPTIMIZE
    require_format(model, "tflite")
    firmware = generate(model, name, goal)
    front_end = front_end_files(manifest, firmware)
    stream = stream_files(manifest, firmware, front_end)
    board = harness_sources(firmware, model) if options.harness else {}
    library = {**firmware.sources, **front_end.sources, **stream.sources}
    c_files = sorted(file for file in library if file.endswith(".c"))
    inputs = _test_inputs(firmware)
    device = catalogue.get(_DEVICE)
    measurement = profiler_for(device).optimized_for(goal).profile(model, device, inputs)
    files: dict[str, str | bytes] = {**library, **stream.example, **board}
    files |= {
        f"{name}_labels.h": _labels(name, manifest),
        "test_vectors.h": _vectors(inputs, measurement.outputs) + front_end.vectors,
        "test.c": _test_program(name, front_end, stream),
        "Makefile": _makefile(name, c_files) + (_makefile_board(firmware) if options.harness else ""),
        "CMakeLists.txt": _cmake(name, c_files),
        "README.md": _readme(firmware, manifest, measurement, goal)
        + _readme_front_end(name, front_end)
        + stream_readme(name, stream, _DEVICE, _stream_cost(library, firmware, front_end, stream, goal))
        + (_readme_board(firmware) if options.harness else ""),
        FILE_NAME: manifest.as_text(),
    }
    write_bundle(folder, files)


def _stream_cost(
    library: Mapping[str, str], firmware: Firmware, front_end: FrontEndFiles, stream: StreamFiles, goal: Optimize
) -> StreamCost | None:
    if not stream.sources or front_end.front_end is None:
        return None
    device = catalogue.get(_DEVICE)
    try:
        return profile_stream(library, firmware, front_end.front_end, stream.decisions, device, optimize=goal)
    except CandidateError:
        return None


def _test_inputs(firmware: Firmware) -> NDArray[np.int8]:
    """Uniform noise reaches saturation in every layer more surely than clips do."""
    rng = np.random.default_rng(0)
    return rng.integers(-128, 128, (TEST_VECTORS, *firmware.inputs[0].shape[1:]), dtype=np.int8)


def _labels(name: str, manifest: Manifest) -> str:
    upper = name.upper()
    quoted = ", ".join('"' + label.replace("\\", "\\\\").replace('"', '\\"') + '"' for label in manifest.labels)
    lines = ["/* SPDX-License-Identifier: MIT-0", " *", " * The words behind the outputs, in their order.", " */"]
    lines += [f"#ifndef {upper}_LABELS_H", f"#define {upper}_LABELS_H", ""]
    if manifest.labels:
        lines += [f"#define {upper}_LABELS {{{quoted}}}", f"#define {upper}_LABEL_COUNT {len(manifest.labels)}"]
    else:
        lines += ["/* The model came without a manifest: its labels are unknown. */"]
    return "\n".join([*lines, "", "#endif", ""])


def _vectors(inputs: NDArray[Any], outputs: NDArray[Any]) -> str:
    def array(name: str, values: NDArray[Any]) -> str:
        rows = [", ".join(str(int(v)) for v in row.ravel()) for row in values]
        width = values[0].size
        body = ",\n".join(f"    {{{row}}}" for row in rows)
        return f"static const int8_t {name}[{len(rows)}][{width}] = {{\n{body}\n}};\n"

    return (
        "/* SPDX-License-Identifier: MIT-0\n *\n * Inputs, and what the emulated chip made of them. Generated.\n */\n"
        f"#include <stdint.h>\n\n#define TEST_VECTORS {len(inputs)}\n\n"
        f"{array('test_inputs', inputs)}\n{array('test_outputs', outputs)}"
    )


def _test_program(name: str, front_end: FrontEndFiles, stream: StreamFiles) -> str:
    include, checks, more = "", "", ""
    bytes_needed = f"{name.upper()}_ARENA_BYTES"
    if front_end.sources:
        include += f'#include "{name}_front_end.h"\n'
        checks += check_functions(name)
        more += "\n    wrong += wrong_features();"
    if stream.sources:
        include += f'#include "{name}_stream.h"\n'
        checks += stream_check(name)
        more += "\n    wrong += wrong_results(arena);"
        bytes_needed = f"{name.upper()}_STREAM_ARENA_BYTES"
    return f"""/* SPDX-License-Identifier: MIT-0
 *
 * Runs the test vectors and compares every output. Exit status 0: all equal.
 */
#include <stdio.h>
#include <string.h>

#include "{name}.h"
{include}#include "test_vectors.h"

static unsigned char memory[{bytes_needed} + {name.upper()}_ARENA_ALIGNMENT]; /* C99 has no _Alignas */
{checks}
int main(void)
{{
    const uintptr_t unaligned = (uintptr_t)memory % {name.upper()}_ARENA_ALIGNMENT;
    unsigned char *const arena = memory + ({name.upper()}_ARENA_ALIGNMENT - unaligned);
    int wrong = 0;
    for (int i = 0; i < TEST_VECTORS; i++) {{
        memcpy({name}_input(arena), test_inputs[i], sizeof test_inputs[i]);
        {name}_run(arena);
        const int8_t *const output = {name}_output(arena);
        for (size_t j = 0; j < sizeof test_outputs[i]; j++) {{
            if (output[j] != test_outputs[i][j]) {{
                printf("vector %d, output %u: %d, on the chip %d\\n", i, (unsigned)j, output[j], test_outputs[i][j]);
                wrong++;
            }}
        }}
    }}
    printf("%d vectors, %d values differ from the chip\\n", TEST_VECTORS, wrong);{more}
    return wrong != 0;
}}
"""


def _makefile(name: str, c_files: Sequence[str]) -> str:
    return f"""# `make` builds lib{name}.a, `make test` runs the test vectors on this machine.
CC ?= cc
CFLAGS ?= -O2 {_WARNINGS}
OBJECTS = {" ".join(file[:-2] + ".o" for file in c_files)}

lib{name}.a: $(OBJECTS)
	$(AR) rcs $@ $^

test: test.o lib{name}.a
	$(CC) $(CFLAGS) -o test_host $^
	./test_host

clean:
	rm -f *.o *.a test_host board_host

$(OBJECTS) test.o: $(wildcard *.h)

.PHONY: test clean
"""


def _makefile_board(firmware: Firmware) -> str:
    name = firmware.name
    return f"""
# The harness on this machine: it speaks the protocol on its standard streams.
board: {name}_board.o {name}_harness.o lib{name}.a
	$(CC) $(CFLAGS) -o board_host $^

{name}_board.o {name}_harness.o: $(wildcard *.h)

.PHONY: board
"""


def _cmake(name: str, c_files: Sequence[str]) -> str:
    files = "\n    ".join(c_files)
    return f"""cmake_minimum_required(VERSION 3.13)
project({name} C)

add_library({name} STATIC
    {files})
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
set_target_properties({name} PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    enable_testing()
    add_executable(test_host test.c)
    target_link_libraries(test_host {name})
    add_test(NAME test_vectors COMMAND test_host)
endif()
"""


def _readme(firmware: Firmware, manifest: Manifest, measurement: Measurement, goal: Optimize) -> str:
    name, upper = firmware.name, firmware.name.upper()
    rows = [_figures_row(measurement)]
    searched = manifest.figures.get("measurement")
    if searched and searched["device"] != measurement.device:
        rows.append(_figures_row(Measurement(**{**searched, "outputs": np.empty(0), "layers": ()})))
    accuracy = "".join(
        f"\nint8 accuracy on the {split} split, measured: {100 * manifest.figures[key]:.1f} %\n"
        for split, key in (("validation", "accuracy"), ("test", "test_accuracy"))
        if manifest.figures.get(key) is not None
    )
    labels = ", ".join(manifest.labels) or "unknown (the model came without a manifest)"
    return f"""# {name}

An int8 network as C99: no allocation, no global state, nothing but `stdint.h` and `string.h`. Licence MIT-0: your
firmware owes nothing.

    {upper}_ARENA_BYTES bytes of your memory, aligned to {upper}_ARENA_ALIGNMENT
    write {name}_input(arena) · call {name}_run(arena) · read {name}_output(arena)

| device | how | latency ms | cycles | RAM bytes | flash bytes |
|---|---|---|---|---|---|
{chr(10).join(rows)}

RAM counts the arena and the stack, flash counts code and weights; start-up code and vectors are left out. The sources
were generated, and compiled by clang, for `--optimize {goal}`; another compiler gives other figures.
{accuracy}
Labels: {labels}

`make test` (or `cmake -B build && cmake --build build && ctest --test-dir build`) runs {TEST_VECTORS} test vectors on
your computer and compares every value with what the emulated chip computed.
"""


def _readme_front_end(name: str, front_end: FrontEndFiles) -> str:
    upper = name.upper()
    if not front_end.sources:
        return f"\nThere is no front end in C here: {front_end.reason}.\n"
    return f"""
## From sound to words

`{name}_features(samples, {name}_input(arena), scratch)` turns {upper}_CLIP_SAMPLES samples at
{upper}_SAMPLE_RATE_HZ into the network's input, as training did; `scratch` is {upper}_FEATURES_SCRATCH_WORDS words of
type `{name}_features_word`, yours. `{name}_frame_bands` and `{name}_frame_features` do one window at a time, in two
steps. They compute in single precision, and in integers on an Arm core whose compiler is not told of an FPU;
`{upper}_FRONT_END_FIXED` 0 or 1, defined for all files, chooses. The figures above are the network's alone.
"""


def _readme_board(firmware: Firmware) -> str:
    name = firmware.name
    return f"""
## On a board

`{name}_harness.c` answers the serial protocol of MLPerf Tiny. Add it and the network to a project of your board, write
the three functions that `{name}_harness.h` asks for, and call `{name}_harness()`; `{name}_board.c` is an example. Then

    rena-kws profile MODEL.tflite --device serial:/dev/ttyACM0

measures on the board, and MLPerf Tiny's own runner can drive it. `make board` builds it for your computer.
"""


def _figures_row(m: Measurement) -> str:
    cells = (m.device, m.how, f"{m.latency_ms:.3f}", m.cycles, m.ram_bytes, m.flash_bytes)
    return "| " + " | ".join("–" if cell is None else str(cell) for cell in cells) + " |"
