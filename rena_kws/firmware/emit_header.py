"""The public header of a generated model."""

from __future__ import annotations

from collections.abc import Sequence

from rena_kws.artifacts import FirmwareLayer, Port
from rena_kws.firmware.emit_c import comment
from rena_kws.firmware.memory_plan import ALIGNMENT


def header(
    name: str, arena_bytes: int, inputs: Sequence[Port], outputs: Sequence[Port], layers: Sequence[FirmwareLayer]
) -> str:
    """`{name}.h`: arena, accessors, quantisation constants, and the layers for a caller who wants to time them."""
    upper = name.upper()
    lines = [
        "/* SPDX-License-Identifier: MIT-0",
        " *",
        f" * The network {name}. Write the inputs into the arena, call {name}_run, read the outputs from it:",
        " *",
        f" *     static _Alignas({upper}_ARENA_ALIGNMENT) unsigned char arena[{upper}_ARENA_BYTES];",
        " *",
        " * (C11; before it, an attribute of the compiler.) The arena is all the memory a run needs beside the stack.",
        " * Nothing in it has to survive between runs, and a run may overwrite its inputs.",
        " * Real value = scale * (int8 value - zero point). Generated; not for editing.",
        " */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_ARENA_BYTES {arena_bytes}",
        f"#define {upper}_ARENA_ALIGNMENT {ALIGNMENT}",
        "",
    ]
    for kind, ports in (("input", inputs), ("output", outputs)):
        for number, port in enumerate(ports):
            lines += _port(name, kind if len(ports) == 1 else f"{kind}_{number}", port)
    lines += [
        comment("Runs the network."),
        f"void {name}_run(void *arena);",
        "",
        comment(f"Its {len(layers)} layers, in the order in which {name}_run calls them."),
        *(f"void {layer.symbol}(void *arena);" for layer in layers),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _port(name: str, port_name: str, port: Port) -> list[str]:
    """The constants and the accessor of one input or output."""
    macro = f"{name}_{port_name}".upper()
    constness = "const " if port_name.startswith("output") else ""
    sizes = ", ".join(str(size) for size in port.shape) or "1"
    return [
        comment(f"{port_name}: int8[{']['.join(str(size) for size in port.shape)}]"),
        f"#define {macro}_BYTES {port.size_bytes}",
        f"#define {macro}_SHAPE {{{sizes}}}",
        f"#define {macro}_SCALE {port.scale!r}f",
        f"#define {macro}_ZERO_POINT ({port.zero_point})",
        f"static inline {constness}int8_t *{name}_{port_name}({constness}void *arena)",
        "{",
        f"    return ({constness}int8_t *)arena + {port.offset};",
        "}",
        "",
    ]
