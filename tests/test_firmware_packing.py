"""Packed weights: nothing is lost, every core computes what TensorFlow Lite Micro does, and images get smaller."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bounded_firmware import CPU_MODELS, BoundedFirmware
from few_levels import LEVELS, with_levels
from flatbuffer_models import ModelBuilder
from host_firmware import STRICT_FLAGS, MicroInterpreter, assert_equal_to_micro
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from test_firmware_emit import write
from test_firmware_ops import (
    ACTIVATIONS,
    SCALES,
    ZERO_POINTS,
    Case,
    Draw,
    convolution,
    draw_weights,
    fully_connected,
    limits,
    output_scale,
    values,
)

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.devices import catalogue
from rena_kws.errors import RenaError
from rena_kws.firmware import fusion, weights
from rena_kws.firmware.emit import generate
from rena_kws.firmware.graph import read_graph
from rena_kws.firmware.packing import in_levels, in_steps, unit_elements
from rena_kws.firmware.toolchain import GccToolchain, Optimize, ZigToolchain
from rena_kws.profilers.cortex_m.profiler import CortexMProfiler

Random = np.random.Generator


def codes_times_steps(random: Random, shape: tuple[int, ...], low: int, high: int, largest: int) -> NDArray[np.int8]:
    """Codes from `low` to `high` times a step for each channel."""
    steps = random.integers(1, largest + 1, (shape[0], *[1] * (len(shape) - 1)))
    return (random.integers(low, high + 1, shape) * steps * random.choice([-1, 1])).astype(np.int8)


def rounded_four_bits(random: Random, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """What a converter makes of 4-bit weights: round(127 · k / the largest k), which differs by channel."""
    codes = random.integers(-7, 8, shape)
    largest = random.integers(4, 8, (shape[0], *[1] * (len(shape) - 1)))
    return np.round(127 * np.clip(codes, -largest, largest) / largest).astype(np.int8)


def arbitrary(random: Random, shape: tuple[int, ...], count: int) -> NDArray[np.int8]:
    """`count` levels, all of them in the first channel if it is long enough."""
    levels = random.choice(np.arange(-127, 128), count, replace=False)
    chosen = random.choice(levels, shape)
    first = chosen[0].reshape(-1)
    first[:count] = levels[: first.size]
    chosen[0] = first.reshape(chosen[0].shape)
    return chosen.astype(np.int8)


KINDS: dict[str, tuple[Callable[[Random, tuple[int, ...]], NDArray[np.int8]], str]] = {
    "ternary": (lambda random, shape: 127 * random.integers(-1, 2, shape).astype(np.int8), "2bit"),
    "binary": (lambda random, shape: 127 * random.choice(np.array([-1, 1], np.int8), shape), "2bit"),
    "two bits": (lambda random, shape: codes_times_steps(random, shape, -2, 1, 63), "2bit"),
    "four bits": (lambda random, shape: codes_times_steps(random, shape, -8, 7, 15), "4bit"),
    "four bits, rounded": (rounded_four_bits, "levels"),
    "16 levels": (lambda random, shape: arbitrary(random, shape, 16), "levels"),
    "17 levels": (lambda random, shape: arbitrary(random, shape, 17), ""),
}
"""Weights by their levels, and the encoding that they are stored in."""
PACKED_KINDS = ("ternary", "four bits", "four bits, rounded")


def few_levels(draw: Draw, shape: tuple[int, ...], low: int) -> NDArray[np.int8]:
    kind, _ = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    return kind(np.random.default_rng(draw(st.integers(0, 1 << 30))), shape)


@contextmanager
def packed_whatever_it_costs() -> Iterator[None]:
    """Small layers are packed too, as if kernels needed no code and weights no RAM."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "code_bytes", lambda *_: {})
        patch.setattr(fusion, "RAM_WEIGHT", 0)
        yield


