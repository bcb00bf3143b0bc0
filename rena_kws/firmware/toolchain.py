"""C and assembly sources in, a linked Cortex-M image (ELF) or a host library out; the same sources are compiled once.

The image has no start-up code and no vectors: whoever runs it sets the stack pointer and calls a function. Results are
kept in the cache under the hash of everything that shapes them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from rena_kws import cache
from rena_kws.errors import CandidateError, UnavailableError
from rena_kws.files import reserved

Optimize = Literal["speed", "balanced", "size"]
DEFAULT_OPTIMIZE: Optimize = "balanced"

# zig strips the symbols of small builds unless debug information is asked for, which the linker script drops.
_SIZE = ("-Os", "-g")
_LEVELS: Mapping[Optimize, tuple[str, ...]] = {"speed": ("-O3",), "balanced": ("-O2",), "size": _SIZE}
# Freestanding clang comes without string.h. The built-ins let it expand small copies in place, as a hosted compiler
# does; -ffreestanding alone would turn each into a call.
_STRING_H = """#ifndef STRING_H
#define STRING_H
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
#define memcpy __builtin_memcpy
#define memmove __builtin_memmove
#define memset __builtin_memset
#define memcmp __builtin_memcmp
#endif
"""
_LINKER_SCRIPT = """SECTIONS
{{
    . = {flash_origin:#x};
    .text : {{ *(.text .text.*) }}
    .rodata : {{ *(.rodata .rodata.*) }}
    flash_end = ALIGN(4);
    . = {ram_origin:#x};
    .data : AT(flash_end) {{ *(.data .data.*) }}
    .bss (NOLOAD) : {{ *(.bss .bss.* COMMON) }}
    /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .eh_frame* .comment .debug*) }}
}}
"""
_COMMON_FLAGS = (
    "-std=c99",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-Wl,--gc-sections",
)


@dataclass(frozen=True)
class Target:
    """What an image is linked for: the core's name ("cortex-m4"), its DSP extension, where flash and RAM begin, and
    whether floats go through an FPU of single precision, and its registers into calls."""

    core: str
    dsp: bool = False
    flash_origin: int = 0x08000000
    ram_origin: int = 0x20000000
    fpu: bool = False

    @property
    def has_assembly_loops(self) -> bool:
        """Whether the kernels' inner loops are assembly on this core."""
        return self.dsp or self.core in ("cortex-m0plus", "cortex-m4", "cortex-m7")


