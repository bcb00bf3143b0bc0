"""The harness: the protocol's replies letter by letter, whatever bytes come; its number printing beside Python's."""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flatbuffer_models import ModelBuilder, small_conv_model
from hypothesis import given, settings
from hypothesis import strategies as st

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.convert.evaluate_int8 import dequantise
from rena_kws.errors import ModelError, RenaError
from rena_kws.firmware.emit import generate
from rena_kws.firmware.emit_harness import harness_sources
from rena_kws.firmware.toolchain import compile_host_library
from rena_kws.profilers.serial_board.protocol import BYTES_A_COMMAND
from rena_kws.testing.host_board import HostBoard

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
INPUT = bytes(range(48))
BOOT = "m-timestamp-mode-performance\r\nm-lap-us-0\r\nm-init-done\r\nm-ready\r\n"


@pytest.fixture(scope="module")
def model() -> ConvertedModel:
    return small_conv_model()


@pytest.fixture(scope="module")
def board(model: ConvertedModel) -> HostBoard:
    ticks = iter(range(0, 1 << 62, 500))
    return HostBoard(model, lambda: next(ticks))


@pytest.fixture
def ask(board: HostBoard) -> Callable[[str], list[str]]:
    """The lines of a fresh board's reply to commands, `m-ready` included."""
    assert board.start().decode() == BOOT

    def exchange(text: str) -> list[str]:
        reply = board.receive(text.encode("latin-1")).decode()
        assert reply == "" or reply.endswith("m-ready\r\n")
        assert reply.count("\n") == reply.count("\r\n")
        return reply.split("\r\n")[:-1]

    return exchange


REPLIES = {
    "name%": ["m-name-dut-[rena-kws]"],
    "  name  %": ["m-name-dut-[rena-kws]"],
    "name\r\n%": ["m-name-dut-[rena-kws]"],
    "profile%": ["m-profile-[ULPMark for tinyML Firmware V0.0.1]", "m-model-[kws01]"],
    "db load 48%": ["m-[Expecting 48 bytes]"],
    "db load 1%": ["m-[Expecting 1 bytes]"],
    "db load%": ["e-[Command 'db load' needs the number of bytes, >0]"],
    "db load 0%": ["e-[Command 'db load' needs the number of bytes, >0]"],
    "db load -1%": ["e-[Command 'db load' needs the number of bytes, >0]"],
    "db load 49%": ["e-[The buffer holds at most 48 bytes]"],
    "db load 99999999999%": ["e-[Command 'db load' needs the number of bytes, >0]"],
    "db%": ["e-[Command 'db' requires a subcommand]"],
    "db 00%": ["e-[More bytes than 'db load' announced]"],
    "db 0%": ["e-[Insufficient number of hex digits]"],
    "db 0g%": ["e-[Invalid hex digit]"],
    "infer 0%": ["e-[Inference iterations must be >0]"],
    "infer x%": ["e-[Inference iterations must be >0]"],
    "infer 1 -1%": ["e-[Inference warmup must be >=0]"],
    "%": ["e-[Unknown command: ]"],
    "names%": ["e-[Unknown command: names]"],
    "n\xffme\x01 x%": ["e-[Unknown command: n?me?]"],
    "nam": [],
}


@pytest.mark.parametrize("command", REPLIES)
def test_a_reply_is_as_the_protocol_says(command: str, ask: Callable[[str], list[str]]) -> None:
    assert ask(command) == [*REPLIES[command], *(["m-ready"] if command.endswith("%") else [])]


def test_an_input_is_loaded_and_shown(ask: Callable[[str], list[str]]) -> None:
    assert ask("db load 48%") == ["m-[Expecting 48 bytes]", "m-ready"]
    assert ask(f"db {INPUT[:BYTES_A_COMMAND].hex()}%") == ["m-ready"]
    assert ask(f"db {INPUT[BYTES_A_COMMAND:].hex().upper()}%") == ["m-load-done", "m-ready"]
    assert ask("db print%")[:2] == ["m-buffer-00-01-02-03-04-05-06-07", "m-buffer-08-09-0a-0b-0c-0d-0e-0f"]
    assert ask("db 00%") == ["e-[More bytes than 'db load' announced]", "m-ready"]


@pytest.mark.parametrize(("command", "runs", "warm_up"), [("infer%", 1, 10), ("infer 5%", 5, 10), ("infer 3 0%", 3, 0)])
def test_an_inference_is_timed_and_told(
    command: str, runs: int, warm_up: int, ask: Callable[[str], list[str]], model: ConvertedModel
) -> None:
    """Every run sees the input, though a run may overwrite it: the results do not depend on how many there are."""
    ask("db load 48%")
    ask(f"db {INPUT[:31].hex()}%db {INPUT[31:].hex()}%")
    lines = ask(command)
    start_us = int(lines[3].removeprefix("m-lap-us-"))
    outputs = api.profile(model, "cortex-m4", np.frombuffer(INPUT, np.int8).reshape(1, 8, 6, 1)).outputs
    port = generate(model).outputs[0]
    printed = ",".join(f"{value:.3f}" for value in dequantise(outputs, port.scale, port.zero_point).ravel())
    assert lines == [
        f"m-warmup-start-{warm_up}", "m-warmup-done", f"m-infer-start-{runs}", f"m-lap-us-{start_us}",
        f"m-lap-us-{start_us + 500}", "m-infer-done", f"m-results-[{printed}]", "m-ready",
    ]  # fmt: skip
    assert ask("results%") == [f"m-results-[{printed}]", "m-ready"]


