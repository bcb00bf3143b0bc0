"""rena-kws bench: the table beside published figures, and the marks that the firmware has to keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from speech_networks import ARCHITECTURE

from rena_kws.anchors import BENCHMARKS
from rena_kws.cli.main import main
from rena_kws.convert.onnx import OnnxConverter
from rena_kws.convert.tflite import Int8TfliteConverter
from rena_kws.model.keras_model import build

Reference = Callable[..., Path]

# Millions of cycles, bytes of RAM, bytes of flash that a reference model may need; None: no mark.
MARKS = {
    ("kws", "cortex-m4"): (4.6, 16_000, 44_000),
    ("ic", "cortex-m4"): (18.0, 50_000, 100_000),
    ("ad", "cortex-m4"): (0.45, 2_500, 285_000),
    ("kws", "cortex-m33"): (4.3, None, None),
    ("kws", "cortex-m7"): (3.0, None, None),
    ("kws", "cortex-m0plus"): (26.0, None, None),
}


@pytest.mark.parametrize(("name", "device"), MARKS, ids="-".join)
def test_marks_are_kept(name: str, device: str, reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    model = reference("models", f"{name}_ref_model.tflite")
    assert main(["bench", str(model), "--device", device, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    millions, ram_bytes, flash_bytes = MARKS[name, device]
    assert result["cycles"] <= millions * 1e6
    assert ram_bytes is None or result["ram_bytes"] <= ram_bytes
    assert flash_bytes is None or result["flash_bytes"] <= flash_bytes
    assert result["macs"] in BENCHMARKS
    # They round once where the firmware, as TensorFlow Lite Micro, rounds twice: a unit or two, seldom.
    assert result["litert"]["reference kernels"]["largest"] <= 3
    assert result["litert"]["reference kernels"]["equal"] > 0.5


def test_table_has_our_row_and_those_of_the_same_core(reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    model = reference("models", "kws_ref_model.tflite")
    assert main(["bench", str(model), "--device", "cortex-m0plus", "--layers"]) == 0
    shown = capsys.readouterr().out
    assert "2,656,768 MACs" in shown
    assert "HALE 1.0.175, G0B1RE" in shown and "X-CUBE-AI" not in shown
    assert "DEPTHWISE_CONV_2D" in shown
    assert "reference kernels" in shown and "XNNPACK" in shown


def test_size_is_smaller_and_speed_no_slower(reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    model = reference("models", "kws_ref_model.tflite")
    results = {}
    for goal in ("size", "speed"):
        assert main(["profile", str(model), "--device", "cortex-m3", "--optimize", goal, "--json"]) == 0
        results[goal] = json.loads(capsys.readouterr().out)
    assert results["size"]["flash_bytes"] < results["speed"]["flash_bytes"]
    assert results["speed"]["cycles"] <= results["size"]["cycles"]


def test_a_device_without_firmware_refuses_optimize(reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    model = reference("models", "kws_ref_model.tflite")
    assert main(["profile", str(model), "--device", "cpu", "--optimize", "size"]) == 2
    assert "--optimize" in capsys.readouterr().err


@pytest.mark.slow
def test_the_same_network_everywhere_in_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = build(ARCHITECTURE)
    features = np.random.default_rng(0).normal(0, 5, (20, 49, 10, 1)).astype(np.float32)
    for converter, suffix in ((Int8TfliteConverter(), "tflite"), (OnnxConverter(), "onnx")):
        (tmp_path / f"model.{suffix}").write_bytes(converter.convert(built, features).data)
    assert main(["bench", str(tmp_path), "--device", "cortex-m4,nucleo-g0b1re,cpu-reference,cpu,ethos-u55-128"]) == 0
    rows = {line[: line.index("  ")]: line for line in capsys.readouterr().out.splitlines() if "  " in line}
    assert "equal" in rows["nucleo-g0b1re"] and "emulated" in rows["nucleo-g0b1re"]
    assert "reference kernels" in rows["cpu-reference"] and "measured" in rows["cpu-reference"]
    assert "onnxruntime" in rows["cpu"] and "model.onnx" in rows["cpu"]  # the later of the two rows
    assert "none" in rows["ethos-u55-128"] and "estimated" in rows["ethos-u55-128"]
