"""The generated C as a firmware engineer meets it: strict compilers, names, headers, two models in one image."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from flatbuffer_models import ModelBuilder
from host_firmware import STRICT_FLAGS

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import generate

Tool = Callable[[str], str]


def every_family(channels: int = 4) -> ConvertedModel:
    """A model that uses every kernel file, with two inputs and two outputs."""
    model = ModelBuilder()
    quantization = {"scale": 0.05, "zero_point": -3}
    x = model.tensor((1, 6, 6, channels), **quantization)
    second = model.tensor((1, 6, 6, channels), **quantization)
    values = np.random.default_rng(0).integers(-127, 128, (channels, 3, 3, channels))
    weights = model.tensor(values.shape, scale=[0.01] * channels, data=values)
    taps = model.tensor((1, 3, 3, channels), scale=[0.01] * channels, axis=3, data=values[:1])
    dense = model.tensor((5, 2 * channels), scale=0.01, data=np.ones((5, 2 * channels)))
    paddings = model.tensor((4, 2), dtype="int32", data=np.array([[0, 0], [1, 1], [1, 1], [0, 0]]))
    axes = model.tensor((2,), dtype="int32", data=np.array([1, 2]))

    def tensor(*shape: int) -> int:
        return model.tensor(shape, **quantization)

    same = {"padding": 0, "strideW": 1, "strideH": 1}
    image = (1, 6, 6, channels)
    sum_, convolved, filtered, clipped = (tensor(*image) for _ in range(4))
    padded, pooled, mean = tensor(1, 8, 8, channels), tensor(1, 4, 4, channels), tensor(1, channels)
    joined, logits = tensor(1, 2 * channels), tensor(1, 5)
    shares = model.tensor((1, 5), scale=1 / 256, zero_point=-128)
    model.op("ADD", [x, second], [sum_], "AddOptions")
    model.op("CONV_2D", [sum_, weights], [convolved], "Conv2DOptions", **same)
    model.op("DEPTHWISE_CONV_2D", [convolved, taps], [filtered], "DepthwiseConv2DOptions", depthMultiplier=1, **same)
    model.op("RELU", [filtered], [clipped])
    model.op("PAD", [clipped, paddings], [padded], "PadOptions")
    window = {"padding": 1, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    model.op("MAX_POOL_2D", [padded], [pooled], "Pool2DOptions", **window)
    model.op("MEAN", [pooled, axes], [mean], "ReducerOptions")
    model.op("CONCATENATION", [mean, mean], [joined], "ConcatenationOptions", axis=1)
    model.op("FULLY_CONNECTED", [joined, dense, -1], [logits], "FullyConnectedOptions")
    model.op("SOFTMAX", [logits], [shares], "SoftmaxOptions", beta=1.0)
    return ConvertedModel("tflite", model.build([x, second], [shares, mean]), "every family")


def write(firmware: Firmware, folder: Path) -> list[str]:
    """Writes the sources and returns the paths of the .c files."""
    for name, text in firmware.sources.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [str(folder / name) for name in firmware.sources if name.endswith(".c")]


ZIG = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl"]


@pytest.mark.parametrize(
    "compiler",
    [
        ["gcc"],
        ["clang"],
        ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"],
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"],
        pytest.param(ZIG, marks=pytest.mark.slow),
    ],
    ids=lambda command: " ".join(command[:2]) if command[0] != sys.executable else "zig",
)
@pytest.mark.parametrize("level", ["-O3", "-Os"])
def test_compiles_without_warning(compiler: Sequence[str], level: str, tool: Tool, tmp_path: Path) -> None:
    program = [tool(compiler[0]), *compiler[1:]] if compiler[0] != sys.executable else [*compiler]
    sources = write(generate(every_family()), tmp_path)
    command = [*program, *STRICT_FLAGS, "-Wshadow", level, "-c", *sources]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_header_is_enough_for_a_caller_in_c_and_cpp(tool: Tool, tmp_path: Path) -> None:
    """The accessors, constants and layers of the header, used by a program that is warned about nothing."""
    write(generate(every_family(), "net"), tmp_path)
    (tmp_path / "main.c").write_text(
        '#include "net.h"\n'
        "static unsigned char arena[NET_ARENA_BYTES] __attribute__((aligned(NET_ARENA_ALIGNMENT)));\n"
        "static const int shape[] = NET_OUTPUT_0_SHAPE;\n"
        "int main(void) {\n"
        "    for (int i = 0; i < NET_INPUT_0_BYTES; i++) net_input_0(arena)[i] = NET_INPUT_0_ZERO_POINT;\n"
        "    for (int i = 0; i < NET_INPUT_1_BYTES; i++) net_input_1(arena)[i] = NET_INPUT_1_ZERO_POINT;\n"
        "    net_run(arena);\n"
        "    float sum = 0;\n"
        "    for (int i = 0; i < NET_OUTPUT_0_BYTES; i++)\n"
        "        sum += NET_OUTPUT_0_SCALE * (float)(net_output_0(arena)[i] - NET_OUTPUT_0_ZERO_POINT);\n"
        "    (void)net_output_1(arena);\n"
        "    return shape[1] == 5 && sum > 0.95f && sum < 1.05f ? 0 : 1;\n"
        "}\n"
    )
    sources = sorted(str(path) for path in tmp_path.glob("*.c"))
    subprocess.run([tool("gcc"), *STRICT_FLAGS, "-o", "main", *sources], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "main")], check=True)
    program = [tool("g++"), "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++", "-"]
    subprocess.run(program, input='#include "net.h"\n', text=True, cwd=tmp_path, check=True)


def test_every_symbol_starts_with_the_name_and_no_state_is_kept(tool: Tool, tmp_path: Path) -> None:
    sources = write(generate(every_family(), "wake_word"), tmp_path)
    subprocess.run([tool("gcc"), "-std=c99", "-O2", "-fno-pie", "-c", *sources], cwd=tmp_path, check=True)
    listing = subprocess.run(["nm", *map(str, tmp_path.glob("*.o"))], capture_output=True, text=True, check=True).stdout
    symbols = re.findall(r"^[0-9a-f]+ (\w) (\S+)$", listing, re.MULTILINE)
    public = [name for kind, name in symbols if kind.isupper()]
    assert "wake_word_run" in public and "wake_word_layer_0" in public and "wake_word_dense" in public
    assert all(name.startswith("wake_word_") for name in public)
    assert {kind for kind, _ in symbols} <= set("Ttr"), "only code and constants"
    needed = set(re.findall(r"U (\S+)$", listing, re.MULTILINE)) - set(public)
    assert needed <= {"memcpy", "memset", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


def test_two_models_share_an_image(tool: Tool, tmp_path: Path) -> None:
    sources = write(generate(every_family(4), "first"), tmp_path) + write(generate(every_family(3), "second"), tmp_path)
    (tmp_path / "main.c").write_text(
        '#include "first.h"\n#include "second.h"\n'
        "static unsigned char arena[FIRST_ARENA_BYTES + SECOND_ARENA_BYTES];\n"
        "int main(void) { first_run(arena); second_run(arena); return 0; }\n"
    )
    command = [tool("gcc"), *STRICT_FLAGS, "-o", "main", str(tmp_path / "main.c"), *sources]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_same_model_and_name_give_the_same_bytes() -> None:
    assert generate(every_family()).sources == generate(every_family()).sources


def test_sources_are_renamed_licensed_and_include_only_what_a_bare_machine_has() -> None:
    firmware = generate(every_family(), "wake_word")
    texts = firmware.sources
    assert all(name.startswith("wake_word") for name in texts)
    assert all(text.startswith("/* SPDX-License-Identifier: MIT-0\n") for text in texts.values())
    assert not re.search(r"\bkws_|\bKWS_", "".join(texts.values()))
    includes = set(re.findall(r"#include [<\"]([^>\"]+)", "".join(texts.values())))
    known = {"stdint.h", "stddef.h", "string.h", "arm_acle.h"}  # the last only where a core has the instructions
    assert {name for name in includes if not name.startswith("wake_word")} <= known
    assert all(name in texts for name in includes if name.startswith("wake_word"))


def test_only_the_families_a_model_needs() -> None:
    model = ModelBuilder()
    x, y = (model.tensor((1, 4), scale=0.1) for _ in range(2))
    model.op("RELU", [x], [y])
    firmware = generate(ConvertedModel("tflite", model.build([x], [y])), "net")
    assert list(firmware.sources) == ["net.h", "net.c", "net_lookup.c", "net_lookup.h"]


def test_layers_and_ports_describe_the_model() -> None:
    firmware = generate(every_family(), "net")
    assert [layer.symbol for layer in firmware.layers] == [f"net_layer_{i}" for i in range(10)]
    assert firmware.layers[1].op == "CONV_2D" and firmware.layers[1].macs == 6 * 6 * 4 * 3 * 3 * 4
    assert [port.shape for port in firmware.inputs] == [(1, 6, 6, 4)] * 2
    assert firmware.outputs[0].scale == 1 / 256 and firmware.outputs[0].zero_point == -128
    assert all(port.offset + port.size_bytes <= firmware.arena_bytes for port in firmware.inputs + firmware.outputs)


def test_names_in_a_model_cannot_leave_their_comment(tool: Tool, tmp_path: Path) -> None:
    data = every_family().data.replace(b"tensor_10", b"*/ #error")
    assert data != every_family().data
    sources = write(generate(ConvertedModel("tflite", data)), tmp_path)
    subprocess.run([tool("gcc"), *STRICT_FLAGS, "-fsyntax-only", *sources], cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", ["", "1net", "net-1", "net kws", "né", "x" * 41, "_net", "net\n"])
def test_names_that_are_no_identifier(name: str) -> None:
    with pytest.raises(ModelError, match="identifier"):
        generate(every_family(), name)