def unpacked_steps(stored: NDArray[np.int8], channels: int, depth: int, bits: int) -> NDArray[np.int64]:
    """Decodes element by element, as kws_weights.h describes the order."""
    unit, units = unit_elements(f"{bits}bit"), -(-depth // unit_elements(f"{bits}bit"))
    pair_bytes = units * 4 + 4
    result = np.zeros((channels, depth), np.int64)
    for channel in range(channels):
        pair = stored[channel // 2 * pair_bytes :][:pair_bytes]
        step = int(pair[units * 4 + channel % 2])
        for element in range(depth):
            word = element % unit // 4 * 2 + element % 2
            byte = int(pair[element // unit * 4 + (element & 2) + channel % 2]) & 0xFF
            code = byte >> (8 - bits * (word + 1)) & ((1 << bits) - 1)
            result[channel, element] = step * (code - (code >> (bits - 1) << bits))
    return result


MATRICES = st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 7), st.integers(1, 40), st.integers(0, 1 << 30))


@given(MATRICES)
def test_steps_and_codes_lose_nothing(drawn: tuple[str, int, int, int]) -> None:
    name, channels, depth, seed = drawn
    kind, encoding = KINDS[name]
    matrix = kind(np.random.default_rng(seed), (channels, depth))
    for bits in (2, 4):
        stored = in_steps(matrix, bits)
        assert stored is not None or encoding not in ("2bit", f"{bits}bit")
        if stored is not None:
            np.testing.assert_array_equal(unpacked_steps(stored, channels, depth, bits), matrix)


@given(arrays.arrays(np.int8, (2, 3), elements=st.integers(-128, 127)))
def test_every_matrix_is_stored_exactly_or_not_at_all(matrix: NDArray[np.int8]) -> None:
    for bits in (2, 4):
        stored = in_steps(matrix, bits)
        if stored is not None:
            np.testing.assert_array_equal(unpacked_steps(stored, 2, 3, bits), matrix)


@given(MATRICES)
def test_levels_lose_nothing(drawn: tuple[str, int, int, int]) -> None:
    name, channels, depth, seed = drawn
    matrix = KINDS[name][0](np.random.default_rng(seed), (channels, depth))
    stored = in_levels(matrix)
    assert (stored is None) == (max(len(set(row)) for row in matrix.tolist()) > 16)
    if stored is None:
        return
    codes_bytes = -(-depth // 4) * 4
    tables = stored[-(-channels // 2) * (2 + codes_bytes) :].reshape(-1, 16)
    for channel in range(channels):
        pair = stored[channel // 2 * (2 + codes_bytes) :].view(np.uint8)
        for element in range(depth):
            byte = pair[2 + element // 4 * 4 + element % 2 * 2 + element % 4 // 2]
            level = byte >> 4 if channel % 2 else byte & 15
            assert tables[pair[channel % 2], level] == matrix[channel, element]


def pointwise(draw: Draw, model: ModelBuilder) -> tuple[list[int], int]:
    """A 1×1 convolution: rows by blocks of four and a rest, over its own input where the channels let it."""
    height, width, depth, channels = draw(
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 40), st.integers(1, 20))
    )
    scale = draw(SCALES)
    x = model.tensor((1, height, width, depth), scale=scale, zero_point=draw(ZERO_POINTS))
    kernel, scales, bias = draw_weights(draw, model, (channels, 1, 1, depth), 0, scale, few_levels)
    y_scale = output_scale(draw, scale * max(scales))
    y = model.tensor((1, height, width, channels), scale=y_scale, zero_point=draw(ZERO_POINTS))
    options = {"padding": 1, "strideH": 1, "strideW": 1, "fusedActivationFunction": draw(ACTIVATIONS)}
    model.op("CONV_2D", [x, kernel, bias], [y], "Conv2DOptions", **options)
    return [x], y


CASES: Sequence[Case] = (
    pointwise,
    functools.partial(convolution, levels=few_levels),
    functools.partial(fully_connected, levels=few_levels),
)


def draw_model(data: st.DataObject, count: int) -> tuple[ModelBuilder, list[int], list[int], list[NDArray[np.int8]]]:
    """(a model of several independent layers, its inputs, its outputs, values for the inputs)."""
    model = ModelBuilder()
    cases = [data.draw(st.sampled_from(CASES))(data.draw, model) for _ in range(count)]
    inputs = [x for xs, _ in cases for x in xs]
    return model, inputs, [y for _, y in cases], [values(data.draw, model.shape(x)) for x in inputs]


def check_on_host(data: st.DataObject, folder: Path, compiler: str) -> None:
    model, inputs, outputs, batch = draw_model(data, 6)
    with packed_whatever_it_costs():
        assert_equal_to_micro(model.build(inputs, outputs), folder, compiler, [batch], "size")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@limits(6)
@given(data=st.data())
def test_packed_layers_are_bit_exact(compiled: Path, tool: Callable[[str], str], data: st.DataObject) -> None:
    check_on_host(data, compiled, tool("gcc"))


@pytest.mark.slow
@limits(125)
@given(data=st.data())
def test_packed_layers_are_bit_exact_over_many(compiled: Path, tool: Callable[[str], str], data: st.DataObject) -> None:
    check_on_host(data, compiled, tool("gcc"))


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
@limits(25)
@given(data=st.data())
def test_packed_layers_on_a_core_over_many(core: str, data: st.DataObject) -> None:
    model, inputs, outputs, batch = draw_model(data, 6)
    image = model.build(inputs, outputs)
    with packed_whatever_it_costs():
        found = BoundedFirmware(image, core, "size")(batch)
    for index, (ours, theirs) in enumerate(zip(found, MicroInterpreter(image)(batch, len(outputs)), strict=True)):
        np.testing.assert_array_equal(ours, theirs, err_msg=f"output {index}")


def every_shape(kind: Callable[[Random, tuple[int, ...]], NDArray[np.int8]]) -> tuple[bytes, list[tuple[int, ...]]]:
    """Layers of one kind of weights that take every way through the kernels, and the shapes of their inputs.

    Blocks of four and single rows, in place and not, even and odd channels, depths of whole and broken units, folded
    and rounded outputs, receptive fields of whole words and of bytes.
    """
    random = np.random.default_rng(1)
    model = ModelBuilder()
    inputs, outputs = [], []
    shapes = [
        # input, kernel, channels, zero point of the output
        ((1, 3, 5, 20), (1, 1), 20, -128),
        ((1, 3, 5, 20), (1, 1), 17, 3),
        ((1, 2, 3, 19), (1, 1), 23, -128),
        ((1, 5, 6, 4), (3, 3), 6, -128),
        ((1, 5, 6, 3), (3, 3), 5, 7),
    ]
    for shape, kernel, channels, zero_point in shapes:
        x = model.tensor(shape, scale=0.05, zero_point=-3)
        data = kind(random, (channels, *kernel, shape[3]))
        taps = model.tensor(data.shape, scale=[0.01] * channels, data=data)
        y = model.tensor((*shape[:3], channels), scale=1.0, zero_point=zero_point)
        model.op("CONV_2D", [x, taps, -1], [y], "Conv2DOptions", padding=0, strideH=1, strideW=1)
        inputs, outputs = [*inputs, x], [*outputs, y]
    for rows, depth, channels, zero_point in ((1, 40, 9, -128), (1, 36, 8, 5), (3, 33, 6, -128), (2, 30, 7, 0)):
        x = model.tensor((rows, depth), scale=0.05, zero_point=4)
        taps = model.tensor((channels, depth), scale=[0.01] * channels, data=kind(random, (channels, depth)))
        y = model.tensor((rows, channels), scale=0.5, zero_point=zero_point)
        model.op("FULLY_CONNECTED", [x, taps, -1], [y], "FullyConnectedOptions")
        inputs, outputs = [*inputs, x], [*outputs, y]
    return model.build(inputs, outputs), [model.shape(x) for x in inputs]


SLOW_CORES = ("cortex-m3", "cortex-m7", "cortex-m33")


@pytest.mark.parametrize(
    "core", [pytest.param(core, marks=pytest.mark.slow) if core in SLOW_CORES else core for core in CPU_MODELS]
)
@pytest.mark.parametrize("name", PACKED_KINDS)
def test_every_core_computes_packed_layers_within_its_memory(name: str, core: str) -> None:
    data, shapes = every_shape(KINDS[name][0])
    random = np.random.default_rng(2)
    inputs = [random.integers(-128, 128, shape, np.int8) for shape in shapes]
    with packed_whatever_it_costs():
        calls = fusion.one_by_one(read_graph(ConvertedModel("tflite", data)), "size").calls
        assert {call.weights.encoding for group in calls.values() for call in group if call.weights} == {KINDS[name][1]}
        found = BoundedFirmware(data, core, "size")(inputs)
    for index, (ours, theirs) in enumerate(zip(found, MicroInterpreter(data)(inputs, len(found)), strict=True)):
        assert len(np.unique(theirs)) > 3, "the outputs tell something"
        np.testing.assert_array_equal(ours, theirs, err_msg=f"output {index}")


def dense_layer(name: str, rows: int, depth: int, channels: int) -> ConvertedModel:
    """One layer that meets `rows` rows in a run."""
    model = ModelBuilder()
    x = model.tensor((1, rows, 1, depth), scale=0.05)
    data = KINDS[name][0](np.random.default_rng(3), (channels, 1, 1, depth))
    taps = model.tensor(data.shape, scale=[0.01] * channels, data=data)
    y = model.tensor((1, rows, 1, channels), scale=1.0)
    model.op("CONV_2D", [x, taps, -1], [y], "Conv2DOptions", padding=1, strideH=1, strideW=1)
    return ConvertedModel("tflite", model.build([x], [y]))


def encoding_of(model: ConvertedModel, optimize: Optimize) -> str | None:
    calls = fusion.one_by_one(read_graph(model), optimize).calls
    ((call,),) = calls.values()
    return call.weights and call.weights.encoding


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rows", [1, 40])
def test_levels_decide_how_a_layer_is_packed(name: str, rows: int) -> None:
    model = dense_layer(name, rows, 64, 64)
    assert encoding_of(model, "speed") == ""
    unpacks_at_once = KINDS[name][1] == "levels" and rows > 1  # 4 kB of RAM for 2 kB of flash
    assert encoding_of(model, "size") == ("" if unpacks_at_once else KINDS[name][1])


def test_balanced_leaves_what_costs_more_than_it_saves() -> None:
    assert encoding_of(dense_layer("ternary", 40, 64, 64), "balanced") == "2bit"
    assert encoding_of(dense_layer("ternary", 1000, 64, 64), "balanced") != "2bit", "many rows, few weights"
    assert encoding_of(dense_layer("four bits, rounded", 1, 64, 64), "balanced") == "", "unpacked for a single row"


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cortex-m0plus", "cortex-m4"])
@pytest.mark.parametrize("name", PACKED_KINDS)
@pytest.mark.parametrize(("rows", "channels"), [(1, 4), (1, 40), (40, 4), (40, 12), (40, 60)])
def test_no_image_grows_by_packing(name: str, rows: int, channels: int, device: str) -> None:
    """The same layer with and without packed weights, compiled alike."""
    model = dense_layer(name, rows, 64, channels)
    profiler = CortexMProfiler(optimize="size")
    plain, packed = (
        profiler.profile_firmware(generate(model, "kws", goal), catalogue.get(device)) for goal in ("speed", "size")
    )
    assert plain.flash_bytes is not None and packed.flash_bytes is not None
    np.testing.assert_array_equal(plain.outputs, packed.outputs)
    if channels == 60 and name != "four bits, rounded":
        assert packed.flash_bytes < plain.flash_bytes - 1000
    else:
        assert packed.flash_bytes <= plain.flash_bytes


@pytest.mark.parametrize(
    "compiler",
    [
        pytest.param(["clang"], marks=pytest.mark.slow),
        pytest.param(["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"], marks=pytest.mark.slow),
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_packed_kernels_compile_without_warning(
    compiler: Sequence[str], tool: Callable[[str], str], tmp_path: Path
) -> None:
    sources = []
    with packed_whatever_it_costs():
        for number, kind in enumerate(PACKED_KINDS):
            data, _ = every_shape(KINDS[kind][0])
            sources += write(generate(ConvertedModel("tflite", data), f"net{number}", "size"), tmp_path)
    command = [tool(compiler[0]), *compiler[1:], *STRICT_FLAGS, "-Wshadow", "-Os", "-c", *sources]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def ternary_ds_cnn() -> ConvertedModel:
    """A depthwise-separable network with weights of three values in its dense layers, by the real converter."""
    from rena_kws.convert.tflite import Int8TfliteConverter
    from rena_kws.model.keras_model import build, settle
    from rena_kws.spec.architecture import Architecture, Layer

    layers = [Layer("conv2d", (0,), 10, 4, (2, 2), channels=48)]
    layers += [Layer("ds_conv2d", (number,), 3, 3, (1, 1), channels=48) for number in (1, 2)]
    built = build(Architecture(12, tuple(layers)))
    random = np.random.default_rng(4)
    for layer in built.keras_model.layers:
        if type(layer).__name__ in ("Conv2D", "Dense"):
            kernel, *rest = layer.get_weights()
            layer.set_weights([0.1 * random.integers(-1, 2, kernel.shape), *rest])
    clips = random.standard_normal((20, 49, 10, 1)).astype(np.float32)
    settle(built, clips)
    return Int8TfliteConverter().convert(built, clips)


def test_a_ternary_network_shrinks_and_computes_the_same() -> None:
    model = ternary_ds_cnn()
    graph = read_graph(model)
    calls = fusion.one_by_one(graph, "size").calls
    dense = [call.weights for group in calls.values() for call in group if call.weights]
    assert [weights.encoding for weights in dense] == ["2bit"] * 4
    profiler, device = CortexMProfiler(optimize="size"), catalogue.get("cortex-m4")
    inputs = np.random.default_rng(5).integers(-128, 128, (3, 49, 10, 1), np.int8)
    plain, packed = (
        profiler.profile_firmware(generate(model, "kws", goal), device, inputs) for goal in ("speed", "size")
    )
    np.testing.assert_array_equal(plain.outputs, packed.outputs)
    assert plain.flash_bytes is not None and packed.flash_bytes is not None and plain.cycles and packed.cycles
    dense_bytes = 48 * 40 + 2 * 48 * 48 + 12 * 48
    # A quarter of the weights, 4 bytes of steps for every two channels, and kernels that are a little longer.
    assert plain.flash_bytes - packed.flash_bytes > 0.75 * dense_bytes - 2 * (3 * 48 + 12) - 700
    assert packed.cycles < 1.15 * plain.cycles
    assert packed.ram_bytes == plain.ram_bytes


@pytest.mark.parametrize(
    ("levels", "million_cycles", "ram_bytes", "flash_bytes"),
    [
        ("ternary", 4.4, 10_400, 25_000),
        pytest.param("four-bits", 4.15, 13_300, 30_000, marks=pytest.mark.slow),
    ],
)
def test_keyword_model_with_few_levels(
    levels: str, million_cycles: float, ram_bytes: int, flash_bytes: int, reference: Callable[..., Path]
) -> None:
    """The figures of the README; plain, the same model takes 4.00 million cycles and 38,474 bytes of flash."""
    data = with_levels(reference("models", "kws_ref_model.tflite").read_bytes(), levels)
    inputs = np.random.default_rng(6).integers(-128, 128, (10, 49, 10, 1), np.int8)
    found = api.profile(ConvertedModel("tflite", data), "cortex-m4", inputs)
    assert found.cycles and found.cycles <= million_cycles * 1e6
    assert found.ram_bytes and found.ram_bytes <= ram_bytes
    assert found.flash_bytes and found.flash_bytes <= flash_bytes
    micro = MicroInterpreter(data)
    for x, y in zip(inputs, found.outputs, strict=True):
        np.testing.assert_array_equal(micro([x[None]], 1)[0].ravel(), y.ravel())


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cortex-m0plus", "cortex-m4"])
@pytest.mark.parametrize("levels", LEVELS)
def test_gcc_computes_what_clang_computes(
    device: str, levels: str, reference: Callable[..., Path], tool: Callable[[str], str]
) -> None:
    tool("arm-none-eabi-gcc")
    data = with_levels(reference("models", "kws_ref_model.tflite").read_bytes(), levels)
    inputs = np.random.default_rng(7).integers(-128, 128, (4, 49, 10, 1), np.int8)
    profilers = [CortexMProfiler(toolchain=kind(), optimize="size") for kind in (GccToolchain, ZigToolchain)]
    model, target = ConvertedModel("tflite", data), catalogue.get(device)
    gcc, clang = (profiler.profile(model, target, inputs).outputs for profiler in profilers)
    np.testing.assert_array_equal(gcc, clang)


def test_what_is_exported_is_what_is_profiled(tmp_path: Path) -> None:
    """Also where the goal decides what the sources are."""
    model = dense_layer("ternary", 40, 64, 64)
    for goal in ("speed", "size"):
        api.export(model, "c", tmp_path / goal, "net", goal)
        for name, text in generate(model, "net", goal).sources.items():
            assert (tmp_path / goal / name).read_text() == text
    assert (tmp_path / "size" / "net_dense_2bit.c").exists() and not (tmp_path / "speed" / "net_dense_2bit.c").exists()


def test_a_model_file_is_generated_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(RenaError, match="--optimize"):
        api.export(dense_layer("ternary", 1, 64, 64), "tflite", tmp_path / "out", "net", "size")
