"""Models for ESPHome: bit by bit the network on a clip, of operators that ESPHome has, and heard by another program."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from flatbuffer_models import ModelBuilder, small_conv_model
from hypothesis import given, settings
from hypothesis import strategies as st
from streamed_networks import Net, on_clips, on_stream
from window_networks import WindowLayer, frames_read, network, window_layers

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.cli.main import main
from rena_kws.decisions import DecisionSettings
from rena_kws.errors import ModelError, RenaError, UnknownNameError
from rena_kws.export.esphome.probability import add_probability
from rena_kws.export.esphome.streaming_model import INPUT_SCALE, streaming_model
from rena_kws.export.esphome.tensor_arena import tensor_arena
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.settings import MICRO_FRONTEND, UNSEEN_VOICES
from rena_kws.spec.architecture import Architecture, Layer

CLASSES = 4
LABELS = ("seven", "left", "_silence_", "_unknown_")
LAYERS = [
    WindowLayer("CONV_2D", (5, 3), (2, 2), beside=1, channels=6),
    WindowLayer("DEPTHWISE_CONV_2D", (3, 3), (2, 2)),
    WindowLayer("CONV_2D", (3, 1), (1, 1), dilation=2, channels=8),
    WindowLayer("MAX_POOL_2D", (2, 2), (1, 2)),
]
ESPHOME_HAS = {
    *("CALL_ONCE", "VAR_HANDLE", "RESHAPE", "READ_VARIABLE", "STRIDED_SLICE", "CONCATENATION", "ASSIGN_VARIABLE"),
    *("CONV_2D", "MUL", "ADD", "MEAN", "FULLY_CONNECTED", "LOGISTIC", "QUANTIZE", "DEPTHWISE_CONV_2D"),
    *("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PACK", "SPLIT_V"),
}
"""register_streaming_ops_ in ESPHome's streaming_model.cpp."""


