"""A module for Zephyr: sources that an application has with `CONFIG_NAME=y`, applications in `samples/`, the host test.

The layout is that of Zephyr's external modules (docs.zephyrproject.org, "Modules"): `zephyr/module.yml` says where
CMakeLists.txt and Kconfig lie, which Zephyr's build reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import ModelError
from rena_kws.export.base import FirmwareOptions, merged, write_bundle
from rena_kws.export.c_check import makefile
from rena_kws.export.c_library import LICENCE, CLibrary, c_files, c_library
from rena_kws.export.c_readme import readme
from rena_kws.export.manifest import FILE_NAME, Manifest

_STACK_BYTES = 4096  # of main: several times what the network needs, since the console prints on it too
_LISTEN = ("AUDIO", "AUDIO_DMIC")
_BOARD = ("SERIAL", "CONSOLE", "UART_CONSOLE")


def export_zephyr(model: ConvertedModel, manifest: Manifest, folder: Path, name: str, options: FirmwareOptions) -> None:
    """Write the module. Raises `ModelError` as `export_c` does, and for a name that is a symbol of Zephyr's Kconfig."""
    if name.upper() in (*_LISTEN, *_BOARD):
        raise ModelError(f"name {name!r}: CONFIG_{name.upper()} is Zephyr's own; give another with --name")
    library = c_library(model, manifest, name, options)
    sources = {f"src/{file}": text for file, text in library.sources.items()}
    host_test = {f"tests/host/{file}": text for file, text in library.host_test.items()}
    build = {
        "tests/host/Makefile": makefile(name, library.c_files, "../../src"),
        "zephyr/module.yml": _module(library),
        "CMakeLists.txt": _cmake(library),
        "Kconfig": _kconfig(library),
        "README.md": _readme(library),
        "LICENSE": LICENCE,
        FILE_NAME: library.manifest.as_text(),
    }
    write_bundle(folder, merged(sources, host_test, _samples(library), build))


def _samples(library: CLibrary) -> Mapping[str, str]:
    """Path → text of the applications."""
    files: dict[str, str] = {}
    if library.stream.sources:
        main = {"main.c": library.sample("kws_zephyr_listen.c")}
        files |= _application(library, "listen", main, _settings(library, _LISTEN), 'dt_nodelabel_enabled("dmic_dev")')
    if library.harness:
        main = {"main.c": library.sample("kws_zephyr_board.c"), **library.harness_without_main}
        settings = _settings(library, _BOARD) + "CONFIG_BOOT_BANNER=n\n"
        files |= _application(library, "board", main, settings, 'dt_chosen_enabled("zephyr,console")')
    return files


def _settings(library: CLibrary, drivers: tuple[str, ...]) -> str:
    return "".join(f"CONFIG_{one}=y\n" for one in (library.name.upper(), *drivers)) + (
        f"CONFIG_MAIN_STACK_SIZE={_STACK_BYTES}\n"
    )


def _application(
    library: CLibrary, sample: str, sources: Mapping[str, str], settings: str, runs_where: str
) -> Mapping[str, str]:
    name = f"{library.name}_{sample}"
    cmake = f"""cmake_minimum_required(VERSION 3.20.0)

# The module that this application lies in.
get_filename_component(module ${{CMAKE_CURRENT_SOURCE_DIR}}/../.. ABSOLUTE)
list(APPEND ZEPHYR_EXTRA_MODULES ${{module}})
find_package(Zephyr REQUIRED HINTS $ENV{{ZEPHYR_BASE}})
project({name} LANGUAGES C)

target_sources(app PRIVATE {" ".join(f"src/{file}" for file in c_files(sources))})
"""
    test = f"""sample:
  name: {name}
tests:
  sample.{library.name}.{sample}:
    build_only: true
    filter: {runs_where}
"""
    folder = f"samples/{sample}"
    files = {f"{folder}/CMakeLists.txt": cmake, f"{folder}/prj.conf": settings, f"{folder}/sample.yaml": test}
    return files | {f"{folder}/src/{file}": text for file, text in sources.items()}


def _module(library: CLibrary) -> str:
    samples = "samples:\n  - samples\n" if library.stream.sources or library.harness else ""
    return f"name: {library.name}\nbuild:\n  cmake: .\n  kconfig: Kconfig\n{samples}"


def _cmake(library: CLibrary) -> str:
    files = "\n    ".join(f"src/{file}" for file in library.c_files)
    return f"""if(CONFIG_{library.name.upper()})
  zephyr_library()
  zephyr_library_sources(
    {files})
  zephyr_include_directories(src)
endif()
"""


def _kconfig(library: CLibrary) -> str:
    lines = (
        f"config {library.name.upper()}",
        f'\tbool "Keyword spotting with {library.name}"',
        "\thelp",
        "\t  An int8 network, with its front end and what listens to a stream",
        "\t  where it has them. All memory is the caller's.",
    )
    return "\n".join((*lines, ""))


def _readme(library: CLibrary) -> str:
    name, upper = library.name, library.name.upper()
    start = f"""
To add it to an application, tell its build where this folder lies, and set `CONFIG_{upper}=y` in `prj.conf`:

    west build -b BOARD APPLICATION -- -DZEPHYR_EXTRA_MODULES=/path/to/{name}

(the variable is a list, separated by `;`; a line `set(ZEPHYR_EXTRA_MODULES …)` before `find_package(Zephyr)` in the
application's CMakeLists.txt, or an entry in a west manifest, does as well). With `CONFIG_FPU=y`, where the core has
one, the front end computes in single precision.
"""
    example = """`samples/listen`
is an application around the DMIC API, for a board whose devicetree has the alias `dmic0` or the label `dmic_dev`, as
the overlays of Zephyr's own `samples/drivers/audio/dmic` give it:

    west build -b BOARD samples/listen"""
    board = """
## On a board

`samples/board` answers the serial protocol of MLPerf Tiny on the console's UART. Build and flash it, and

    rena-kws profile MODEL.tflite --device serial:/dev/ttyACM0

measures on the board, by a clock as fine as `CONFIG_SYS_CLOCK_TICKS_PER_SEC`.
"""
    return readme(library, start, "`make -C tests/host test`", example) + (board if library.harness else "")