def test_the_model_is_told_apart(ask: Callable[[str], list[str]], model: ConvertedModel) -> None:
    assert f"m-sha256-[{model.sha256}]" in ask("help%")


def test_a_command_of_more_than_eighty_characters_is_cut(ask: Callable[[str], list[str]]) -> None:
    assert ask("a" * 1000 + "%") == [f"e-[Unknown command: {'a' * 80}]", "m-ready"]
    assert ask("a" * 80 + "%") == [f"e-[Unknown command: {'a' * 80}]", "m-ready"]
    assert ask(f"db load 31%db {'00' * 31}%")[-2:] == ["m-load-done", "m-ready"]


WORDS = ["db ", "load ", "48", "1 ", "%", "print", "results", "help", "ff", " ", "\xff", "x" * 90]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS)))
def test_whatever_came_before_the_board_still_answers(board: HostBoard, words: list[str]) -> None:
    board.receive("".join(words).encode("latin-1"))
    board.receive(b"%")
    assert board.receive(b"name%") == b"m-name-dut-[rena-kws]\r\nm-ready\r\n"


@pytest.fixture(scope="module")
def thousandths(model: ConvertedModel) -> Callable[[float], str]:
    """The harness's own `put_thousandths`, as a function of Python."""
    firmware = generate(model, "kws")
    sources = {**firmware.sources, **harness_sources(firmware, model)}
    del sources["kws_board.c"]
    harness = sources.pop("kws_harness.c")
    sources["print.c"] = harness + (
        "static char *at;\n"
        "void kws_putchar(char byte) { *at++ = byte; }\n"
        "int kws_getchar(void) { return -1; }\n"
        "uint64_t kws_timestamp_us(void) { return 0; }\n"
        "void print(float value, char *to) { at = to; put_thousandths(value); *at = 0; }\n"
    )
    library = ctypes.CDLL(str(compile_host_library(sources, libc=False)))

    def print_float(value: float) -> str:
        buffer = ctypes.create_string_buffer(64)
        library.print(ctypes.c_float(value), buffer)
        return buffer.value.decode()

    return print_float


@settings(max_examples=2000)
@given(st.floats(width=32, min_value=-(2.0**40), max_value=2.0**40))
def test_numbers_are_printed_as_printf_does(thousandths: Callable[[float], str], value: float) -> None:
    assert thousandths(value) == f"{value:.3f}"


def test_ties_and_the_smallest_numbers(thousandths: Callable[[float], str]) -> None:
    values = [n / 16 for n in range(-64, 64)] + [n / 2000 for n in range(-40, 40)] + [0.0, -0.0, 1e-45, 2.0**53 / 1000]
    for value in values:
        (as_float,) = struct.unpack("f", struct.pack("f", value))
        assert thousandths(value) == f"{as_float:.3f}"


@pytest.mark.parametrize("name", ["kws_model", "bell"])
def test_export_adds_the_harness_when_asked(
    name: str, model: ConvertedModel, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    folder = api.export(model, "c", tmp_path / "board", name, harness=True)
    flags = f"CFLAGS=-O1 -g {' '.join(STRICT)} -fsanitize=address,undefined -fno-sanitize-recover=all"
    built = subprocess.run(
        [tool("make"), "-C", str(folder), "board", "test", f"CC={tool('gcc')}", flags], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    noise = np.random.default_rng(0).choice(np.frombuffer(b"%db load0 infer1f\xff\n ", np.uint8), 20_000).tobytes()
    script = b"name%db load 48%" + b"x" * 300 + b"%infer 2 1%" + noise.replace(b"infer", b"") + b"%results%"
    ran = subprocess.run([folder / "board_host"], input=script, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    replies = ran.stdout.decode()
    assert replies.startswith(BOOT + "m-name-dut-[rena-kws]\r\nm-ready\r\n")
    assert re.search(r"m-results-\[[0-9.,-]+\]\r\nm-ready\r\n$", replies)
    plain = api.export(model, "c", tmp_path / "plain", name)
    extra = {f"{name}_harness.c", f"{name}_harness.h", f"{name}_board.c"}
    assert {path.name for path in folder.iterdir()} - extra >= {path.name for path in plain.iterdir()}
    assert not extra & {path.name for path in plain.iterdir()}


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m33"])
def test_the_cross_compiler_has_nothing_to_say(
    core: str, model: ConvertedModel, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    firmware = generate(model, "bell")
    for name, text in {**firmware.sources, **harness_sources(firmware, model)}.items():
        (tmp_path / name).write_text(text)
    compiler = [tool("arm-none-eabi-gcc"), f"-mcpu={core}", "-mthumb", "-O2", *STRICT, "-c"]
    done = subprocess.run([*compiler, "bell_harness.c", "bell_board.c"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_harness_is_for_c_and_one_input(model: ConvertedModel, tmp_path: Path) -> None:
    with pytest.raises(RenaError, match="goes with the formats c, arduino and zephyr"):
        api.export(model, "tflite", tmp_path / "x", harness=True)
    builder = ModelBuilder()
    a, b, c = (builder.tensor((1, 4), scale=0.1) for _ in range(3))
    builder.op("ADD", [a, b], [c], "AddOptions")
    two = ConvertedModel("tflite", builder.build([a, b], [c]))
    with pytest.raises(ModelError, match="one input and one output; the network has 2 and 1"):
        harness_sources(generate(two), two)
