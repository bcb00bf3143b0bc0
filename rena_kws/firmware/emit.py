"""A model → C99: the constants and one function a layer, beside the kernel files they need.

`generate` reads the graph, lowers every operator to kernel calls, plans the arena, and prints. The same model, name
and goal give the same bytes. Every symbol and file name starts with the name: in the kernel templates of `c/` the
prefix `kws_` stands for it, so two models can share an image.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from importlib import resources

from rena_kws.artifacts import ArenaBlock, ConvertedModel, Firmware, FirmwareLayer, IncrementalRun, Port
from rena_kws.errors import ModelError
from rena_kws.firmware.emit_c import Arrays, comment, constant, initializer
from rena_kws.firmware.emit_header import header
from rena_kws.firmware.emit_incremental import incremental_header, incremental_source, params_prefix
from rena_kws.firmware.emit_rows import stages
from rena_kws.firmware.fusion import Program, program
from rena_kws.firmware.graph import Graph, Op, Tensor, read_graph
from rena_kws.firmware.incremental import Incremental, incremental
from rena_kws.firmware.memory_plan import Block, MemoryPlan
from rena_kws.firmware.operands import Call
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize

MAX_NAME_LENGTH = 40
LICENCE_LINE = "/* SPDX-License-Identifier: MIT-0"


def generate(
    model: ConvertedModel,
    name: str = "kws_model",
    optimize: Optimize = DEFAULT_OPTIMIZE,
    new_rows: int | None = None,
) -> Firmware:
    """The C sources of an int8 .tflite model. Raises `ModelError` for a model or name that cannot be used.

    `optimize` decides which weights are packed (see packing.py) and which operators run together by bands of rows (see
    fusion.py), as it decides how the compiler is called. With `new_rows` the C can also evaluate an input that moves on
    by so many rows (see incremental.py), where the network allows that; `Firmware.incremental` tells.
    """
    if not re.fullmatch(rf"[A-Za-z][A-Za-z0-9_]{{0,{MAX_NAME_LENGTH - 1}}}", name):
        raise ModelError(f"name {name!r}: it must be a C identifier of at most {MAX_NAME_LENGTH} letters, digits and _")
    graph = read_graph(model)
    try:
        return firmware_of(program(graph, optimize), name, new_rows)
    except ModelError as error:
        raise ModelError(f"{model.name}: {error}") from None


def firmware_of(network: Program, name: str, new_rows: int | None = None) -> Firmware:
    """The C sources of a network whose steps are chosen."""
    moving, whole_because = _moving(network, new_rows)
    graph, memory = network.graph, network.memory
    steps = [op for op in graph.ops if network.calls[op.index]]
    layers = tuple(
        FirmwareLayer(_layer_symbol(name, position), _layer_name(network, op), op.name, network.macs(op))
        for position, op in enumerate(steps)
    )
    inputs = tuple(_port(graph, memory, index) for index in graph.inputs)
    outputs = tuple(_port(graph, memory, index) for index in graph.outputs)
    calls = [call for op in steps for call in network.calls[op.index]]
    families = sorted(
        {part.family for call in calls for part in (call, *(stage.call for stage in call.stages))}
        | ({"new_rows", *(step.stage.call.family for step in moving.steps)} if moving else set())
    )
    sources = {
        f"{name}.h": header(name, memory.arena_bytes, inputs, outputs, layers),
        f"{name}.c": _model_source(network, name, steps, families, moving),
        **({f"{name}_incremental.h": incremental_header(moving, name)} if moving else {}),
        **_kernel_sources(name, families, network.folded_shift),
    }
    arena = _arena(network, [op.index for op in steps])
    by_new_rows = IncrementalRun(moving.images[0].new, moving.rows_bytes, moving.arena_bytes) if moving else None
    return Firmware(name, sources, memory.arena_bytes, inputs, outputs, layers, arena, by_new_rows, whole_because)


def _moving(network: Program, new_rows: int | None) -> tuple[Incremental | None, str]:
    """How the network is evaluated by new rows, or why it is not."""
    if new_rows is None:
        return None, ""
    try:
        return incremental(network, new_rows), ""
    except ModelError as error:
        return None, str(error)


def _arena(network: Program, layers: Sequence[int]) -> tuple[ArenaBlock, ...]:
    """The plan for people: blocks by layer. `layers`: the operators that have one, in order."""
    graph, memory = network.graph, network.memory

    def block(name: str, planned: Block, scratch: bool) -> ArenaBlock:
        # An operator without a layer takes no time: a block from or to it begins with the next or ends with the last.
        first = -1 if planned.first < 0 else bisect_left(layers, planned.first)
        last = len(layers) if planned.last >= len(graph.ops) else bisect_right(layers, planned.last) - 1
        return ArenaBlock(name, planned.offset, planned.size_bytes, first, last, scratch)

    def holder(root: int, planned: Block) -> str:
        """The tensor that is in a storage when a block of it begins."""
        held = [i for i, b in memory.tensors.items() if memory.storage[i] == root and planned.lives_with(b)]
        return graph.tensors[max(held, key=lambda i: graph.tensors[i].size_bytes)].name.split(";")[0]

    tensors = [
        block(holder(root, planned), planned, False)
        for root, blocks in sorted(memory.storages.items())
        for planned in blocks
    ]
    scratch = [
        block(f"scratch memory of {_layer_name(network, graph.ops[index])}", planned, True)
        for index, planned in memory.scratch.items()
    ]
    return (*tensors, *scratch)


def _layer_symbol(name: str, position: int) -> str:
    return f"{name}_layer_{position}"


def _layer_name(network: Program, op: Op) -> str:
    """The tensors a layer computes; converters join the names of fused operators with `;`, the first is enough."""
    return " + ".join(
        network.graph.tensors[member.outputs[0]].name.split(";")[0] or f"{member.name.lower()}_{member.index}"
        for member in network.members[op.index]
    )


def _port(graph: Graph, memory: MemoryPlan, index: int) -> Port:
    tensor = graph.tensors[index]
    if index not in memory.tensors:
        raise ModelError(f"the output {tensor.label} is a constant; supported are computed outputs")
    if tensor.dtype != "int8" or len(tensor.scales) != 1:
        raise ModelError(
            f"tensor {tensor.label} is {tensor.dtype}; supported are int8 inputs and outputs with one scale"
            " (convert with inference_input_type and inference_output_type int8)"
        )
    return Port(memory.tensors[index].offset, tensor.shape, tensor.dtype, tensor.scale, tensor.zero_point)


def _model_source(
    network: Program, name: str, steps: Sequence[Op], families: Sequence[str], moving: Incremental | None
) -> str:
    """`{name}.c`: for each layer its constants and its function, then the function that runs them in order."""
    lines = [
        f"{LICENCE_LINE}",
        " *",
        f" * The network {name}: constants, one function a layer, and {name}_run. Generated; not for editing.",
        " */",
        f'#include "{name}.h"',
        *([f'#include "{name}_incremental.h"'] if moving else []),
        "",
        *(f'#include "{name}_{family}.h"' for family in families),
        "",
        "/* Layers stay functions of their own, for a profiler to tell them apart. Kernels read weights by words. */",
        "#if defined(__GNUC__)",
        f"#define {name.upper()}_LAYER __attribute__((noinline))",
        f"#define {name.upper()}_ALIGNED __attribute__((aligned(4)))",
        "#else",
        f"#define {name.upper()}_LAYER",
        f"#define {name.upper()}_ALIGNED",
        "#endif",
        "",
    ]
    shared: dict[int, str] = {}
    arrays: Arrays = {}
    for position, op in enumerate(steps):
        lines += _layer(network, name, position, op, shared, arrays)
    lines += [f"void {name}_run(void *arena)", "{"]
    lines += [f"    {_layer_symbol(name, position)}(arena);" for position in range(len(steps))] or ["    (void)arena;"]
    lines += ["}", ""]
    if moving:
        positions = {op.index: position for position, op in enumerate(steps)}
        lines += incremental_source(moving, name, positions, shared, arrays)
    return "\n".join(lines)


def _layer(network: Program, name: str, position: int, op: Op, shared: dict[int, str], arrays: Arrays) -> list[str]:
    """The constants and the function of one layer. `shared`: constant operand → its C name, across layers."""
    graph, memory = network.graph, network.memory
    macs = network.macs(op)
    shape = " x ".join(str(size) for size in graph.tensors[op.outputs[0]].shape)
    title = f"{op.name} {_layer_name(network, op)}: output {shape}"
    lines = [comment(title + (f", {macs} MACs" if macs else ""))]
    statements = []
    group = network.calls[op.index]
    for number, call in enumerate(group):
        prefix = params_prefix(position, number, len(group))
        lines += _shared_constants(graph, memory, call, name, shared)

        def address(index: int) -> str:
            return _address(graph.tensors[index], memory, shared)

        fields = call.fields
        if call.stages:
            lines += stages(call.stages, prefix, name, arrays, address)
            fields = {"stages": f"{prefix}_stages", **fields}
        definitions, members = initializer(fields, prefix, name, arrays)
        lines += definitions
        lines += [f"static const {name}_{call.struct}_params {prefix}_params = {members};"]
        arguments = [f"&{prefix}_params", *(str(value) for value in call.arguments), *map(address, call.operands)]
        if call.scratch_bytes is not None:
            scratch = f"(int8_t *)arena + {memory.scratch[op.index].offset}" if call.scratch_bytes else "0"
            arguments.append(scratch)
        statements.append(f"    {name}_{call.function}({', '.join(arguments)});")
    return [
        *lines,
        f"{name.upper()}_LAYER void {_layer_symbol(name, position)}(void *arena)",
        "{",
        *statements,
        "}",
        "",
    ]


def _shared_constants(graph: Graph, memory: MemoryPlan, call: Call, name: str, shared: dict[int, str]) -> list[str]:
    """The constant operands of a call that no layer before had."""
    lines = []
    operands = [*call.operands, *(index for stage in call.stages for index in stage.call.operands)]
    for index in operands:
        tensor = graph.tensors[memory.storage[index]]
        if tensor.data is not None and tensor.index not in shared:
            shared[tensor.index] = f"tensor_{tensor.index}"
            lines.append(constant(shared[tensor.index], tensor.data, name))
    return lines


def _address(tensor: Tensor, memory: MemoryPlan, shared: Mapping[int, str]) -> str:
    constant_name = shared.get(memory.storage[tensor.index])
    return constant_name or f"(int8_t *)arena + {memory.tensors[tensor.index].offset}"


_INCLUDE = re.compile(r'^#include "kws_(\w+)\.h"', re.MULTILINE)


_FOLDED_SHIFT = re.compile(r"^(#define KWS_FOLDED_SHIFT) \d+", re.MULTILINE)


def _kernel_sources(name: str, families: Sequence[str], folded_shift: int) -> dict[str, str]:
    """The kernel files of `families` and of what they include, renamed from `kws_` to `name_`."""
    folder = resources.files("rena_kws.firmware.c")
    texts: dict[str, str] = {}
    wanted = list(families)
    while wanted:
        family = wanted.pop()
        for suffix in (".h", ".c"):
            file = folder / f"kws_{family}{suffix}"
            if f"{family}{suffix}" not in texts and file.is_file():
                text = _FOLDED_SHIFT.sub(rf"\1 {folded_shift}", file.read_text(encoding="utf-8"))
                texts[f"{family}{suffix}"] = text
                wanted += _INCLUDE.findall(texts[f"{family}{suffix}"])
    return {f"{name}_{file}": renamed(text, name) for file, text in sorted(texts.items())}


def renamed(text: str, name: str) -> str:
    prefixes = {"kws_": f"{name}_", "KWS_": f"{name.upper()}_"}
    return re.sub(r"\b(kws_|KWS_)", lambda match: prefixes[match[1]], text)