class Toolchain(ABC):
    """Compiles sources for a Cortex-M."""

    @abstractmethod
    def unavailable(self) -> str | None:
        """Why this toolchain cannot be used here and what to install, or None."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """The compiler and its version; part of the cache's key and of a measurement's environment."""

    @abstractmethod
    def command(self, target: Target, optimize: Optimize) -> list[str]:
        """The compiler and the flags that depend on target and optimisation."""

    def headers(self) -> Mapping[str, str]:
        """Headers that the compiler lacks; kept out of the sources, on the system include path."""
        return {}

    def compile(self, sources: Mapping[str, str], target: Target, *, entry: str, optimize: Optimize = "speed") -> Path:
        """The path of the linked ELF. `sources`: file name → text; .c, .s and .S are compiled, the rest is included.

        Everything that `entry` does not reach is left out. The file belongs to the cache: read it, do not change it.
        Raises `UnavailableError` without a compiler, `CandidateError` with the first diagnostic where it refuses.
        """
        reason = self.unavailable()
        if reason:
            raise UnavailableError(reason)
        script = _LINKER_SCRIPT.format(**asdict(target))
        command = [*self.command(target, optimize), *_COMMON_FLAGS, f"-Wl,-e,{entry}", "-Wl,-T,link.ld"]
        return _build(self.identity, command, sources, {"link.ld": script}, self.headers(), "image.elf")


def _level(target: Target, optimize: Optimize) -> tuple[str, ...]:
    """Where the inner loops are assembly, what is left to the compiler may as well be small."""
    return _SIZE if optimize == "balanced" and target.has_assembly_loops else _LEVELS[optimize]


class ZigToolchain(Toolchain):
    """clang and lld from the pip wheel `ziglang`. Its compiler_rt brings memcpy, memset and the __aeabi helpers."""

    def unavailable(self) -> str | None:
        found = importlib.util.find_spec("ziglang")
        return None if found else "the compiler is missing: pip install ziglang"

    @property
    def identity(self) -> str:
        return f"ziglang {version('ziglang')}"

    def command(self, target: Target, optimize: Optimize) -> list[str]:
        # The extension is an option of the M33, and part of the M4 and M7.
        cpu = target.core.replace("-", "_") + ("+dsp" if target.core == "cortex-m33" and target.dsp else "")
        if target.fpu:
            cpu += "+vfp4d16sp" if target.core == "cortex-m4" else "+fp_armv8d16sp"
        return [
            *(sys.executable, "-m", "ziglang", "cc"),
            *("-target", f"thumb-freestanding-eabi{'hf' if target.fpu else ''}", f"-mcpu={cpu}"),
            *(*_level(target, optimize), "-ffreestanding", "-fno-sanitize=all"),
        ]

    def headers(self) -> Mapping[str, str]:
        return {"string.h": _STRING_H}


class GccToolchain(Toolchain):
    """arm-none-eabi-gcc with newlib, where it is on PATH."""

    program = "arm-none-eabi-gcc"

    def unavailable(self) -> str | None:
        return None if shutil.which(self.program) else f"{self.program} is not on PATH: install Arm's GNU toolchain"

    @property
    def identity(self) -> str:
        return f"{self.program} {_gcc_version(self.program)}"

    def command(self, target: Target, optimize: Optimize) -> list[str]:
        cpu = target.core + ("+nodsp" if target.core == "cortex-m33" and not target.dsp else "")
        floats = ["-mfloat-abi=soft"]
        if target.fpu:
            floats = ["-mfloat-abi=hard", f"-mfpu={'fpv4' if target.core == 'cortex-m4' else 'fpv5'}-sp-d16"]
        return [self.program, f"-mcpu={cpu}", "-mthumb", *floats, *_level(target, optimize), "-nostartfiles"]


def compile_host_library(sources: Mapping[str, str], *, optimize: Optimize = "balanced", libc: bool = True) -> Path:
    """The path of a shared library for this computer, to load with ctypes. Same sources and cache as `compile`.

    Without `libc` the first compilation on a machine takes 0.2 s; with it zig first builds its stubs, about 10 s.
    """
    zig = ZigToolchain()
    reason = zig.unavailable()
    if reason:
        raise UnavailableError(reason)
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    command = [sys.executable, "-m", "ziglang", "cc", "-shared", *_LEVELS[optimize], "-std=c99", "-fno-sanitize=all"]
    if sys.platform != "win32":
        command.append("-fPIC")
    if not libc:
        command += ["-ffreestanding", "-fno-builtin", "-nostdlib"]
    return _build(zig.identity, command, sources, {}, {}, f"library{suffix}")


@functools.cache
def _gcc_version(program: str) -> str:
    answer = subprocess.run([program, "-dumpfullversion"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def _build(
    identity: str,
    command: Sequence[str],
    sources: Mapping[str, str],
    inputs: Mapping[str, str],
    headers: Mapping[str, str],
    output: str,
) -> Path:
    """Run the compiler in a folder of its own unless the cache holds its result; the path of `output`."""
    recipe = [identity, command[1:], sorted(sources.items()), sorted(inputs.items()), sorted(headers.items()), output]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    built = cache.root() / "built" / f"{key[:32]}-{output}"
    if built.exists():
        cache.touch(built)
        return built
    try:
        built.parent.mkdir(parents=True, exist_ok=True)
        # zig keeps the object of a source that is the very file it was: of a candidate's sources it compiles the few
        # that differ from those of the one before. So the folders stay, and what need not change in them does not.
        with reserved(cache.root() / "sources") as folder:
            # Relative names only: what the compiler sees does not depend on where the cache lies.
            work = folder / "now"
            everything = {**sources, **inputs, **{f"system/{name}": text for name, text in headers.items()}}
            _lay_out(work, folder / "aside", everything)
            compiled = [name for name in sources if name.endswith((".c", ".s", ".S"))]
            arguments = [*command, *(["-isystem", "system"] if headers else []), *compiled, "-o", output]
            _run(arguments, work)
            os.replace(work / output, built)
    except OSError as error:
        raise UnavailableError(f"cannot write to the cache {built.parent}: {error} (set RENA_KWS_CACHE)") from None
    cache.make_room()
    return built


def _lay_out(work: Path, aside: Path, files: Mapping[str, str]) -> None:
    """Make `work` hold these files and no others. What it holds already is not touched, what it does not need now is
    put aside, and comes back as the same file."""
    for path in [path for path in work.rglob("*") if path.is_file()]:
        if (name := path.relative_to(work).as_posix()) not in files:
            _move(path, aside / name)
    for name, text in files.items():
        path = work / name
        if not path.exists() and (aside / name).exists():
            _move(aside / name, path)
        if not path.exists() or path.read_bytes() != text.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(text.encode())


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def _run(arguments: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line), lines[0] if lines else "no diagnostic")
        raise CandidateError(f"the compiler refused the sources (status {done.returncode}): {first}")
