"""The toolchains: real compilers, the same rules for each, a cache that is safe to share."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rena_kws.errors import CandidateError, UnavailableError
from rena_kws.firmware.toolchain import (
    GccToolchain,
    Target,
    Toolchain,
    ZigToolchain,
    compile_host_library,
)
from rena_kws.profilers.cortex_m.image import read_image

SOURCES = {
    "kernel.h": "#include <stdint.h>\nint32_t twice(int32_t x);\n",
    "kernel.c": '#include "kernel.h"\nint32_t twice(int32_t x) { return 2 * x; }\n',
    "run.c": '#include <string.h>\n#include "kernel.h"\n'
    "const char unused[5000] = {1};\n"
    "void kws_run(void *arena) { int32_t x; memcpy(&x, arena, 4); x = twice(x); memcpy(arena, &x, 4); }\n",
}


@pytest.fixture(params=[ZigToolchain, GccToolchain])
def toolchain(request: pytest.FixtureRequest, tool: Callable[[str], str]) -> Toolchain:
    if request.param is GccToolchain:
        tool("arm-none-eabi-gcc")
    found = request.param()
    assert isinstance(found, Toolchain)
    return found


def test_an_image_has_the_entry_and_nothing_unreachable(toolchain: Toolchain) -> None:
    target = Target("cortex-m4", dsp=True, flash_origin=0x00010000, ram_origin=0x20001000)
    image = read_image(toolchain.compile(SOURCES, target, entry="kws_run"))
    run = image.function("kws_run")
    assert run is not None and 0x00010000 <= run.start < 0x00010200
    assert image.flash_bytes < 200 and image.ram_bytes == 0


SLOW = [pytest.param(core, marks=pytest.mark.slow) for core in ("cortex-m33", "cortex-m7")]


@pytest.mark.parametrize("core", ["cortex-m4", *SLOW])
def test_floats_go_through_the_fpu_where_there_is_one(toolchain: Toolchain, core: str) -> None:
    sources = {"a.c": "float kws_run(float a, float b) { return a * b; }\n"}
    sizes = {}
    for fpu in (False, True):
        image = read_image(toolchain.compile(sources, Target(core, fpu=fpu), entry="kws_run"))
        sizes[fpu] = image.flash_bytes
    assert sizes[True] <= 12 < sizes[False]  # one instruction, or the library's multiplication


def test_small_copies_are_expanded_in_place(toolchain: Toolchain) -> None:
    image = read_image(toolchain.compile(SOURCES, Target("cortex-m4"), entry="kws_run"))
    assert not [function for function in image.functions if "memcpy" in function.name]


def test_what_is_refused_is_said_on_one_line(toolchain: Toolchain) -> None:
    with pytest.raises(CandidateError, match="undeclared") as caught:
        toolchain.compile({"a.c": "int x(void) { return y; }"}, Target("cortex-m4"), entry="x")
    assert "\n" not in str(caught.value)


def test_a_compilation_is_kept_by_what_shapes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path))  # the common one may hold what a killed process left
    zig = ZigToolchain()
    first = zig.compile(SOURCES, Target("cortex-m4"), entry="kws_run")
    inode = first.stat().st_ino
    assert zig.compile(dict(SOURCES), Target("cortex-m4"), entry="kws_run") == first
    assert first.stat().st_ino == inode and first.is_relative_to(tmp_path)
    assert zig.compile(SOURCES, Target("cortex-m4"), entry="kws_run", optimize="size") != first
    assert zig.compile({**SOURCES, "x.h": ""}, Target("cortex-m4"), entry="kws_run") != first
    assert [path.suffix for path in first.parent.iterdir()] == [".elf"] * 3  # nothing half-made beside them


def test_what_one_compilation_leaves_does_not_reach_the_next(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next is made in the same folder, where the compiler finds its objects again: same bytes as on its own."""

    def image(cache: str, text: str) -> bytes:
        monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path / cache))
        sources = {**SOURCES, "kernel.c": SOURCES["kernel.c"].replace("2 * x", text)}
        return toolchain.compile(sources, Target("cortex-m4"), entry="kws_run").read_bytes()

    texts = ("2 * x", "3 * x", "2 * x + 1", "3 * x")
    assert [image("shared", text) for text in texts] == [image(f"own {n}", text) for n, text in enumerate(texts)]
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path / "shared"))
    with pytest.raises(CandidateError, match=r"kernel\.h"):
        toolchain.compile({"run.c": SOURCES["run.c"]}, Target("cortex-m4"), entry="kws_run")


def test_parallel_compilations_of_one_thing_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path))
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(ZigToolchain().compile, SOURCES, Target("cortex-m4"), entry="kws_run") for _ in range(3)]
    assert len({job.result().read_bytes() for job in jobs}) == 1


def test_a_host_library_computes() -> None:
    library = ctypes.CDLL(str(compile_host_library({"twice.c": "int twice(int x) { return 2 * x; }"}, libc=False)))
    assert library.twice(21) == 42


def test_a_missing_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match="arm-none-eabi-gcc is not on PATH"):
        GccToolchain().compile(SOURCES, Target("cortex-m4"), entry="kws_run")


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UnavailableError, match="RENA_KWS_CACHE"):
        ZigToolchain().compile(SOURCES, Target("cortex-m4"), entry="kws_run")
