"""Networks over an input that moves on: each result by new rows is that of the whole network, bit by bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import unicorn
from bounded_firmware import (
    CPU_MODELS,
    DSP_CORES,
    FLASH,
    FLASH_BYTES,
    IT_BITS,
    RAM,
    RAM_BYTES,
    RETURN,
    STACK_BYTES,
)
from flatbuffer_models import ModelBuilder, small_conv_model
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_firmware_ops import limits
from unicorn import arm_const as arm

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.firmware.emit import generate
from rena_kws.firmware.toolchain import Target, ZigToolchain, compile_host_library
from rena_kws.profilers.cortex_m.image import read_image
from rena_kws.spec.architecture import Architecture, Layer

Draw = Callable[[st.SearchStrategy[Any]], Any]

GLUE = """
#include <string.h>
#include "kws_model.h"
#include "kws_model_incremental.h"

void whole(const int8_t *input, int8_t *output, void *arena);
void by_new_rows(const int8_t *rows_of_input, int8_t *output, void *rows, void *arena);

void whole(const int8_t *input, int8_t *output, void *arena)
{
    memcpy(kws_model_input(arena), input, KWS_MODEL_INPUT_BYTES);
    kws_model_run(arena);
    memcpy(output, kws_model_output(arena), KWS_MODEL_OUTPUT_BYTES);
}

