"""The Python calls: names that stay what they are, model files told by their content, evaluation against recordings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flatbuffer_models import ModelBuilder

import rena_kws
from rena_kws import model_file
from rena_kws.api import evaluate, export
from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import DatasetError, ModelError, UnknownNameError
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.settings import FrontEnd


def test_a_submodule_does_not_hide_the_call_of_the_same_name() -> None:
    code = (
        "import rena_kws\n"
        "from rena_kws.search_settings import SearchSettings\n"
        "import rena_kws.search\n"
        "from rena_kws.export.manifest import Manifest\n"
        "assert rena_kws.search.__module__ == rena_kws.export.__module__ == 'rena_kws.api'\n"
        "from rena_kws import evaluate, export, profile, search\n"
        "assert all(map(callable, (evaluate, export, profile, search)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError):
        _ = rena_kws.nothing


def test_python_m_works_in_the_repository() -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-m", "rena_kws", "devices"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cortex-m4" in done.stdout


def an_onnx_model() -> bytes:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [1, 4])], [value("y", 1, [1, 4])])
    return bytes(onnx.helper.make_model(graph).SerializeToString())


def test_onnx_is_told_by_its_content_and_only_when_whole(tmp_path: Path) -> None:
    data = an_onnx_model()
    file = tmp_path / "some.model"
    file.write_bytes(data)
    assert model_file.load(file) == rena_kws.artifacts.ConvertedModel("onnx", data, "some")
    for length in range(len(data)):
        file.write_bytes(data[:length])
        try:
            model_file.load(file)
        except ModelError:
            continue
        # A cut between two fields leaves a message that is whole: only what follows the graph may be missing.
        assert data[length] & 7 == 2 and data[length] >> 3 > 7


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "Keras archive"),
        (b"\x7fELF\x01", "not a network"),
        (b"word", "neither"),
        (bytes([0xFF] * 20), "neither"),
    ],
)
def test_other_files_are_refused_for_what_they_are(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=why):
        model_file.load(file)


def test_a_folder_stands_for_its_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds none"):
        model_file.find(tmp_path)
    (tmp_path / "a.onnx").touch()
    assert model_file.find(tmp_path) == tmp_path / "a.onnx"
    (tmp_path / "b.tflite").touch()
    assert model_file.find(tmp_path) == tmp_path / "b.tflite"  # int8 before ONNX
    (tmp_path / "c.tflite").touch()
    with pytest.raises(ModelError, match="several models"):
        model_file.find(tmp_path)
    (tmp_path / "winner").mkdir()
    (tmp_path / "winner" / "model.tflite").touch()
    assert model_file.find(tmp_path) == tmp_path / "winner" / "model.tflite"


def test_export_of_an_exported_folder(reference: Callable[..., Path], tmp_path: Path) -> None:
    source = reference("models", "kws_ref_model.tflite")
    folder = export(source, "tflite", tmp_path / "first", "digits")
    again = export(folder, "tflite", tmp_path / "second", "other")
    assert (again / "other.tflite").read_bytes() == source.read_bytes()
    with pytest.raises(UnknownNameError):
        export(source, "flite", tmp_path / "third")


def test_a_model_and_a_dataset_with_other_classes_are_refused(reference: Callable[..., Path]) -> None:
    recordings = f"spoken-digits:{reference('datasets', 'fsdd')}"
    model = reference("models", "kws_ref_model.tflite")
    with pytest.raises(ModelError, match="12 classes"):
        evaluate(model, recordings)
    with pytest.raises(DatasetError, match="'nobody'"):
        evaluate(model, recordings, speakers=["nobody"])


def test_a_dataset_may_have_some_of_the_models_labels_in_any_order(tmp_path: Path) -> None:
    """A network that says `b` whatever it hears: right for b, wrong for c, and for a label that nothing has."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "sounds.npz",
        x=rng.normal(size=(6, 16_000)).astype(np.float32) / 10,
        y=np.array([0, 0, 0, 0, 1, 1]),
        labels=np.array(["c", "b"]),
        split=np.array(["test"] * 6),
    )
    model = always(1, of=3)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "m.tflite").write_bytes(model.data)
    manifest = Manifest.of(model, ("a", "b", "c"), FrontEnd().as_json(), {}).named("m.tflite")
    (folder / "manifest.json").write_text(manifest.as_text())
    report = evaluate(folder, f"arrays:{tmp_path / 'sounds.npz'}")
    assert report.labels == ("a", "b", "c") and report.accuracy == pytest.approx(2 / 6)
    assert report.confusion.tolist() == [[0, 0, 0], [0, 2, 0], [0, 4, 0]]
    (folder / "manifest.json").write_text(replace(manifest, labels=("a", "b", "d")).as_text())
    with pytest.raises(ModelError, match="the model knows a, b, d; the dataset has c too"):
        evaluate(folder, f"arrays:{tmp_path / 'sounds.npz'}")


def always(label: int, of: int) -> ConvertedModel:
    """A dense layer with nothing but a bias."""
    model = ModelBuilder()
    sound = model.tensor((1, 49, 10, 1), scale=1.0)
    weights = model.tensor((of, 490), scale=1.0, data=np.zeros((of, 490)))
    bias = model.tensor((of,), scale=1.0, data=np.where(np.arange(of) == label, 100, 0), dtype="int32")
    scores = model.tensor((1, of), scale=1.0)
    model.op("FULLY_CONNECTED", [sound, weights, bias], [scores], "FullyConnectedOptions")
    return ConvertedModel("tflite", model.build([sound], [scores]), "m")


def test_evaluate_agrees_with_scoring_by_hand(reference: Callable[..., Path], tmp_path: Path) -> None:
    """Silence, a hiss, and a folder of labels: counted here from the interpreter's own outputs."""
    import wave

    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from rena_kws.frontend.features import compute
    from rena_kws.frontend.settings import FrontEnd

    rng = np.random.default_rng(0)
    labels = [f"class{number:02}" for number in range(12)]
    sounds = {}
    for label in labels:
        (tmp_path / label).mkdir()
        for person in range(3):
            sound = (rng.normal(size=16000) * 2000 * rng.random()).astype("<i2")
            sounds[label, f"p{person}"] = sound
            with wave.open(str(tmp_path / label / f"p{person}_nohash_0.wav"), "wb") as file:
                file.setparams((1, 2, 16000, len(sound), "NONE", ""))
                file.writeframes(sound.tobytes())
    source = reference("models", "kws_ref_model.tflite")
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(source), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    given, told = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = given["quantization"]
    counts = np.zeros((12, 12), int)
    for (label, _), sound in sounds.items():
        features = compute(FrontEnd(), sound[None].astype(np.float32) / 32768)
        interpreter.set_tensor(given["index"], np.clip(np.rint(features / scale) + zero, -128, 127).astype(np.int8))
        interpreter.invoke()
        counts[labels.index(label), interpreter.get_tensor(told["index"]).argmax()] += 1
    report = evaluate(source, f"folder:{tmp_path}", "all")
    assert report.n == len(sounds) == report.confusion.sum()
    np.testing.assert_array_equal(report.confusion, counts)
    assert report.accuracy == np.trace(counts) / len(sounds)
