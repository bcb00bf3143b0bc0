"""Limits on the program that listens: measured as it will ship, and refused where nothing can measure it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tones import write_tones

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import LimitError
from rena_kws.export.manifest import Manifest
from rena_kws.pipeline import Task, evaluate, measure_untrained
from rena_kws.reward import STREAM_RESOURCES, parse_limit
from rena_kws.spec.search_space import seed_architecture

NETWORK = seed_architecture(3, channels=8, blocks=1)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path / "cache"))
    limits = tuple(map(parse_limit, ("stream_load_percent=90", "cortex-m0plus:stream_flash_bytes=90000")))
    return Task("nucleo-l4r5zi", write_tones(tmp_path / "tones.npz"), limits=limits)


@pytest.mark.slow
def test_what_a_limit_says_of_a_stream_is_what_the_exported_stream_costs(task: Task, tmp_path: Path) -> None:
    outcome = measure_untrained(NETWORK, task)
    found, model = outcome.evaluation.resources, outcome.model
    assert model is not None
    spent = api.profile_stream(saved(model, task, tmp_path / "model"), "nucleo-l4r5zi")
    expected = (100 * spent.load, spent.ram_bytes, spent.flash_bytes)
    assert tuple(found[name] for name in STREAM_RESOURCES) == pytest.approx(expected, rel=1e-9)
    assert found["stream_flash_bytes"] > found["flash_bytes"] + 2_000  # the front end, at least
    assert found["cortex-m0plus:stream_load_percent"] > 3 * found["stream_load_percent"]


def test_a_stream_over_its_limit_is_not_trained(task: Task) -> None:
    from dataclasses import replace

    tight = evaluate(NETWORK, replace(task, limits=(parse_limit("stream_flash_bytes=9000"),))).evaluation
    assert tight.status == "over_limit" and "stream_flash_bytes=9000 (is " in tight.reason
    with pytest.raises(LimitError, match="need an emulated Cortex-M, which cpu is not"):
        measure_untrained(NETWORK, replace(task, device="cpu", limits=(parse_limit("stream_load_percent=9"),)))


def saved(model: ConvertedModel, task: Task, folder: Path) -> Path:
    folder.mkdir()
    (folder / "m.tflite").write_bytes(model.data)
    manifest = Manifest.of(model, task.features("test").labels, task.front_end.as_json(), {}).named("m.tflite")
    (folder / "manifest.json").write_text(manifest.as_text())
    return folder
