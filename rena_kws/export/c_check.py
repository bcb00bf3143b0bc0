"""The program in a bundle of C that shows, on a computer, that the code does there what it did on the chip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Firmware
from rena_kws.export.c_front_end import check_functions
from rena_kws.export.c_stream import stream_check

TEST_VECTORS = 8
_WARNINGS = "-std=c99 -Wall -Wextra -Wpedantic -Wconversion"


def noise_inputs(firmware: Firmware) -> NDArray[np.int8]:
    """Uniform noise reaches saturation in every layer more surely than clips do."""
    rng = np.random.default_rng(0)
    return rng.integers(-128, 128, (TEST_VECTORS, *firmware.inputs[0].shape[1:]), dtype=np.int8)


def check_vectors(inputs: NDArray[Any], outputs: NDArray[Any]) -> str:
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


def check_program(name: str, front_end: bool, stream: bool) -> str:
    include, checks, more = "", "", ""
    bytes_needed = f"{name.upper()}_ARENA_BYTES"
    if front_end:
        include += f'#include "{name}_front_end.h"\n'
        checks += check_functions(name)
        more += "\n    wrong += wrong_features();"
    if stream:
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


def makefile(name: str, c_files: Sequence[str], sources: str = "") -> str:
    """Builds the library and runs the test. `sources`: the folder of `c_files`, where that is not the test's own."""
    found_there = f"CPPFLAGS += -I{sources}\nVPATH = {sources}\n" if sources else ""
    headers = f"*.h {sources}/*.h" if sources else "*.h"
    return f"""# `make` builds lib{name}.a, `make test` runs the test vectors on this machine.
CC ?= cc
CFLAGS ?= -O2 {_WARNINGS}
{found_there}OBJECTS = {" ".join(file[:-2] + ".o" for file in c_files)}

lib{name}.a: $(OBJECTS)
	$(AR) rcs $@ $^

test: test.o lib{name}.a
	$(CC) $(CFLAGS) -o test_host $^
	./test_host

clean:
	rm -f *.o *.a test_host board_host

$(OBJECTS) test.o: $(wildcard {headers})

.PHONY: test clean
"""
