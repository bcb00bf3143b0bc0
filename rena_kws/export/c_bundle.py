"""The C bundle: what a firmware engineer adds to a project. One folder, with a Makefile and CMake.

`make test` shows on the host, in one command, that the code does there what it did on the emulated chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.export.base import FirmwareOptions, merged, write_bundle
from rena_kws.export.c_check import makefile
from rena_kws.export.c_library import LICENCE, c_library
from rena_kws.export.c_readme import readme
from rena_kws.export.manifest import FILE_NAME, Manifest

_HOST_TEST = "`make test` (or `cmake -B build && cmake --build build && ctest --test-dir build`)"


def export_c(model: ConvertedModel, manifest: Manifest, folder: Path, name: str, options: FirmwareOptions) -> None:
    """Write the bundle; with a harness what a board needs to be profiled over a serial line lies in it too.

    Raises `ModelError` for what the generator does not support.
    """
    library = c_library(model, manifest, name, options)
    example = f"`{name}_example.c` shows a main program around a microphone's interrupt."
    examples = {f"{name}_example.c": library.sample("kws_example.c")} if library.stream.sources else {}
    build = {
        "Makefile": makefile(name, library.c_files) + (_makefile_board(name) if options.harness else ""),
        "CMakeLists.txt": _cmake(name, library.c_files),
        "README.md": readme(library, "", _HOST_TEST, example) + (_readme_board(name) if options.harness else ""),
        "LICENSE": LICENCE,
        FILE_NAME: library.manifest.as_text(),
    }
    write_bundle(folder, merged(library.sources, library.host_test, library.harness, examples, build))


def _makefile_board(name: str) -> str:
    return f"""
# The harness on this machine: it speaks the protocol on its standard streams.
board: {name}_board.o {name}_harness.o lib{name}.a
	$(CC) $(CFLAGS) -o board_host $^

{name}_board.o {name}_harness.o: $(wildcard *.h)

.PHONY: board
"""


def _cmake(name: str, c_files: Sequence[str]) -> str:
    files = "\n    ".join(c_files)
    return f"""cmake_minimum_required(VERSION 3.13)
project({name} C)

add_library({name} STATIC
    {files})
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
set_target_properties({name} PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    enable_testing()
    add_executable(test_host test.c)
    target_link_libraries(test_host {name})
    add_test(NAME test_vectors COMMAND test_host)
endif()
"""


def _readme_board(name: str) -> str:
    return f"""
## On a board

`{name}_harness.c` answers the serial protocol of MLPerf Tiny. Add it and the network to a project of your board, write
the three functions that `{name}_harness.h` asks for, and call `{name}_harness()`; `{name}_board.c` is an example. Then

    rena-kws profile MODEL.tflite --device serial:/dev/ttyACM0

measures on the board, and MLPerf Tiny's own runner can drive it. `make board` builds it for your computer.
"""