@settings(max_examples=60)
@given(st.lists(window_layers(), min_size=1, max_size=4), st.integers(1, 4), st.integers(2, 4), st.data())
def test_a_stream_is_bit_by_bit_the_network_on_its_last_frames(
    layers: list[WindowLayer], rows: int, classes: int, data: st.DataObject
) -> None:
    stride = math.prod(layer.stride[0] for layer in layers)
    unread = data.draw(st.integers(0, stride - 1))
    steps = data.draw(st.sampled_from(((26 / 255, -128), (0.09, -128), (0.12, -120), (0.3, 3))))
    model = network(layers, rows, classes, data.draw(st.integers(0, 99)), steps, unread)
    word = data.draw(st.integers(0, classes - 1))
    streaming = streaming_model(model, word)
    assert (streaming.stride, streaming.frames) == (stride, frames_read(layers, rows))
    calls = min(60, streaming.frames // stride + 5)
    frames = np.random.default_rng(0).integers(-128, 128, (calls * stride, 40)).astype(np.int8)
    assert on_stream(streaming, frames) == on_clips(model, frames, streaming, word)


def test_a_network_of_the_search_space_streams_bit_by_bit() -> None:
    """As Keras builds it and TensorFlow converts it, with every kind of window."""
    import keras

    from rena_kws.convert.tflite import Int8TfliteConverter
    from rena_kws.model.keras_model import build, settle

    layers = (
        Layer("conv2d", (0,), kernel_h=5, kernel_w=4, stride=(2, 2), channels=8),
        Layer("ds_conv2d", (1,), kernel_h=3, kernel_w=3, channels=12),
        Layer("avg_pool", (2,), kernel_h=2, kernel_w=2),
        Layer("dilated_conv2d", (3,), kernel_h=3, kernel_w=3, dilation=2, channels=8),
        Layer("max_pool", (4,), kernel_h=3, kernel_w=2, stride=(2, 2)),
        Layer("ds_conv2d", (5,), kernel_h=3, kernel_w=3, stride=(2, 2), channels=12),
    )
    keras.utils.set_random_seed(0)
    built = build(Architecture(2, layers, MICRO_FRONTEND.shape, "valid"))
    clips = np.random.default_rng(0).uniform(0, 26, (20, *MICRO_FRONTEND.shape)).astype(np.float32)
    settle(built, clips)
    model = Int8TfliteConverter().convert(built, clips)
    streaming = streaming_model(model, 1)
    assert (streaming.stride, streaming.frames, streaming.lag) == (8, 95, 0)
    frames = np.random.default_rng(1).integers(-128, 128, (30 * 8, 40)).astype(np.int8)
    answers = on_stream(streaming, frames)
    assert answers == on_clips(model, frames, streaming, 1)
    assert len(set(answers)) > 10


def test_the_input_has_the_steps_of_esphome() -> None:
    """It makes int8 of a feature by (256 · feature + 333) / 666 − 128, in whole numbers (micro_wake_word.cpp)."""
    features = np.arange(664)  # larger ones do not come
    theirs = (256 * features + 333) // 666 - 128
    assert np.abs(features / 25.6 / INPUT_SCALE - 128 - theirs).max() < 1.5


def test_the_stream_test_tells_something() -> None:
    streaming = streaming_model(network(LAYERS, 5, CLASSES, 0), 0)
    frames = np.random.default_rng(0).integers(-128, 128, (50 * streaming.stride, 40)).astype(np.int8)
    assert len(set(on_stream(streaming, frames))) > 10
    assert on_stream(streaming, frames) != on_stream(streaming, np.roll(frames, 1, axis=0))


def test_a_lean_stream_is_close_and_small() -> None:
    wide = [WindowLayer("CONV_2D", (5, 3), (2, 1), beside=1, channels=12)]
    difference = []
    for seed in range(8):
        model = network(wide, 40, 2, seed)
        exact, lean = (streaming_model(model, 0, lean) for lean in (False, True))
        frames = np.random.default_rng(seed).integers(-128, 128, (40 * exact.stride, 40)).astype(np.int8)
        difference.append(np.subtract(on_stream(lean, frames), on_stream(exact, frames)))
        assert (lean.stride, lean.frames, lean.lag) == (exact.stride, exact.frames, exact.lag)
        assert tensor_arena(lean.model).size_bytes < tensor_arena(exact.model).size_bytes - 45_000
    assert 0 < np.abs(difference).mean() < 2 and np.abs(difference).max() < 32  # of 256


@pytest.mark.parametrize("lean", [False, True])
def test_tensorflow_lite_micro_hears_the_same(lean: bool) -> None:
    """It is the interpreter of ESPHome, and the arena it says it needs is enough for it."""
    runtime = pytest.importorskip("tflite_micro").runtime
    streaming = streaming_model(network(LAYERS, 5, CLASSES, 0), 0, lean)
    arena = tensor_arena(streaming.model)
    assert arena.how == "measured"
    micro = runtime.Interpreter.from_bytes(streaming.model.data, arena_size=arena.size_bytes)
    frames = np.random.default_rng(1).integers(-128, 128, (40, streaming.stride, 40)).astype(np.int8)
    answers = []
    for call in frames:
        micro.set_input(call[None], 0)
        micro.invoke()
        answers.append(int(micro.get_output(0)[0, 0]))
    assert answers == on_stream(streaming, frames.reshape(-1, 40))
    assert len(set(answers)) > 10


def test_the_operators_are_those_that_esphome_has() -> None:
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    data = streaming_model(network(LAYERS, 5, CLASSES, 0), 0).model.data
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    used = {names[code.builtinCode] for code in model.operatorCodes}
    assert used <= ESPHOME_HAS and {"CALL_ONCE", "QUANTIZE", "PAD", "MAX_POOL_2D", "MEAN"} <= used
    starts = [
        data.find(bytes(buffer.data)) for buffer in model.buffers if buffer.data is not None and len(buffer.data) > 64
    ]
    assert starts and all(start % 16 == 0 for start in starts)


@settings(max_examples=200)
@given(st.lists(st.integers(-128, 127), min_size=2, max_size=12), st.data())
def test_the_probability_is_a_close_lower_bound_of_the_softmax(values: list[int], data: st.DataObject) -> None:
    word = data.draw(st.integers(0, len(values) - 1))
    scale = data.draw(st.sampled_from((0.02, 0.05, 0.1, 0.2)))
    builder = ModelBuilder()
    logits = builder.tensor((1, len(values)), scale=scale, zero_point=11)
    net = Net(builder.build([logits], [add_probability(builder, logits, word)]))
    found = net(np.array(values, np.int8))[0, 0] / 255
    z = np.array(values) * scale
    softmax = 1 / np.exp(z - z[word]).sum()
    rounding = (len(values) - 1) * 0.015  # A 32nd of a margin is at most 0.008 of a share, half a step of it 0.002
    assert found <= softmax + rounding
    assert found >= 2 - 1 / softmax - rounding
    if len(values) == 2:
        assert abs(found - softmax) <= 0.015


def test_what_a_stream_cannot_run_is_refused_in_a_line() -> None:
    with pytest.raises(ModelError, match=r"frames of 40 features; the network reads int8 of shape \(1, 8, 6, 1\)"):
        streaming_model(small_conv_model(), 0)
    builder = ModelBuilder()
    x = builder.tensor((1, 20, 40, 1), scale=0.1)
    y = builder.tensor((1, 20, 40, 1), scale=0.1)
    size = {"strideH": 1, "strideW": 1, "filterHeight": 3, "filterWidth": 1}
    builder.op("MAX_POOL_2D", [x], [y], "Pool2DOptions", padding="SAME", **size)
    with pytest.raises(ModelError, match="pads along time"):
        streaming_model(ConvertedModel("tflite", builder.build([x], [y])), 0)
    builder = ModelBuilder()
    x, y, z = (builder.tensor((1, 20, 40, 1), scale=0.1) for _ in range(3))
    builder.op("MAX_POOL_2D", [x], [y], "Pool2DOptions", padding="SAME", **{**size, "filterHeight": 1})
    builder.op("ADD", [y, x], [z], "AddOptions")
    with pytest.raises(ModelError, match="chain of windows"):
        streaming_model(ConvertedModel("tflite", builder.build([x], [z])), 0)
    many = [WindowLayer("MAX_POOL_2D", (2, 1), (1, 1))] * 21
    with pytest.raises(ModelError, match="at most 20 variables"):
        streaming_model(network(many, 2, CLASSES, 0), 0)


def write_model(folder: Path, model: ConvertedModel, decisions: DecisionSettings | None = None) -> Path:
    folder.mkdir()
    manifest = Manifest.of(model, LABELS, MICRO_FRONTEND.as_json(), {}).named("words.tflite")
    (folder / "words.tflite").write_bytes(model.data)
    (folder / "manifest.json").write_text((manifest.deciding(decisions) if decisions else manifest).as_text())
    return folder


def test_the_manifest_is_what_esphome_asks_for(tmp_path: Path) -> None:
    decisions = DecisionSettings(hops_a_result=2, smoothed_results=20, threshold=0.9)
    model = write_model(tmp_path / "model", network(LAYERS, 5, CLASSES, 0), decisions)
    arguments = [str(model), "--format", "esphome", "--word", "left", "--name", "lefty", "--out", str(tmp_path / "out")]
    assert main(["export", *arguments]) == 0
    described = json.loads((tmp_path / "out" / "lefty.json").read_text())
    micro = described.pop("micro")
    assert described.pop("author").startswith("rena-kws")
    assert described.pop("website").startswith("https://")
    wanted = {"type": "micro", "wake_word": "left", "model": "lefty.tflite", "trained_languages": [], "version": 2}
    assert described == wanted
    assert micro.pop("tensor_arena_size") % 16 == 0
    # 20 results of 20 ms each are ten of 40 ms: the network moves by four frames of 10 ms
    timing = {"probability_cutoff": 0.9, "sliding_window_size": 10, "feature_step_size": 10}
    assert micro == {**timing, "minimum_esphome_version": "2024.7.0"}
    ours = Manifest.beside(tmp_path / "out" / "lefty.tflite")
    assert ours is not None and ours.labels == ("left",) and ours.figures["classes"] == list(LABELS)


def test_what_cannot_be_exported_is_told_in_a_line(tmp_path: Path) -> None:
    model = network(LAYERS, 5, CLASSES, 0)
    folder = write_model(tmp_path / "model", model)
    for error, text, options in (
        (RenaError, "pick one with --word: seven, left", {}),
        (UnknownNameError, "did you mean 'seven'", {"word": "sevn"}),
        (UnknownNameError, "unknown keyword '_silence_'", {"word": "_silence_"}),
        (RenaError, "the bundle's own manifest", {"word": "seven", "name": "manifest"}),
        (RenaError, "a harness is C", {"word": "seven", "harness": True}),
    ):
        with pytest.raises(error, match=text):
            api.export(folder, "esphome", tmp_path / "out", **options)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="is unknown, for want of a manifest"):
        api.export(model, "esphome", tmp_path / "out", word="seven")
    (folder / "manifest.json").write_text(
        Manifest.of(model, LABELS, UNSEEN_VOICES.as_json(), {}).named("words.tflite").as_text()
    )
    with pytest.raises(ModelError, match="the front end of words is mfcc"):
        api.export(folder, "esphome", tmp_path / "out", word="seven")
    for other in ("tflite", "c"):
        with pytest.raises(RenaError, match="leave --word seven out"):
            api.export(folder, other, tmp_path / "out", word="seven")


