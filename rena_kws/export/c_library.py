"""What every bundle of C holds, whatever its layout: the sources, what proves them on a computer, what they cost.

The sources are those that the profiler compiles, byte for byte. A layout (`c_bundle`, `arduino_library`,
`zephyr_module`) says where they lie and adds what its build system and its examples need.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib import resources

from rena_kws.artifacts import ConvertedModel, Firmware, Measurement
from rena_kws.devices import catalogue
from rena_kws.errors import CandidateError, ModelError
from rena_kws.export.base import FirmwareOptions, merged, refuse_word, require_format
from rena_kws.export.c_check import check_program, check_vectors, noise_inputs
from rena_kws.export.c_front_end import FrontEndFiles, front_end_files
from rena_kws.export.c_stream import StreamFiles, stream_files, stream_new_rows
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit import generate, renamed
from rena_kws.firmware.emit_harness import harness_sources
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize
from rena_kws.profilers.base import profiler_for
from rena_kws.profilers.cortex_m.stream_profile import StreamCost, profile_stream

DEVICE = "cortex-m4"
"""What the test vectors and the figures are computed on."""

LICENCE = """MIT No Attribution

Copyright the rena-kws authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

_STANDARD_HEADERS = (
    *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math"),
    *("setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time"),
    *("wchar", "wctype"),
)
_BUILD_NAMES = (
    *("test", "test_host", "test_vectors"),  # the bundle's own; and CMake's targets (its policy CMP0037)
    *("all", "all_build", "clean", "edit_cache", "help", "install", "package", "package_source", "preinstall"),
    *("rebuild_cache", "run_tests", "zero_check"),
)


@dataclass(frozen=True)
class CLibrary:
    """`measurement`: of the test vectors on `DEVICE`. `stream_cost`: None where a stream is none or does not fit there.
    `harness`: what makes a board with a UART a device to profile on, where that was asked for."""

    firmware: Firmware
    manifest: Manifest
    goal: Optimize
    front_end: FrontEndFiles
    stream: StreamFiles
    harness: Mapping[str, str]
    vectors: str
    measurement: Measurement
    stream_cost: StreamCost | None

    @property
    def name(self) -> str:
        return self.firmware.name

    @property
    def sources(self) -> Mapping[str, str]:
        """File name → text of all that is compiled or included, in one folder."""
        labels = {f"{self.name}_labels.h": _labels(self.name, self.manifest)}
        return merged(_compiled(self.firmware, self.front_end, self.stream), labels)

    @property
    def c_files(self) -> list[str]:
        return c_files(self.sources)

    @property
    def host_test(self) -> Mapping[str, str]:
        """The program that compares what the sources compute on a computer with what they did on the chip."""
        program = check_program(self.name, bool(self.front_end.sources), bool(self.stream.sources))
        return {"test.c": program, "test_vectors.h": self.vectors}

    @property
    def harness_without_main(self) -> Mapping[str, str]:
        return {file: text for file, text in self.harness.items() if file != f"{self.name}_board.c"}

    def sample(self, template: str) -> str:
        """An example program of the folder `samples`, for this library."""
        text = resources.files("rena_kws.export.samples").joinpath(template).read_text("utf-8")
        return renamed(text, self.name).replace("<kws.h>", f"<{self.name}.h>")


def c_library(model: ConvertedModel, manifest: Manifest, name: str, options: FirmwareOptions) -> CLibrary:
    """Generate and run it. Raises `ModelError` for what the generator does not support."""
    goal = options.optimize or DEFAULT_OPTIMIZE
    refuse_word(options)
    require_format(model, "tflite")
    refuse_headers(name, _STANDARD_HEADERS)
    if name.lower() in _BUILD_NAMES:
        raise ModelError(f"name {name!r}: the build of a bundle has it for something else; give another with --name")
    firmware = generate(model, name, goal, stream_new_rows(manifest, options.whole))
    front_end = front_end_files(manifest, firmware)
    stream = stream_files(manifest, firmware, front_end)
    harness = harness_sources(firmware, model) if options.harness else {}
    inputs = noise_inputs(firmware)
    device = catalogue.get(DEVICE)
    measurement = profiler_for(device).optimized_for(goal).profile(model, device, inputs)
    vectors = check_vectors(inputs, measurement.outputs) + front_end.vectors
    cost = _stream_cost(firmware, front_end, stream, goal)
    manifest = replace(manifest, stream=stream.as_json(DEVICE, cost))
    return CLibrary(firmware, manifest, goal, front_end, stream, harness, vectors, measurement, cost)


def c_files(files: Mapping[str, str]) -> list[str]:
    """What of some files is compiled, not included."""
    return sorted(file for file in files if file.endswith(".c"))


def refuse_headers(name: str, headers: Collection[str]) -> None:
    """Raise `ModelError` where NAME.h would be found instead of one of these headers, on any file system."""
    if name.lower() in headers:
        raise ModelError(f"name {name!r}: its header would be taken for <{name.lower()}.h>; give another with --name")


def _compiled(firmware: Firmware, front_end: FrontEndFiles, stream: StreamFiles) -> Mapping[str, str]:
    return merged(firmware.sources, front_end.sources, stream.sources)


def _stream_cost(
    firmware: Firmware, front_end: FrontEndFiles, stream: StreamFiles, goal: Optimize
) -> StreamCost | None:
    if not stream.sources or front_end.front_end is None:
        return None
    sources, device = _compiled(firmware, front_end, stream), catalogue.get(DEVICE)
    try:
        return profile_stream(sources, firmware, front_end.front_end, stream.decisions, device, optimize=goal)
    except CandidateError:
        return None


def _labels(name: str, manifest: Manifest) -> str:
    upper = name.upper()
    quoted = ", ".join('"' + label.replace("\\", "\\\\").replace('"', '\\"') + '"' for label in manifest.labels)
    lines = ["/* SPDX-License-Identifier: MIT-0", " *", " * The words behind the outputs, in their order.", " */"]
    lines += [f"#ifndef {upper}_LABELS_H", f"#define {upper}_LABELS_H", ""]
    if manifest.labels:
        lines += [f"#define {upper}_LABELS {{{quoted}}}", f"#define {upper}_LABEL_COUNT {len(manifest.labels)}"]
    else:
        lines += ["/* The model came without a manifest: its labels are unknown. */"]
    return "\n".join([*lines, "", "#endif", ""])
