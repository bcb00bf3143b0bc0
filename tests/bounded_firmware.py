"""Generated firmware on an emulated core that watches every access to memory.

While a layer runs it may read its inputs, its constants, its scratch memory and what it has written; it may write its
output and its scratch memory. Everything else is reported, a byte too far in a neighbouring tensor as well, and so is
an unaligned access on a core that has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import unicorn
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from numpy.typing import NDArray
from unicorn import arm_const as arm

from rena_kws.artifacts import ConvertedModel
from rena_kws.firmware.emit import firmware_of
from rena_kws.firmware.fusion import Program, program
from rena_kws.firmware.graph import Graph, Op, read_graph
from rena_kws.firmware.memory_plan import MemoryPlan
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize, Target, ZigToolchain
from rena_kws.profilers.cortex_m.image import Image, read_image

FLASH, RAM, RETURN = 0x08000000, 0x20000000, 0x0FFFF000
FLASH_BYTES, RAM_BYTES, STACK_BYTES = 1 << 20, 1 << 18, 1 << 13
CPU_MODELS = {
    "cortex-m0plus": arm.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm.UC_CPU_ARM_CORTEX_M33,
}
DSP_CORES = ("cortex-m4", "cortex-m7", "cortex-m33")
IT_BITS = 0x0600FC00
LEAST_STRUCT_BYTES = 16
Ranges = list[tuple[int, int]]


@dataclass
class _Layer:
    """Where a layer may read and write: [start, end) of addresses."""

    name: str
    reads: Ranges = field(default_factory=list)
    writes: Ranges = field(default_factory=list)


class BoundedFirmware:
    """A firmware compiled for `core`. Running it asserts that no layer touches what is not its own."""

    def __init__(self, model: bytes | Program, core: str, optimize: Optimize = DEFAULT_OPTIMIZE) -> None:
        if isinstance(model, bytes):
            model = program(read_graph(ConvertedModel("tflite", model)), optimize)
        self.firmware = firmware_of(model, "kws_model")
        graph, memory = model.graph, model.memory
        target = Target(core, core in DSP_CORES, FLASH, RAM)
        name = self.firmware.name
        path = ZigToolchain().compile(self.firmware.sources, target, entry=f"{name}_run", optimize=optimize)
        image = read_image(path)
        objects = _objects(path)
        self._core, self._image = core, image
        self._layers: dict[int, _Layer] = {}
        ops = [op for op in graph.ops if model.calls[op.index]]
        for position, (op, layer) in enumerate(zip(ops, self.firmware.layers, strict=True)):
            function = image.function(layer.symbol)
            assert function is not None
            allowed = _Layer(f"layer {position} ({op.name})")
            allowed.writes = _blocks(graph, memory, op.outputs) + _scratch(memory, op)
            allowed.reads = allowed.writes + _blocks(graph, memory, op.inputs)
            allowed.reads += _constants(objects, position, self.firmware.sources[f"{name}.c"])
            allowed.reads += _unnamed(objects, _flash_end(image))
            self._layers[function.start] = allowed

    def __call__(self, inputs: Sequence[NDArray[np.int8]]) -> list[NDArray[np.int8]]:
        firmware = self.firmware
        uc: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)  # type: ignore[no-untyped-call]
        uc.ctl_set_cpu_model(CPU_MODELS[self._core])
        uc.mem_map(FLASH, FLASH_BYTES)
        uc.mem_map(RAM, RAM_BYTES)
        uc.mem_map(RETURN, 4096)
        for segment in self._image.load:
            uc.mem_write(segment.address, segment.data)
        for port, values in zip(firmware.inputs, inputs, strict=True):
            uc.mem_write(RAM + port.offset, np.ascontiguousarray(values).tobytes())
        assert firmware.arena_bytes < RAM_BYTES - STACK_BYTES
        watch = _Watch(self._layers, aligned=self._core == "cortex-m0plus")
        uc.hook_add(unicorn.UC_HOOK_BLOCK, watch.on_block)
        uc.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, watch.on_access)
        run = self._image.function(f"{firmware.name}_run")
        assert run is not None
        uc.reg_write(arm.UC_ARM_REG_R0, RAM)
        uc.reg_write(arm.UC_ARM_REG_SP, RAM + RAM_BYTES)
        uc.reg_write(arm.UC_ARM_REG_LR, RETURN | 1)
        uc.emu_start(run.start | 1, RETURN)
        assert not watch.complaints, "; ".join(watch.complaints)
        return [
            np.frombuffer(bytes(uc.mem_read(RAM + port.offset, port.size_bytes)), np.int8).reshape(port.shape)
            for port in firmware.outputs
        ]


class _Watch:
    """The hooks of one run."""

    def __init__(self, layers: dict[int, _Layer], aligned: bool) -> None:
        self.layers, self.aligned = layers, aligned
        self.layer: _Layer | None = None
        self.complaints: list[str] = []

    def on_block(self, _uc: object, address: int, _size: int, _user: object) -> None:
        self.layer = self.layers.get(address, self.layer)

    def on_access(self, uc: Any, access: int, address: int, size: int, _value: int, _user: object) -> None:
        # unicorn leaves the state of an IT block set after a watched load in it; see tracer.c.
        state = uc.reg_read(arm.UC_ARM_REG_XPSR)
        if state & IT_BITS:
            uc.reg_write(arm.UC_ARM_REG_XPSR, state & ~IT_BITS)
        if self.aligned and address % size:
            self.complaints.append(f"{size} bytes at {address:#x}: this core faults on unaligned accesses")
        if RAM + RAM_BYTES - STACK_BYTES <= address < RAM + RAM_BYTES or self.layer is None:
            return  # the stack
        writing = access == unicorn.UC_MEM_WRITE
        ranges = self.layer.writes if writing else self.layer.reads
        if not any(start <= address and address + size <= end for start, end in ranges) and len(self.complaints) < 3:
            pc = uc.reg_read(arm.UC_ARM_REG_PC)
            verb = "writes" if writing else "reads"
            self.complaints.append(f"{self.layer.name} {verb} {size} bytes at {address:#x} (pc {pc:#x})")


def _blocks(graph: Graph, memory: MemoryPlan, indices: Sequence[int]) -> Ranges:
    """The arena's bytes of some tensors, without what the plan rounds up."""
    placed = [(memory.tensors[i].offset, graph.tensors[i].size_bytes) for i in indices if i in memory.tensors]
    return [(RAM + offset, RAM + offset + size) for offset, size in placed]


