"""A firmware image: what to load where, which function is where, and where it starts.

ELF files with symbols tell all of it; Intel HEX and raw binaries only their bytes.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from rena_kws.errors import ModelError


@dataclass(frozen=True)
class Segment:
    """Bytes at an address. `zeroed`: zeros that are in no file; the start-up code clears what it needs."""

    address: int
    data: bytes
    zeroed: bool = False


@dataclass(frozen=True)
class Function:
    """A function's symbol and its place: [start, end)."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Vectors:
    """The head of a vector table at `address`: the first stack pointer and the first instruction."""

    address: int
    stack: int
    reset: int


@dataclass(frozen=True)
class Image:
    """`load` is what to write before anything runs: initialised data both where the start-up code finds it and where it
    lives. `flash_bytes` and `ram_bytes` are the sizes of all sections (zeroed ones too): initialised data counts twice.
    `ram_end` is the end of the sections in RAM.
    """

    name: str
    load: tuple[Segment, ...]
    flash_bytes: int
    ram_bytes: int
    ram_end: int
    functions: tuple[Function, ...]

    @cached_property
    def vectors(self) -> Vectors | None:
        """The vector table at the lowest address loaded, where what stands there can be one."""
        held = [segment for segment in self.load if not segment.zeroed]
        first = min(held, key=lambda segment: segment.address)
        stack, reset = (int.from_bytes(first.data[at : at + 4], "little") for at in (0, 4))
        code = any(s.address <= reset - 1 < s.address + len(s.data) for s in held)
        plausible = len(first.data) >= 8 and reset & 1 and code and stack % 4 == 0 and stack >= 0x1000
        return Vectors(first.address, stack, reset & ~1) if plausible else None

    def function(self, name: str) -> Function | None:
        """The function `name`, or None where the linker kept none of that name."""
        return next((function for function in self.functions if function.name == name), None)

    def named(self, name: str) -> Function:
        """The function `name`, or the only one whose name contains it, as C++ names do. Raises `ModelError`."""
        exact = self.function(name)
        if exact:
            return exact
        holders = [function for function in self.functions if name in function.name]
        if len({function.start for function in holders}) == 1:
            return holders[0]
        if not self.functions:
            raise ModelError(f"{self.name} has no symbols: give an address instead of {name!r}")
        names = [function.name for function in self.functions]
        near = [f.name for f in holders[:3]] or difflib.get_close_matches(name, names, 3, 0.5)
        hint = f"; there are {', '.join(near)}" if near else ""
        raise ModelError(f"{self.name} has no function {name!r}{hint}")

    def function_at(self, address: int) -> Function | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        function = self.functions[index]
        # Functions in assembly often have no size: they reach to the next.
        return function if address < function.end or function.end == function.start else None

    @cached_property
    def _starts(self) -> list[int]:
        return [function.start for function in self.functions]

    def where(self, address: int) -> str:
        """An address for a message: "0x08000123 in kws_run + 0x20"."""
        function = self.function_at(address)
        if function is None:
            return f"{address:#010x}, in no function"
        return f"{address:#010x} in {function.name} + {address - function.start:#x}"


def read_image(path: Path, base: int | None = None) -> Image:
    """Read an ELF, an Intel HEX file, or a raw binary that lies at `base`. Raises `ModelError` where it is none."""
    suffix = path.suffix.lower()
    try:
        if suffix in (".hex", ".ihex"):
            return _plain(path.name, _read_hex(path))
        if suffix == ".bin":
            if base is None:
                raise ModelError(f"{path.name} does not say where it lies: give its load address (--base)")
            return _plain(path.name, (Segment(base, path.read_bytes()),))
        with path.open("rb") as stream:
            return _elf(path.name, ELFFile(stream))
    except OSError as error:
        raise ModelError(f"cannot read the image {path}: {error.strerror}") from None
    except ELFError as error:
        raise ModelError(f"{path.name} is no readable ELF image: {error}") from None


def _plain(name: str, load: tuple[Segment, ...]) -> Image:
    if not any(segment.data for segment in load):
        raise ModelError(f"{name} is empty")
    return Image(name, load, sum(len(segment.data) for segment in load), 0, 0, ())


def _read_hex(path: Path) -> tuple[Segment, ...]:
    from intelhex import IntelHex, IntelHexError

    try:
        file = IntelHex(str(path))
    except (IntelHexError, UnicodeDecodeError) as error:
        raise ModelError(f"{path.name} is no Intel HEX file: {error}") from None
    return tuple(Segment(start, file.tobinstr(start=start, end=end - 1)) for start, end in file.segments())


def _elf(name: str, elf: ELFFile) -> Image:
    if elf["e_machine"] != "EM_ARM" or elf.elfclass != 32 or not elf.little_endian:
        raise ModelError(f"{name} is an ELF file for {elf['e_machine']}: a 32-bit little-endian ARM image is needed")
    flash_bytes = ram_bytes = ram_end = 0
    for section in elf.iter_sections():
        flags, size, address = section["sh_flags"], section["sh_size"], section["sh_addr"]
        if not flags & SH_FLAGS.SHF_ALLOC or not size:
            continue
        if flags & SH_FLAGS.SHF_WRITE:
            ram_bytes += size
            ram_end = max(ram_end, address + size)
        flash_bytes += size if section["sh_type"] != "SHT_NOBITS" else 0
    load = _segments(elf)
    if not load:
        raise ModelError(f"{name} has nothing to load: is it an object file that was not linked?")
    return Image(name, load, flash_bytes, ram_bytes, ram_end, _functions(elf))


def _segments(elf: ELFFile) -> tuple[Segment, ...]:
    """The contents of sections, at their place and, where that differs, where the start-up code copies them from.

    Sections rather than segments: a linker may put the file's own headers into a segment.
    """
    parts = list(elf.iter_segments("PT_LOAD"))
    segments = []
    for section in elf.iter_sections():
        size, address, offset = section["sh_size"], section["sh_addr"], section["sh_offset"]
        if not section["sh_flags"] & SH_FLAGS.SHF_ALLOC or not size:
            continue
        if section["sh_type"] == "SHT_NOBITS":
            segments.append(Segment(address, bytes(size), zeroed=True))
            continue
        data = section.data()
        segments.append(Segment(address, data))
        for part in parts:
            # By its place in the file: linkers disagree on what a segment says of addresses in RAM.
            if part["p_offset"] <= offset and offset + size <= part["p_offset"] + part["p_filesz"]:
                stored_at = part["p_paddr"] + offset - part["p_offset"]
                segments += [Segment(stored_at, data)] if stored_at != address else []
    if elf.num_sections():
        return tuple(segments)
    return tuple(Segment(part["p_paddr"], part.data()) for part in parts if part["p_filesz"])


def _functions(elf: ELFFile) -> tuple[Function, ...]:
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return ()
    found = {
        Function(symbol.name, symbol["st_value"] & ~1, (symbol["st_value"] & ~1) + symbol["st_size"])
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
    }
    return tuple(sorted(found, key=lambda function: (function.start, function.name)))