void by_new_rows(const int8_t *rows_of_input, int8_t *output, void *rows, void *arena)
{
    memcpy(kws_model_new_rows_input(rows), rows_of_input, KWS_MODEL_NEW_ROWS * ROW_BYTES);
    kws_model_run_incremental(rows, arena);
    memcpy(output, kws_model_incremental_output(arena), KWS_MODEL_OUTPUT_BYTES);
}
"""


class Chain:
    """Windows without padding along time, as a search for streams has them, and their head; all drawn."""

    def __init__(self, draw: Draw) -> None:
        self.draw, self.model = draw, ModelBuilder()
        self.random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
        self.stride = 1
        self.input = self.end = self._image(draw(st.integers(8, 40)), draw(st.integers(1, 8)), draw(st.integers(1, 3)))
        for _ in range(draw(st.integers(1, 6))):
            kind = draw(st.sampled_from(["CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"]))
            if kind.endswith("POOL_2D"):
                self._pool(kind)
            else:
                self._convolution(kind)

    def _image(self, height: int, width: int, channels: int) -> int:
        return self.model.tensor((1, height, width, channels), scale=0.05, zero_point=-128)

    def _window(self, kind: str) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """(kernel, stride, dilation) that fit the image at the end, but for the width of a convolution's."""
        _, height, width, _ = self.model.shape(self.end)
        pool = kind.endswith("POOL_2D")
        kernel = self.draw(st.integers(1, min(5, height))), self.draw(st.integers(1, min(4, width if pool else 4)))
        strides = [(1, 1), (1, 1), (1, 1), (2, 2)] + ([(2, 1), (3, 1)] if kind != "DEPTHWISE_CONV_2D" else [])
        stride = self.draw(st.sampled_from(strides))
        most = 1 if pool or stride != (1, 1) or 2 * kernel[0] - 1 > height else 2
        self.stride *= stride[0]
        return kernel, stride, (self.draw(st.integers(1, most)),) * 2

    def _convolution(self, kind: str) -> None:
        kernel, stride, dilation = self._window(kind)
        _, height, width, depth = self.model.shape(self.end)
        x, reach = self.end, [(kernel[i] - 1) * dilation[i] + 1 for i in (0, 1)]
        beside = max(0, (-(-width // stride[1]) - 1) * stride[1] + reach[1] - width)
        if beside:
            amounts = np.array([[0, 0], [0, 0], [beside // 2, beside - beside // 2], [0, 0]])
            padding = self.model.tensor((4, 2), data=amounts, dtype="int32")
            x = self._image(height, width + beside, depth)
            self.model.op("PAD", [self.end, padding], [x], "PadOptions")
        depthwise = kind == "DEPTHWISE_CONV_2D"
        channels = depth if depthwise else self.draw(st.sampled_from([1, 3, 4, 8, 12]))
        shape, axis = ((1, *kernel, depth), 3) if depthwise else ((channels, *kernel, depth), 0)
        data = self.random.integers(-127, 128, shape)
        weights = self.model.tensor(shape, scale=[0.01] * channels, axis=axis, data=data)
        self.end = self._image((height - reach[0]) // stride[0] + 1, -(-width // stride[1]), channels)
        options = {"padding": 1, "strideH": stride[0], "strideW": stride[1], "fusedActivationFunction": 1}
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
        table, more = ("DepthwiseConv2DOptions", {"depthMultiplier": 1}) if depthwise else ("Conv2DOptions", {})
        self.model.op(kind, [x, weights], [self.end], table, **options, **more)

    def _pool(self, kind: str) -> None:
        kernel, stride, _ = self._window(kind)
        x, (_, height, width, depth) = self.end, self.model.shape(self.end)
        output = [(size - kernel[i]) // stride[i] + 1 for i, size in enumerate((height, width))]
        self.end = self._image(*output, depth)
        options = {"padding": 1, "strideH": stride[0], "strideW": stride[1]}
        options |= {"filterHeight": kernel[0], "filterWidth": kernel[1]}
        self.model.op(kind, [x], [self.end], "Pool2DOptions", **options)

    def build(self) -> ConvertedModel:
        """With the head: mean, dense layer, softmax."""
        channels, model = self.model.shape(self.end)[3], self.model
        mean = model.tensor((1, channels), scale=0.02, zero_point=-128)
        axes = model.tensor((2,), data=np.array([1, 2]), dtype="int32")
        model.op("MEAN", [self.end, axes], [mean], "ReducerOptions", keepDims=False)
        weights = model.tensor((4, channels), scale=0.02, data=self.random.integers(-127, 128, (4, channels)))
        logits = model.tensor((1, 4), scale=0.1)
        model.op("FULLY_CONNECTED", [mean, weights, -1], [logits], "FullyConnectedOptions")
        shares = model.tensor((1, 4), scale=1 / 256, zero_point=-128)
        model.op("SOFTMAX", [logits], [shares], "SoftmaxOptions", beta=1.0)
        return ConvertedModel("tflite", model.build([self.input], [shares]))


class Moving:
    """A firmware on this computer, both ways. Whatever lies in the arena before a result must not matter."""

    def __init__(self, firmware: Firmware) -> None:
        assert firmware.incremental is not None
        self.port, self.run = firmware.inputs[0], firmware.incremental
        self.row_bytes = self.port.size_bytes // self.port.shape[1]
        glue = GLUE.replace("ROW_BYTES", str(self.row_bytes))
        self.library = ctypes.CDLL(str(compile_host_library({**firmware.sources, "glue.c": glue})))
        self.classes = firmware.outputs[0].size_bytes
        self.random = np.random.default_rng(0)
        self.whole_arena, self.arena, self.rows = (
            Guarded(size) for size in (firmware.arena_bytes, self.run.arena_bytes, self.run.rows_bytes)
        )
        self.rows.fill(0)

    def whole(self, window: NDArray[np.int8]) -> list[int]:
        return self._called("whole", window, self.whole_arena)

    def by_new_rows(self, rows: NDArray[np.int8]) -> list[int]:
        return self._called("by_new_rows", rows, self.rows, self.arena)

    def _called(self, function: str, values: NDArray[np.int8], *memory: Guarded) -> list[int]:
        out = np.zeros(self.classes, np.int8)
        memory[-1].fill(int(self.random.integers(-128, 128)))
        given = np.ascontiguousarray(values)
        addresses = (given.ctypes.data, out.ctypes.data, *(part.address for part in memory))
        self.library[function](*map(ctypes.c_void_p, addresses))
        for part in memory:
            part.check()
        return out.tolist()


class Guarded:
    """Aligned bytes, and some around them that nobody may write."""

    def __init__(self, size: int) -> None:
        self.memory = np.full(size + 160, 77, np.int8)
        start = 64 + -(self.memory.ctypes.data + 64) % 16
        self.inside = slice(start, start + size)
        self.address = self.memory.ctypes.data + start

    def fill(self, value: int) -> None:
        self.memory[self.inside] = value

    def check(self) -> None:
        outside = np.delete(self.memory, self.inside)
        assert (outside == 77).all(), "it wrote outside its memory"


def check_moving(firmware: Firmware, results: int = 6) -> None:
    """A network over random frames, from the beginning on: compared once all rows of its input have been."""
    moving, rng = Moving(firmware), np.random.default_rng(1)
    height, new = moving.port.shape[1], moving.run.new_rows
    rows = rng.integers(-128, 128, (height + new * results, moving.row_bytes), np.int8)
    before = -height % new  # rows of the first step that never were
    padded = np.concatenate([np.zeros((before, moving.row_bytes), np.int8), rows])
    compared = 0
    for end in range(new, len(padded) + 1, new):
        found = moving.by_new_rows(padded[end - new : end])
        if end - before >= height:
            assert found == moving.whole(rows[end - before - height : end - before])
            compared += 1
    assert compared == results + 1


@limits(8)
@given(data=st.data())
def test_results_by_new_rows_are_those_of_the_whole(data: st.DataObject) -> None:
    check_chain(data)


@pytest.mark.slow
@limits(300)
@given(data=st.data())
def test_results_by_new_rows_are_those_of_the_whole_for_many(data: st.DataObject) -> None:
    check_chain(data)


def check_chain(data: st.DataObject) -> None:
    chain = Chain(data.draw)
    height = chain.model.shape(chain.end)[1]
    new_rows = chain.stride * data.draw(st.integers(1, max(1, height - 1)))
    optimize = data.draw(st.sampled_from(["speed", "balanced", "size"]))
    firmware = generate(chain.build(), optimize=optimize, new_rows=new_rows)
    if firmware.incremental is None:
        assert height == 1, firmware.whole_because
    else:
        check_moving(firmware)


def two_convolutions(padding: int, stride: int, softmax: bool = True) -> ConvertedModel:
    """Over 20 × 4; `padding` (0 is SAME) and `stride` are the second's."""
    model = ModelBuilder()
    weights = model.tensor((4, 3, 1, 4), scale=[0.01] * 4, data=np.ones((4, 3, 1, 4), int))
    x = model.tensor((1, 20, 4, 4), scale=0.05)
    y = model.tensor((1, 18, 4, 4), scale=0.05)
    model.op("CONV_2D", [x, weights, -1], [y], "Conv2DOptions", padding=1, strideH=1, strideW=1)
    height = -(-18 // stride) if padding == 0 else (18 - 3) // stride + 1
    z = model.tensor((1, height, 4, 4), scale=1 / 256, zero_point=-128)
    model.op("CONV_2D", [y, weights, -1], [z], "Conv2DOptions", padding=padding, strideH=stride, strideW=1)
    out = model.tensor((1, height, 4, 4), scale=1 / 256, zero_point=-128)
    if softmax:
        model.op("SOFTMAX", [z], [out], "SoftmaxOptions", beta=1.0)
    return ConvertedModel("tflite", model.build([x], [out if softmax else z]))


def test_what_cannot_go_by_new_rows_runs_whole_on_the_last_image() -> None:
    """Two strides of which the second does not divide what is new, and a padding along time in the middle."""
    for model in (two_convolutions(padding=1, stride=2), two_convolutions(padding=0, stride=1)):
        firmware = generate(model, optimize="speed", new_rows=3)
        assert firmware.incremental is not None and firmware.sources["kws_model.c"].count("static void new_rows_") == 1
        check_moving(firmware, results=4)


def test_a_network_that_cannot_says_why() -> None:
    assert generate(two_convolutions(padding=1, stride=1)).incremental is None
    assert "moves on by 21" in generate(two_convolutions(padding=1, stride=1), new_rows=21).whole_because
    assert "pads along time" in generate(small_conv_model(), new_rows=2).whole_because
    firmware = generate(two_convolutions(padding=1, stride=1, softmax=False), new_rows=2)
    assert firmware.incremental is None and "nothing follows" in firmware.whole_because


def test_constants_are_there_once() -> None:
    model = two_convolutions(padding=1, stride=1)
    whole, both = (generate(model, new_rows=new_rows).sources["kws_model.c"] for new_rows in (None, 2))
    assert both.startswith(whole.partition('#include "kws_model_')[0].rstrip())
    assert whole.count("] = {\n    ") > 3

    def arrays(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("KWS_MODEL_ALIGNED static const int8_t")]

    assert arrays(both) == arrays(whole) != []


def test_a_converted_network_of_every_kind_of_window_goes_by_new_rows() -> None:
    """Through the real converter, which pads along frequency by operators of their own."""
    keras, converter = pytest.importorskip("keras"), pytest.importorskip("rena_kws.convert.tflite")
    from rena_kws.model.keras_model import build, settle

    layers = (
        Layer("conv2d", (0,), kernel_h=7, kernel_w=3, stride=(2, 2), channels=8),
        Layer("ds_conv2d", (1,), kernel_h=3, kernel_w=3, channels=12),
        Layer("dilated_conv2d", (2,), kernel_h=3, kernel_w=3, dilation=2, channels=8),
        Layer("max_pool", (3,), kernel_h=2, kernel_w=2, stride=(2, 1)),
        Layer("avg_pool", (4,), kernel_h=3, kernel_w=1, stride=(1, 1)),
    )
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(0, 1, (32, 49, 10, 1)).astype(np.float32)
    built = build(Architecture(4, layers, time_padding="valid"))
    settle(built, x)
    model = converter.Int8TfliteConverter().convert(built, x)
    firmware = generate(model, new_rows=4)
    text = firmware.sources["kws_model.c"]
    assert text.count("static void new_rows_") == 6 and "kws_model_pad" not in text
    check_moving(firmware, results=12)


ARENA, ROWS, FRAMES, RESULT = (RAM + part for part in (0, 0x10000, 0x20000, 0x28000))


class Chip:
    """The same on an emulated core. Writes outside of rows, arena and stack are reported, and so are unaligned accesses
    on a core that has none."""

    def __init__(self, firmware: Firmware, core: str) -> None:
        assert firmware.incremental is not None
        self.run, port = firmware.incremental, firmware.inputs[0]
        self.row_bytes, self.classes = port.size_bytes // port.shape[1], firmware.outputs[0].size_bytes
        files = {**firmware.sources, "glue.c": GLUE.replace("ROW_BYTES", str(self.row_bytes))}
        target = Target(core, core in DSP_CORES, FLASH, RAM)
        image = read_image(ZigToolchain().compile(files, target, entry="by_new_rows"))
        self.entry, self.aligned = image.named("by_new_rows").start, core == "cortex-m0plus"
        self.uc: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)  # type: ignore[no-untyped-call]
        self.uc.ctl_set_cpu_model(CPU_MODELS[core])
        for start, size in ((FLASH, FLASH_BYTES), (RAM, RAM_BYTES), (RETURN, 4096)):
            self.uc.mem_map(start, size)
        for segment in image.load:
            self.uc.mem_write(segment.address, segment.data)
        self.complaints: list[str] = []
        self.uc.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, self._on_access)

    def _on_access(self, uc: Any, access: int, address: int, size: int, _value: int, _user: object) -> None:
        state = uc.reg_read(arm.UC_ARM_REG_XPSR)
        if state & IT_BITS:  # see bounded_firmware.py
            uc.reg_write(arm.UC_ARM_REG_XPSR, state & ~IT_BITS)
        if self.aligned and address % size:
            self.complaints.append(f"{size} bytes at {address:#x} are not aligned")
        places = ((ARENA, self.run.arena_bytes), (ROWS, self.run.rows_bytes), (RESULT, self.classes))
        places = (*places, (RAM + RAM_BYTES - STACK_BYTES, STACK_BYTES))
        if access == unicorn.UC_MEM_WRITE and not any(at <= address <= at + n - size for at, n in places):
            self.complaints.append(f"{size} bytes are written at {address:#x}")

    def by_new_rows(self, rows: NDArray[np.int8]) -> list[int]:
        uc = self.uc
        uc.mem_write(FRAMES, np.ascontiguousarray(rows).tobytes())
        for number, value in enumerate((FRAMES, RESULT, ROWS, ARENA)):
            uc.reg_write(arm.UC_ARM_REG_R0 + number, value)
        uc.reg_write(arm.UC_ARM_REG_SP, RAM + RAM_BYTES)
        uc.reg_write(arm.UC_ARM_REG_LR, RETURN | 1)
        uc.emu_start(self.entry | 1, RETURN)
        assert not self.complaints, "; ".join(self.complaints[:3])
        return np.frombuffer(bytes(uc.mem_read(RESULT, self.classes)), np.int8).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
@limits(40)
@given(data=st.data())
def test_machine_code_does_the_same_and_stays_in_its_memory(core: str, data: st.DataObject) -> None:
    chain = Chain(data.draw)
    height = chain.model.shape(chain.end)[1]
    firmware = generate(chain.build(), new_rows=chain.stride * data.draw(st.integers(1, max(1, height - 1))))
    if firmware.incremental is not None:
        host, chip, rng = Moving(firmware), Chip(firmware, core), np.random.default_rng(2)
        for _ in range(4):
            rows = rng.integers(-128, 128, (host.run.new_rows, host.row_bytes), np.int8)
            assert chip.by_new_rows(rows) == host.by_new_rows(rows)
