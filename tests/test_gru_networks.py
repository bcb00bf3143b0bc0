"""Networks with a GRU, end to end: from Keras to one int8 file, to chips, to a bundle, and through a search."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from flatbuffer_models import ModelBuilder
from numpy.typing import NDArray
from tones import write_tones

pytest.importorskip("tensorflow")

import keras
from host_firmware import MicroInterpreter

from rena_kws import api
from rena_kws.artifacts import BuiltModel, ConvertedModel, Trained
from rena_kws.convert.agreement import check
from rena_kws.convert.evaluate_int8 import accuracy, quantised_inputs, run_quantised
from rena_kws.convert.gru_operator import split
from rena_kws.convert.onnx import OnnxConverter
from rena_kws.convert.tflite import FloatTfliteConverter, Int8TfliteConverter
from rena_kws.datasets.base import open_dataset
from rena_kws.datasets.features import Features, load_features
from rena_kws.devices import catalogue
from rena_kws.errors import CandidateError, ModelError
from rena_kws.firmware.emit import generate
from rena_kws.firmware.graph import GRU, read_graph
from rena_kws.firmware.gru_reference import STATE_SCALE
from rena_kws.frontend.settings import UNSEEN_VOICES
from rena_kws.model.inherit import inherit
from rena_kws.model.keras_model import build, settle
from rena_kws.profilers.base import profiler_for
from rena_kws.search_settings import SearchSettings
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.search_space import SearchSpace
from rena_kws.train.settings import TrainSettings
from rena_kws.train.trainer import predict, train

CLIPS: NDArray[np.float32] = np.random.default_rng(0).normal(size=(24, 49, 10, 1)).astype(np.float32)
ALONE = (Layer("gru", (0,), channels=16),)
BEHIND_CONVOLUTIONS = (
    Layer("conv2d", (0,), 10, 4, (2, 2), channels=8),
    Layer("ds_conv2d", (1,), 3, 3, channels=6),
    Layer("add", (2, 1)),
    Layer("max_pool", (3,), 2, 2, (2, 2)),
    Layer("gru", (4,), channels=13),
    Layer("dense", (5,), channels=16),
)


def network(layers: tuple[Layer, ...], classes: int = 5) -> BuiltModel:
    """With weights that let the gates open and close."""
    keras.utils.set_random_seed(1)
    built = build(Architecture(classes, layers))
    settle(built, CLIPS)
    gru = next(layer for layer in built.keras_model.layers if isinstance(layer, keras.layers.GRU))
    rng = np.random.default_rng(2)
    gru.set_weights([rng.normal(0, 0.5, weight.shape).astype(np.float32) for weight in gru.get_weights()])
    return built


@pytest.fixture(scope="module", params=[ALONE, BEHIND_CONVOLUTIONS], ids=["alone", "behind convolutions"])
def built(request: pytest.FixtureRequest) -> BuiltModel:
    return network(request.param)


@pytest.fixture(scope="module")
def model(built: BuiltModel) -> ConvertedModel:
    return Int8TfliteConverter().convert(built, CLIPS)


def test_one_file_says_what_keras_says(built: BuiltModel, model: ConvertedModel) -> None:
    graph = read_graph(model)
    assert [op.name for op in graph.ops].count(GRU) == 1
    assert {tensor.dtype for tensor in graph.tensors} <= {"int8", "int32"}
    assert sum(graph.macs(op) for op in graph.ops) == cost(built.architecture).macs
    agreement = check(built, model, CLIPS)
    assert agreement.mean_difference < 0.03 and agreement.same_answer > 0.9
    for converter in (OnnxConverter(), FloatTfliteConverter()):
        assert check(built, converter.convert(built, CLIPS), CLIPS).max_difference < 1e-5


@pytest.mark.parametrize("device", ["cortex-m4", "cortex-m0plus"])
def test_a_chip_computes_the_reference(model: ConvertedModel, device: str) -> None:
    pytest.importorskip("tflite_micro")
    inputs = quantised_inputs(model, CLIPS[:4])
    measurement = profiler_for(catalogue.get(device)).profile(model, catalogue.get(device), inputs)
    parts = split(model)
    assert parts is not None
    front, back = MicroInterpreter(parts.front.data), MicroInterpreter(parts.back.data)
    states = parts.states(np.concatenate([front([clip[None]], 1)[0] for clip in inputs]))
    assert len(np.unique(states)) > 32
    expected = np.concatenate([back([state[None]], 1)[0] for state in states])
    np.testing.assert_array_equal(measurement.outputs.reshape(expected.shape), expected)
    apart = np.abs(run_quantised(model, inputs).astype(int) - expected).max()
    assert apart <= (2 if any(op.name == "ADD" for op in read_graph(model).ops) else 0)  # LiteRT rounds those once
    (gru,) = (layer for layer in measurement.layers if layer.op == GRU)
    assert gru.cycles and gru.macs and gru.name.endswith("_gru")


def test_weights_that_no_chip_multiplies_are_the_candidates_failure() -> None:
    built = network(ALONE)
    gru = built.keras_model.get_layer("l1_gru")
    gru.set_weights([1e9 * weight for weight in gru.get_weights()])
    with pytest.raises(CandidateError, match="these reach") as caught:
        Int8TfliteConverter().convert(built, CLIPS)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuiltModel, Features, Features]:
    """A trained network."""
    dataset = open_dataset(write_tones(tmp_path_factory.mktemp("tones") / "tones.npz"))
    training, validation = (load_features(dataset, UNSEEN_VOICES, split) for split in ("train", "validation"))
    keras.utils.set_random_seed(0)
    layers = (Layer("conv2d", (0,), 3, 3, (2, 2), channels=8), Layer("gru", (1,), channels=16))
    built = build(Architecture(3, layers))
    train(built, training, validation, TrainSettings(epochs=15, batch_size=20))
    return built, training, validation


@pytest.mark.slow
def test_int8_is_as_good_as_float(tones: tuple[BuiltModel, Features, Features]) -> None:
    built, training, validation = tones
    found = predict(built.keras_model, validation.x).argmax(axis=1)
    in_float = float(np.mean(found == validation.y))
    assert in_float > 0.8  # chance is a third
    model = Int8TfliteConverter().convert(built, training.x)
    assert accuracy(model, validation)[0] >= in_float - 0.05
    assert check(built, model, validation.x).mean_difference < 0.02


def test_a_bundle_computes_on_a_computer_what_the_chip_computed(
    model: ConvertedModel, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    api.export(model, "c", tmp_path / "bundle", "ear")
    command = [tool("make"), "-C", str(tmp_path / "bundle"), "test", f"CC={tool('gcc')}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 values differ" in done.stdout and done.stderr == ""


def test_this_computers_runtimes_refuse_it_in_one_line(model: ConvertedModel) -> None:
    with pytest.raises(ModelError, match="KWS_GRU, which LiteRT does not know") as caught:
        profiler_for(catalogue.get("cpu")).profile(model, catalogue.get("cpu"))
    assert "\n" not in str(caught.value)


def test_what_grew_computes_what_it_did() -> None:
    """After the conversion that measures it, as in a search: it must leave no trace in the network."""
    parent = network(BEHIND_CONVOLUTIONS)
    layers = list(BEHIND_CONVOLUTIONS)
    layers[4] = Layer("gru", (4,), channels=20)
    child = build(Architecture(5, tuple(layers)))
    Int8TfliteConverter().convert(child, CLIPS)
    inherit(child, Trained.of(parent), CLIPS)
    np.testing.assert_allclose(predict(child.keras_model, CLIPS), predict(parent.keras_model, CLIPS), atol=1e-3)
    layers[4] = Layer("gru", (4,), channels=8)
    narrow = build(Architecture(5, tuple(layers)))
    inherit(narrow, Trained.of(parent), CLIPS)
    old, new = (each.keras_model.get_layer("l5_gru").get_weights()[0] for each in (parent, narrow))
    np.testing.assert_array_equal(new[:, 8:16], old[:, 13:21])  # the reset gate's


@pytest.mark.slow
def test_a_search_among_networks_with_a_gru(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[[str], str]
) -> None:
    space = SearchSpace(kinds=("gru",), max_layers=1)
    monkeypatch.setattr(import_module("rena_kws.search"), "search_space", lambda task: space)
    settings = SearchSettings(
        dataset=write_tones(tmp_path / "tones.npz"), start=Architecture(3, ALONE), trials=2, minutes=None, workers=1,
        trial_clips=1_000, final_clips=2_000,
    )  # fmt: skip
    result, folder = api.search(settings, tmp_path / "run")
    assert [trial.evaluation.status for trial in result.trials] == ["ok", "ok"]
    assert {layer.kind for layer in result.architecture.layers} == {"gru"}
    assert result.test_accuracy > 0.5  # chance is a third
    assert api.evaluate(folder / "winner", settings.dataset, "test").accuracy == pytest.approx(result.test_accuracy)
    command = [tool("make"), "-C", str(folder / "firmware"), "test", f"CC={tool('gcc')}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "0 values differ" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recurrent": (3, 4, 5)}, r"\(3, 4, 4\) was expected"),
        ({"kernel_scale": 0.01}, "scale for each of 3 gates"),
        ({"kernel_scale": (1e9,) * 3}, "these reach"),
        ({"bias": 2**31 - 1}, "sums of 32 bits"),
        ({"state_scale": 0.01}, "1/128"),
    ],
    ids=["shape", "one scale", "large scales", "large bias", "another state"],
)
def test_files_that_hold_no_gru_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        generate(hand_made(**changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    generate(hand_made())


def hand_made(
    recurrent: tuple[int, ...] = (3, 4, 4),
    kernel_scale: float | tuple[float, ...] = (0.01,) * 3,
    bias: int = 5,
    state_scale: float = STATE_SCALE,
) -> ConvertedModel:
    """A GRU of 4 units and nothing else."""
    builder = ModelBuilder()
    x = builder.tensor((1, 6, 2), scale=0.05, zero_point=3)
    constants = [
        builder.tensor((3, 4, 2), scale=kernel_scale, data=np.ones((3, 4, 2))),
        builder.tensor(recurrent, scale=[0.01] * 3, data=np.ones(recurrent)),
        builder.tensor((3, 4), data=np.full((3, 4), bias, np.int64), dtype="int32"),
        builder.tensor((3, 4), data=np.zeros((3, 4)), dtype="int32"),
    ]
    state = builder.tensor((1, 4), scale=state_scale)
    builder.op(GRU, [x, *constants], [state])
    return ConvertedModel("tflite", builder.build([x], [state]), "hand-made")
