"""A network by the new rows of a moving input → C: its stages, the rest of it on the last image, and their header.

Constants are those that the whole network has anyway.
"""

from __future__ import annotations

from collections.abc import Mapping

from rena_kws.firmware.emit_c import Arrays, initializer
from rena_kws.firmware.emit_rows import stage_function, table
from rena_kws.firmware.incremental import Incremental


def params_prefix(position: int, number: int, count: int) -> str:
    """What the constants of call `number` of `count` of the layer at `position` begin with."""
    return f"layer_{position}" + (f"_{number}" if count > 1 else "")


def incremental_header(moving: Incremental, name: str) -> str:
    """`{name}_incremental.h`."""
    upper = name.upper()
    first, (output,) = moving.images[0], moving.rest.graph.outputs
    return f"""/* SPDX-License-Identifier: MIT-0
 *
 * The network {name} over an input that moves on by {first.new} rows from one result to the next: what is known of the
 * rows before is kept, only new rows are computed. Each result is, bit by bit, that of {name}_run on the same input.
 * Generated; not for editing.
 */
#ifndef {upper}_INCREMENTAL_H
#define {upper}_INCREMENTAL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Rows of the input that are new in each result. */
#define {upper}_NEW_ROWS {first.new}

/* The memory of rows, all zeros at first: it survives from one result to the next. The arena has not to. */
#define {upper}_ROWS_BYTES {moving.rows_bytes}
#define {upper}_INCREMENTAL_ARENA_BYTES {moving.arena_bytes}

/* Where the new rows go, {first.new} of {first.row_bytes} bytes, the oldest first. */
static inline int8_t *{name}_new_rows_input(void *rows)
{{
    return (int8_t *)rows + {first.new_offset};
}}

/* The result. */
static inline const int8_t *{name}_incremental_output(const void *arena)
{{
    return (const int8_t *)arena + {moving.rest.memory.tensors[output].offset};
}}

/* One more result. They count from the one on that has had all rows of {name}'s input. */
void {name}_run_incremental(void *rows, void *arena);

#ifdef __cplusplus
}}
#endif

#endif
"""


def incremental_source(
    moving: Incremental, name: str, positions: Mapping[int, int], shared: Mapping[int, str], arrays: Arrays
) -> list[str]:
    """The end of `{name}.c`. `positions`: operator → layer of the network; `shared` and `arrays`: its constants."""
    lines = ["/* The same by new rows: stages, the images between them, and what follows. */"]
    stages, images = [], []
    for number, step in enumerate(moving.steps):
        symbol = f"new_rows_{number}"
        lines += stage_function(step.stage, symbol, name, arrays, _no_address)
        fields = {"run": f"{symbol}_run", "window": step.window.fields(), "input": step.input_offset}
        stages.append(initializer(fields, symbol, name, arrays, "        ")[1])
    for image in moving.images:
        sizes = (image.offset, image.kept * image.row_bytes, image.new * image.row_bytes)
        images.append("{" + ", ".join(map(str, sizes)) + "}")
    table_of = {"stages": "new_rows_stages", "images": "new_rows_images", "count": len(stages)}
    return [
        *lines,
        table(stages, f"{name}_new_rows_stage", "new_rows_stages"),
        table(images, f"{name}_new_rows_image", "new_rows_images"),
        f"static const {name}_new_rows_params new_rows_params = {initializer(table_of, '', name, arrays)[1]};",
        "",
        f"void {name}_run_incremental(void *rows, void *arena)",
        "{",
        f"    {name}_new_rows(&new_rows_params, rows, arena);",
        *_rest(moving, name, positions, shared),
        f"    {name}_new_rows_keep(&new_rows_params, rows);",
        "}",
        "",
    ]


def _no_address(index: int) -> str:
    raise AssertionError(f"tensor {index} is no image of the chain")


def _rest(moving: Incremental, name: str, positions: Mapping[int, int], shared: Mapping[int, str]) -> list[str]:
    """The calls that run whole on the last image."""
    rest, last = moving.rest, moving.images[-1].offset

    def address(index: int) -> str:
        if index in rest.last:
            return f"(int8_t *)rows + {last}"
        root = rest.memory.storage[index]
        return shared.get(root) or f"(int8_t *)arena + {rest.memory.tensors[index].offset}"

    lines = []
    for op in rest.graph.ops:
        group = rest.calls[op.index]
        for number, call in enumerate(group):
            params = params_prefix(positions[rest.layers[op.index]], number, len(group))
            arguments = [f"&{params}_params", *map(str, call.arguments), *map(address, call.operands)]
            if call.scratch_bytes is not None:
                scratch = rest.memory.scratch[op.index].offset if call.scratch_bytes else None
                arguments.append("0" if scratch is None else f"(int8_t *)arena + {scratch}")
            lines.append(f"    {name}_{call.function}({', '.join(arguments)});")
    return lines
