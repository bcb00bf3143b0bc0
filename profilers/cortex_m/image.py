"""A linked image as the profiler sees it: what lies in flash, what lies in RAM, and which function is where."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from rena_kws.errors import ModelError
from rena_kws.profilers.cortex_m.job import Segment


@dataclass(frozen=True)
class Function:
    """A function's symbol and its place: [start, end)."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Image:
    """`flash` and `ram` are what to load; `flash_bytes` and `ram_bytes` the sizes of all sections (zeroed ones too).

    Initialised data counts twice: its image lies in flash, and it lives in RAM.
    """

    flash: tuple[Segment, ...]
    ram: tuple[Segment, ...]
    flash_bytes: int
    ram_bytes: int
    ram_end: int
    functions: tuple[Function, ...]

    def function(self, name: str) -> Function | None:
        """The function `name`, or None where the linker kept none of that name."""
        return next((function for function in self.functions if function.name == name), None)

    def where(self, address: int) -> str:
        """An address for a message: "0x08000123 in kws_run + 0x20"."""
        starts = [function.start for function in self.functions]
        index = bisect_right(starts, address) - 1
        if index >= 0 and address < self.functions[index].end:
            return f"{address:#010x} in {self.functions[index].name} + {address - starts[index]:#x}"
        return f"{address:#010x}, in no function"

    def code(self, address: int, size: int) -> bytes:
        """Bytes of the flash."""
        for segment in self.flash:
            if segment.address <= address < segment.address + len(segment.data):
                return segment.data[address - segment.address : address - segment.address + size]
        return b""


def read_image(path: Path) -> Image:
    """Read an ELF. Raises `ModelError` where it is none."""
    try:
        with path.open("rb") as stream:
            return _image(ELFFile(stream))
    except (ELFError, OSError) as error:
        raise ModelError(f"{path.name} is no readable ELF image: {error}") from None


def _image(elf: ELFFile) -> Image:
    flash: list[Segment] = []
    ram: list[Segment] = []
    flash_bytes = ram_bytes = ram_end = 0
    for section in elf.iter_sections():
        flags, size, address = section["sh_flags"], section["sh_size"], section["sh_addr"]
        if not flags & SH_FLAGS.SHF_ALLOC or not size:
            continue
        held = section["sh_type"] != "SHT_NOBITS"
        if flags & SH_FLAGS.SHF_WRITE:
            ram_bytes += size
            ram_end = max(ram_end, address + size)
            if held:
                ram.append(Segment(address, section.data()))
        else:
            flash.append(Segment(address, section.data()))
        flash_bytes += size if held else 0
    return Image(tuple(flash), tuple(ram), flash_bytes, ram_bytes, ram_end, _functions(elf))


def _functions(elf: ELFFile) -> tuple[Function, ...]:
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return ()
    found = {
        Function(symbol.name, symbol["st_value"] & ~1, (symbol["st_value"] & ~1) + symbol["st_size"])
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC"
    }
    return tuple(sorted(found, key=lambda function: (function.start, function.name)))
