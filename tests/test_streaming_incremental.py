"""Streams that compute new rows alone: the results are those of runs of the whole network, here and on a chip."""

from __future__ import annotations

import ctypes
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import listening_network
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_firmware_features import ARITHMETIC
from test_firmware_ops import limits

from rena_kws import api
from rena_kws.cli.main import main
from rena_kws.decisions import DecisionSettings
from rena_kws.devices import catalogue
from rena_kws.errors import RenaError
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit_features import scratch_words
from rena_kws.firmware.emit_stream import evaluation_of
from rena_kws.frontend.settings import FrontEnd
from rena_kws.profilers.cortex_m.stream_profile import profile_stream
from rena_kws.streaming.bundle import StreamBundle, stream_bundle
from rena_kws.streaming.host_stream import Event, HostStream

Sound = NDArray[np.int16]


def bundle_of(
    front_end: FrontEnd = listening_network.FRONT_END,
    decisions: DecisionSettings = listening_network.DECISIONS,
    whole: bool = False,
) -> StreamBundle:
    model = listening_network.model(front_end)
    return stream_bundle(model, listening_network.manifest(front_end, decisions), whole=whole)


def scores_of_clip(host: HostStream, bundle: StreamBundle, clip: Sound, word: type[np.generic]) -> list[int]:
    """By the functions for whole clips, out of the same library."""
    firmware = bundle.firmware
    memory = np.zeros(firmware.arena_bytes + 16, np.int8)
    arena = memory[-memory.ctypes.data % 16 :]
    scratch, clip = np.zeros(scratch_words(bundle.front_end), word), np.ascontiguousarray(clip)
    features = arena[firmware.inputs[0].offset :]
    host._library.kws_features(*(ctypes.c_void_p(a.ctypes.data) for a in (clip, features, scratch)))
    host._library.kws_run(ctypes.c_void_p(arena.ctypes.data))
    port = firmware.outputs[0]
    return [int(value) for value in arena[port.offset : port.offset + port.size_bytes]]


@limits(5)
@given(
    arithmetic=st.sampled_from(["single precision", "integers"]),
    frames=st.integers(13, 24),
    rest_ms=st.integers(0, 19),
    hops_a_result=st.sampled_from([2, 4, 6]),
    seed=st.integers(0, 1 << 16),
    pieces=st.lists(st.integers(1, 900), min_size=1, max_size=6),
)
def test_every_result_is_that_of_its_clip(
    arithmetic: str, frames: int, rest_ms: int, hops_a_result: int, seed: int, pieces: list[int]
) -> None:
    """Sound in pieces of any size, clips of any length."""
    clip_ms = 20 * (frames - 1) + 30 + rest_ms
    front_end = replace(listening_network.FRONT_END, clip_ms=clip_ms, coefficients=6)
    bundle = bundle_of(front_end, replace(listening_network.DECISIONS, hops_a_result=hops_a_result))
    assert bundle.evaluation == "incremental"
    host = HostStream({file: ARITHMETIC[arithmetic] + text for file, text in bundle.sources.items()}, "kws")
    sound = listening_network.sound(1.5, seed)
    word = np.float32 if arithmetic == "single precision" else np.int32
    found = host.scores(sound, front_end.clip_samples, bundle.period_samples)
    ends = range(front_end.clip_samples, len(sound) + 1, bundle.period_samples)
    expected = [scores_of_clip(host, bundle, sound[end - front_end.clip_samples : end], word) for end in ends]
    assert found.tolist() == expected
    assert len(np.unique(found, axis=0)) > 3
    heard, at_once = events_of(host, sound, pieces), events_of(host, sound, [len(sound)])
    assert heard == at_once


def events_of(host: HostStream, sound: Sound, pieces: list[int]) -> list[Event]:
    events: list[Event] = []
    listener = host.listen(events.append)
    start = 0
    while start < len(sound):
        for piece in pieces:
            listener.push(sound[start : start + piece])
            start += piece
    return events


def test_decisions_are_those_of_whole_runs() -> None:
    sound = listening_network.sound(20)
    incremental, whole = bundle_of(), bundle_of(whole=True)
    assert (incremental.evaluation, whole.evaluation) == ("incremental", "whole")
    events = [events_of(bundle.on_this_computer(), sound, [777]) for bundle in (incremental, whole)]
    assert events[0] == events[1] and len(events[0]) > 5


