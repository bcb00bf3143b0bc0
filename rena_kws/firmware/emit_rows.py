"""Operators that run together by bands of rows → C: a function a stage, and the table of stages for kws_rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rena_kws.firmware.emit_c import Arrays, initializer
from rena_kws.firmware.operands import Stage

_SIGNATURE = (
    "(int8_t *arena, const {name}_window *band, int32_t row, const int8_t *input, int8_t *output, int8_t *scratch)"
)


def stages(
    members: Sequence[Stage], prefix: str, name: str, arrays: Arrays, address: Callable[[int], str]
) -> list[str]:
    """The constants, functions and table of the stages of the layer `prefix`. `address`: a tensor's place in C."""
    lines: list[str] = []
    rows = []
    for number, stage in enumerate(members):
        symbol = f"{prefix}_{number}"
        lines += stage_function(stage, symbol, name, arrays, address)
        fields = {
            "run": f"{symbol}_run",
            "window": stage.by_rows.window.fields(),
            "input_row_bytes": stage.input_row_bytes,
            "output_row_bytes": stage.output_row_bytes,
            "rows_offset": stage.rows_offset,
            "scratch_offset": stage.scratch_offset,
        }
        rows.append(initializer(fields, symbol, name, arrays, "        ")[1])
    return [*lines, table(rows, f"{name}_rows_stage", f"{prefix}_stages")]


def table(rows: Sequence[str], struct: str, symbol: str) -> str:
    """A constant array of structs, by their initialisers."""
    body = ",\n".join(f"    {row}" for row in rows)
    return f"static const {struct} {symbol}[{len(rows)}] = {{\n{body}\n}};"


def stage_function(stage: Stage, symbol: str, name: str, arrays: Arrays, address: Callable[[int], str]) -> list[str]:
    """Constants, and the function that runs the kernel on one band: its parameters, but with those of the band."""
    call, members = stage.call, stage.call.members
    definitions, params = initializer(call.fields, symbol, name, arrays)
    *inputs, _ = call.operands
    tensors = [
        "input" if index == stage.chained else f"{address(index)} + row * {stage.output_row_bytes}" for index in inputs
    ]
    arguments = ["&params" if members else f"&{symbol}_params", *map(str, call.arguments), *tensors, "output"]
    if call.scratch_bytes is not None:
        arguments.append("scratch")
    used = set(re.findall(r"\w+", " ".join([*arguments, *members.values()])))
    unused = [word for word in ("arena", "band", "row", "scratch") if word not in used]
    return [
        *definitions,
        f"static const {name}_{call.struct}_params {symbol}_params = {params};",
        f"static void {symbol}_run{_SIGNATURE.format(name=name)}",
        "{",
        *(f"    (void){word};" for word in unused),
        *([f"    {name}_{call.struct}_params params = {symbol}_params;"] if members else []),
        *(f"    params.{member} = {expression};" for member, expression in members.items()),
        f"    {name}_{call.function}({', '.join(arguments)});",
        "}",
    ]
