"""The whole flow in seconds: words → search → measured candidates → firmware that reproduces the chip on the host."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tones import CLASSES, write_tones

from rena_kws import api
from rena_kws.cli import search_cmd
from rena_kws.decisions import DecisionSettings
from rena_kws.export.manifest import Manifest
from rena_kws.reward import parse_limit
from rena_kws.run_folder import read_settings
from rena_kws.search_settings import SearchSettings
from rena_kws.store import JournalStore
from rena_kws.streaming.bundle import stream_bundle
from rena_kws.streaming.evaluation import StreamSettings
from rena_kws.streaming.listening import open_ear


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return write_tones(tmp_path / "tones.npz")


def test_words_in_firmware_out(dataset: str, tmp_path: Path, tool: Callable[[str], str]) -> None:
    settings = SearchSettings(
        dataset=dataset, trials=2, minutes=None, workers=1, limits=(parse_limit("ram_bytes=32000"),), seed=1,
        trial_clips=1_000, final_clips=3_000,
    )  # fmt: skip
    result, folder = api.search(settings, tmp_path / "run")

    assert [trial.number for trial in JournalStore(folder / "trials.jsonl").replay()] == [0, 1]
    measurement = result.outcome.measurement
    assert measurement is not None and measurement.how == "emulated"
    assert measurement.ram_bytes is not None and measurement.ram_bytes <= 32_000
    assert result.test_accuracy > 0.6  # chance is a third
    assert read_settings(folder)["limits"] == ["ram_bytes=32000"]

    report = api.evaluate(folder / "winner", dataset, "test")
    assert report.accuracy == pytest.approx(result.test_accuracy)
    assert report.confusion.sum() == report.n == 24

    api.export(folder, "onnx", tmp_path / "onnx", "words")
    onnx = api.profile(tmp_path / "onnx" / "words.onnx", "cpu", np.zeros((1, 49, 10, 1), np.float32))
    assert onnx.outputs.sum() == pytest.approx(1, abs=1e-5)

    manifest = json.loads((folder / "firmware" / "manifest.json").read_text())
    assert manifest["labels"] == list(CLASSES)
    run = subprocess.run(
        [tool("make"), "-C", str(folder / "firmware"), "test", f"CC={tool('gcc')}"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "0 values differ" in run.stdout
    assert run.stderr == ""  # no warning either


@pytest.mark.slow
def test_a_search_goes_on_from_another_and_learns_from_validation_too(dataset: str, tmp_path: Path) -> None:
    settings = SearchSettings(
        dataset=dataset, trials=1, minutes=None, workers=1, seed=1, trial_clips=1_000, final_clips=3_000
    )
    result, folder = api.search(settings, tmp_path / "run")
    parser = argparse.ArgumentParser()
    search_cmd.add_arguments(parser)
    given = search_cmd.settings_of(parser.parse_args(["--start", str(folder), "--refit"]))
    again, _ = api.search(replace(settings, start=given.start, refit=given.refit), tmp_path / "again")
    assert again.refit
    assert again.trials[0].proposal.architecture == result.architecture  # with what it has learnt
    assert (again.trials[0].evaluation.accuracy or 0) >= (result.outcome.evaluation.accuracy or 0) - 0.1


@pytest.mark.slow
def test_words_in_a_stream_of_new_rows_out(dataset: str, tmp_path: Path) -> None:
    """The same for streams: whatever the search finds, a result computes new rows alone, as the whole network would."""
    parser = argparse.ArgumentParser()
    search_cmd.add_arguments(parser)
    arguments = ["--dataset", dataset, "--streaming", "--trials", "3", "--workers", "1", "--controller", "random"]
    asked = replace(search_cmd.settings_of(parser.parse_args(arguments)), trial_clips=500, final_clips=1_500)
    result, folder = api.search(asked, tmp_path / "run")
    assert result.architecture.time_padding == "valid"

    manifest = Manifest.beside(folder / "firmware")
    assert manifest is not None and manifest.front_end["loudness"] == "none"
    assert manifest.stream["evaluation"] == "incremental"

    sound = np.random.default_rng(0).normal(0, 3_000, 40_000).astype(np.int16)
    scores = [
        stream.scores(sound, 16_000, 320 * DecisionSettings().hops_a_result)
        for stream in (
            open_ear(folder / "firmware").stream,
            stream_bundle(*api._with_manifest(folder), whole=True).on_this_computer(),
        )
    ]
    np.testing.assert_array_equal(*scores)

    report = api.evaluate_stream(folder, dataset, StreamSettings(hours=0.05))
    assert report.test.said > 0 and report.decisions.threshold <= 1