def _scratch(memory: MemoryPlan, op: Op) -> Ranges:
    block = memory.scratch.get(op.index)
    return [(RAM + block.offset, RAM + block.offset + block.size_bytes)] if block else []


def _constants(objects: Sequence[tuple[str, int, int]], position: int, source: str) -> Ranges:
    """The constants of a layer and those of the kernels themselves; code may read what lies between its functions.

    The compiler keeps one of several equal constants, under any of their names: for one that is missing, every other
    layer's of its size is allowed.
    """
    own = re.findall(rf"const (\w+) (layer_{position}_\w+)\[(\d+)\]", source)
    found = {name for name, _, _ in objects}
    item_bytes = {"int8_t": 1, "int32_t": 4}
    merged = {item_bytes.get(kind, 20) * int(count) for kind, name, count in own if name not in found}
    return [
        (start, end)
        for name, start, end in objects
        if not name.startswith("layer_") or name.startswith(f"layer_{position}_") or end - start in merged
    ]


def _flash_end(image: Image) -> int:
    return max(part.address + len(part.data) for part in image.load if part.address < RAM)


def _unnamed(objects: Sequence[tuple[str, int, int]], flash_end: int) -> Ranges:
    """What lies between objects and is too long to be padding: initial values of structs on the stack."""
    places = [*sorted((start, end) for _, start, end in objects if start < RAM), (flash_end, flash_end)]
    return [(end, start) for (_, end), (start, _) in pairwise(places) if start - end >= LEAST_STRUCT_BYTES]


def _objects(path: Path) -> list[tuple[str, int, int]]:
    """(name, start, end) of every constant and function of an image."""
    with path.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return [
            (symbol.name, symbol["st_value"] & ~1, (symbol["st_value"] & ~1) + symbol["st_size"])
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] in ("STT_OBJECT", "STT_FUNC") and symbol["st_size"]
        ]