@pytest.mark.slow
def test_an_emulated_chip_decides_alike_and_has_less_to_do() -> None:
    sound = listening_network.sound(2.2, 3)
    incremental, whole = bundle_of(), bundle_of(whole=True)
    costs = [
        profile_stream(b.sources, b.firmware, b.front_end, b.decisions, catalogue.get("cortex-m4"), sound)
        for b in (incremental, whole)
    ]
    integers = {file: ARITHMETIC["integers"] + text for file, text in incremental.sources.items()}
    heard = events_of(HostStream(integers, "kws"), sound, [len(sound)])
    full_score = incremental.decisions.full_score
    for cost in costs:
        assert [(e.label, e.score / full_score, e.position) for e in cost.events] == [
            (e.label, e.score, e.position) for e in heard
        ]
    assert len(heard) >= 2
    assert costs[0].cycles_a_hop["network"] < 0.5 * costs[1].cycles_a_hop["network"]
    run = incremental.firmware.incremental
    assert run is not None and costs[0].kept_bytes == run.rows_bytes > 0 == costs[1].kept_bytes
    assert costs[0].stream_bytes > run.rows_bytes
    assert "of new rows alone" in costs[0].as_line() and "every 80 ms: " in costs[1].as_line()


def test_how_a_stream_is_evaluated_follows_from_front_end_network_and_hops() -> None:
    by_peak = bundle_of(replace(listening_network.FRONT_END, loudness="clip_peak"))
    assert evaluation_of(by_peak.front_end, by_peak.firmware, by_peak.decisions)[1].endswith("by its peak")
    odd = bundle_of(decisions=replace(listening_network.DECISIONS, hops_a_result=3))
    assert odd.evaluation == "whole" and "moves on by 3/2 of its" in odd.firmware.whole_because
    again = odd.deciding(replace(odd.decisions, hops_a_result=2))
    assert again.evaluation == "incremental"
    assert evaluation_of(again.front_end, again.firmware, odd.decisions)[0] == "whole"
    assert again.firmware.incremental is not None and again.firmware.incremental.new_rows == 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An incremental bundle of C and, beside it, one that runs the whole network."""
    folder = tmp_path_factory.mktemp("exported")
    model = listening_network.write_model(folder / "model")
    for name, more in (("rows", []), ("whole", ["--whole"])):
        command = ["export", str(model), "--format", "c", "--out", str(folder / name), "--name", "ear", *more]
        assert main(command) == 0
    return folder


def test_a_bundle_says_how_it_is_evaluated_and_proves_it(exported: Path, tool: Callable[[str], str]) -> None:
    for name, evaluation in (("rows", "incremental"), ("whole", "whole")):
        manifest = Manifest.beside(exported / name)
        assert manifest is not None and manifest.stream["evaluation"] == evaluation
        assert (manifest.stream["kept_bytes"] > 0) == (evaluation == "incremental")
        assert manifest.stream["ram_bytes"] > manifest.stream["stream_bytes"] > manifest.stream["kept_bytes"]
        assert f"Evaluation: {evaluation}" in (exported / name / "README.md").read_text()
        done = subprocess.run([tool("make"), "test"], cwd=exported / name, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 streams, 0 results are not those of their clips" in done.stdout
    assert json.loads((exported / "whole" / "manifest.json").read_text())["stream"]["because"] == "that was asked for"


def test_the_hops_of_an_incremental_bundle_cannot_be_changed_unnoticed(
    exported: Path, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    for file in (exported / "rows").glob("ear*.[hc]"):
        (tmp_path / file.name).write_text(file.read_text().replace("HOPS_A_RESULT 4", "HOPS_A_RESULT 2"))
    done = subprocess.run([tool("gcc"), "-c", "ear_history.c"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and "export it again" in done.stderr


def test_a_model_file_has_no_evaluation(tmp_path: Path) -> None:
    model = listening_network.write_model(tmp_path / "model")
    with pytest.raises(RenaError, match="how it is evaluated is asked for with the formats c, arduino and zephyr"):
        api.export(model, "tflite", tmp_path / "out", whole=True)