def test_a_computer_without_tensorflow_lite_micro_estimates_its_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tflite_micro")
    model = streaming_model(network(LAYERS, 5, CLASSES, 0), 0).model
    measured = tensor_arena(model)
    monkeypatch.setitem(sys.modules, "tflite_micro.python.tflite_micro", None)
    estimated = tensor_arena(model)
    assert (measured.how, estimated.how) == ("measured", "estimated")
    assert estimated.scratch_bytes == measured.scratch_bytes
    assert 0.7 < estimated.interpreter_bytes / measured.interpreter_bytes < 1.4


def test_another_program_loads_the_pair_and_computes_the_same(tmp_path: Path) -> None:
    wakeword = pytest.importorskip("pymicro_wakeword")
    model = write_model(tmp_path / "model", network(LAYERS, 5, CLASSES, 0))
    api.export(model, "esphome", tmp_path / "out", "bell", word="seven")
    ear = wakeword.MicroWakeWord.from_config(tmp_path / "out" / "bell.json")
    assert (ear.wake_word, ear.probability_cutoff, ear.stride) == ("seven", 0.8, 4)
    ear.sliding_window_size, ear._probabilities = 1, type(ear._probabilities)(maxlen=1)
    sound = (np.random.default_rng(0).normal(0, 3000, 32_000)).astype("<i2")
    features = list(wakeword.MicroWakeWordFeatures().process_streaming(sound.tobytes()))
    heard = [ear.process_streaming_prob(frame) for frame in features]
    net = Net((tmp_path / "out" / "bell.tflite").read_bytes())
    frames = np.round(np.concatenate(features, axis=1)[0] / np.float32(INPUT_SCALE) - 128).astype(np.int8)
    calls = len(frames) // 4
    expected = [int(net(call)[0, 0]) for call in frames[: calls * 4].reshape(calls, 4, 40)]
    found = np.round(np.array(heard[3 : calls * 4 : 4]) * 256)
    assert np.abs(found - expected).max() <= 3  # Its kernels are another build's.
    assert found.max() > 10
