"""Listening to a file, a microphone's samples, and on an emulated chip: the same words at the same time."""

from __future__ import annotations

import json
import re
import sys
import types
import wave
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import beeps
import numpy as np
import pytest
from beeps import DECISIONS, SAID

from rena_kws import api
from rena_kws.artifacts import Port
from rena_kws.cli.main import main
from rena_kws.decisions import DecisionSettings
from rena_kws.devices import catalogue
from rena_kws.devices.description import MemoryPath
from rena_kws.errors import DoesNotFitError, ModelError
from rena_kws.firmware.emit_features import features_sources
from rena_kws.profilers.cortex_m import features_profile
from rena_kws.profilers.cortex_m.features_profile import profile_features
from rena_kws.profilers.cortex_m.stream_profile import profile_stream
from rena_kws.streaming.bundle import StreamBundle, stream_bundle
from rena_kws.streaming.host_stream import Event, HostStream
from rena_kws.streaming.listening import file_pieces, microphone_pieces, open_ear


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return beeps.write_model(tmp_path_factory.mktemp("model"), DECISIONS)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return beeps.said()


@pytest.fixture
def file(sound: np.ndarray, tmp_path: Path) -> Path:
    return write_wav(sound, tmp_path / "said.wav")


def write_wav(sound: np.ndarray, path: Path) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16_000, len(sound), "NONE", ""))
        out.writeframes(sound.astype("<i2").tobytes())
    return path


def check(found: list[dict[str, Any]]) -> None:
    assert [one["label"] for one in found] == [label for label in SAID if label != "_unknown_"]
    spoken_s = [1.3 + 1.5 * number for number, label in enumerate(SAID) if label != "_unknown_"]
    for one, begins in zip(found, spoken_s, strict=True):
        assert begins < one["time_s"] < begins + 1.2 and 0.8 <= one["score"] <= 1


def test_a_bundle_and_its_model_hear_the_words(
    model: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = api.export(model, "c", tmp_path / "bundle", "ear", harness=True)
    heard = []
    for folder in (model.parent, bundle):
        assert main(["listen", str(file), "--model", str(folder), "--json"]) == 0
        heard.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    check(heard[0])
    assert heard[0] == heard[1]
    assert main(["listen", str(file), "--model", str(bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].split()[1] == "s" and lines[0].endswith("low")


@pytest.mark.slow
def test_the_command_line_listens_on_a_chip(
    model: Path, sound: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = write_wav(sound[:64_000], tmp_path / "short.wav")
    assert main(["listen", str(short), "--model", str(model), "--device", "nucleo-l4r5zi"]) == 0
    *detections, cost = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in detections] == ["low", "high"]
    assert "% of the processor (stream" in cost and "mW and what it draws asleep (estimated)" in cost
    assert main(["listen", "mic", "--model", str(model), "--device", "cortex-m4"]) == 2
    assert "with a sound file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_profile_tells_of_front_end_and_stream(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(model), "--device", "cortex-m33"]) == 0
    told = capsys.readouterr().out
    assert "a clip's features, not counted above:" in told and "listening, a result every 100 ms:" in told
    assert main(["profile", str(model), "--device", "cortex-m33", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert parts["features"]["cycles"] > parts["stream"]["features_cycles_a_hop"] > 0
    assert 0 < parts["stream"]["load"] < 1
    bare = api.profile(beeps.model(), "cortex-m33")
    assert set(bare.parts) == {"network"}


def test_a_bundle_is_heard_through_its_own_sources(model: Path, file: Path, tmp_path: Path) -> None:
    bundle = api.export(model, "c", tmp_path / "bundle", "ear")
    settings = bundle / "ear_stream_settings.h"
    settings.write_text(
        settings.read_text().replace("#define EAR_IS_KEYWORD {1, 1, 0}", "#define EAR_IS_KEYWORD {0, 1, 0}")
    )
    words: list[str] = []
    open_ear(bundle).hear(file_pieces(file, 16_000), lambda found: words.append(found.label))
    assert words == ["high"] * 3


def test_what_cannot_be_listened_to_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.wav").write_bytes(b"no sound")
    assert main(["listen", str(tmp_path / "noise.wav"), "--model", str(model.parent)]) == 2
    assert "cannot be listened to: not a sound file" in capsys.readouterr().err
    with pytest.raises(ModelError, match="holds none"):
        open_ear(tmp_path)


class Microphone(types.ModuleType):
    """sounddevice's InputStream over samples that are there; when they end the user presses Ctrl-C."""

    class PortAudioError(Exception):
        pass

    def __init__(self, sound: np.ndarray) -> None:
        super().__init__("sounddevice")
        self._sound = sound
        self.settings: dict[str, Any] = {}

    def InputStream(self, callback: Callable[..., None], **settings: Any) -> Microphone:
        self.settings = settings
        buffer = np.zeros((settings["blocksize"], 1), np.int16)  # PortAudio uses it again and again
        for start in range(0, len(self._sound) - len(buffer), len(buffer)):
            buffer[:, 0] = self._sound[start : start + len(buffer)]
            callback(buffer, len(buffer), None, None)
        return self

    def __enter__(self) -> Microphone:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_the_microphone_is_heard(model: Path, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    microphone = Microphone(sound)
    monkeypatch.setitem(sys.modules, "sounddevice", microphone)
    pieces = microphone_pieces(16_000)
    words: list[str] = []
    count = (len(sound) - 1_600) // 1_600
    open_ear(model.parent).hear((next(pieces) for _ in range(count)), lambda found: words.append(found.label))
    assert words == [label for label in SAID if label != "_unknown_"]
    assert microphone.settings == {"samplerate": 16_000, "channels": 1, "dtype": "int16", "blocksize": 1_600}


def test_without_a_microphone_it_says_how_to_get_one(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["listen", "mic", "--model", str(model.parent)]) == 2
    assert "pip install 'rena-kws[mic]'" in capsys.readouterr().err


def on_this_computer(bundle: StreamBundle, sound: np.ndarray, core: str) -> list[Event]:
    """With the arithmetic that a core without an FPU has."""
    defines = "#define KWS_FRONT_END_FIXED 1\n" + "#define __ARM_ARCH_ISA_THUMB 1\n" * (core == "cortex-m0plus")
    stream = HostStream({name: defines + text for name, text in bundle.sources.items()}, "kws")
    events: list[Event] = []
    stream.listen(events.append).push(sound)
    return events


SLOW = (pytest.param(core, marks=pytest.mark.slow) for core in ("cortex-m4", "cortex-m0plus"))


@pytest.mark.parametrize("device", ["nucleo-l4r5zi", *SLOW])
def test_the_chip_hears_what_this_computer_does(model: Path, sound: np.ndarray, device: str) -> None:
    """Samples in, events out."""
    bundle = stream_bundle(*api._with_manifest(model))
    sound = sound[: 16_000 * 4]
    cost = api.profile_stream(model, device, sound)
    expected = on_this_computer(bundle, sound, device)
    assert [event.label for event in expected] == [0, 1]
    found = [Event(event.label, event.score / DECISIONS.full_score, event.position) for event in cost.events]
    if cost.arithmetic == "integers":
        assert found == expected
    else:
        assert [event.label for event in found] == [event.label for event in expected]
    assert cost.how == "emulated" and cost.arithmetic == ("integers" if device[0] == "c" else "single precision")
    assert set(cost.cycles_a_hop) == {"stream", "features", "network"}
    assert all(cycles > 0 for cycles in cost.cycles_a_hop.values())
    per_second = (sum(cost.cycles_a_hop.values()) + cost.memory_cycles_a_hop) * 1000 / cost.hop_ms
    assert cost.load == pytest.approx(per_second / (catalogue.get(device).clock_hz or 0))
    longest_hop = cost.longest_push_ms / 1000 * (catalogue.get(device).clock_hz or 0)
    assert longest_hop > sum(cost.cycles_a_hop.values())
    assert cost.ram_bytes >= cost.stream_bytes + cost.arena_bytes + cost.stack_bytes > 5_000


@pytest.mark.slow
def test_a_hop_computes_one_frame_and_a_result_costs_the_same_however_often(model: Path) -> None:
    costs = {}
    for hops in (1, 10):
        bundle = stream_bundle(*api._with_manifest(model)).deciding(DecisionSettings(hops_a_result=hops))
        costs[hops] = profile_stream(
            bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, catalogue.get("cortex-m33")
        )
    network = [costs[hops].cycles_a_hop["network"] * hops for hops in (1, 10)]
    assert network[0] == pytest.approx(network[1], rel=0.01)
    clip = profile_features(beeps.FRONT_END, bundle.firmware.inputs[0], catalogue.get("cortex-m33"))
    assert 0.9 < costs[10].cycles_a_hop["features"] / (clip.cycles / 49) < 2


def test_the_longest_hop_waits_for_the_memory_as_the_load_does(model: Path, sound: np.ndarray) -> None:
    bundle, cortex_m4 = stream_bundle(*api._with_manifest(model)), catalogue.get("cortex-m4")
    slower = replace(cortex_m4, memory=MemoryPath(fetch_stall_share=0.5))
    quick, slow = (
        profile_stream(bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, device, sound[:17_600])
        for device in (cortex_m4, slower)
    )
    assert slow.load == pytest.approx(1.5 * quick.load, rel=1e-4)
    assert slow.longest_push_ms == pytest.approx(1.5 * quick.longest_push_ms, rel=1e-4)


def test_too_little_sound_or_memory_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="17600 samples or more, not 16000"):
        api.profile_stream(model, "cortex-m4", np.zeros(16_000, np.int16))
    bundle = stream_bundle(*api._with_manifest(model))
    small = replace(catalogue.get("cortex-m4"), ram_bytes=6_000)
    with pytest.raises(DoesNotFitError, match="bytes of RAM and a stack, there are 6000"):
        profile_stream(bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, small)


def deep(sources: Mapping[str, str], file: str, function: str) -> Mapping[str, str]:
    """The same, but a function first calls one that takes 700 bytes of stack."""
    taker = "static __attribute__((noinline)) void take_stack(void) { volatile char all[700] = {0}; (void)all[0]; }\n"
    text, count = re.subn(rf"^void {function}\(.*\)\n\{{\n", r"\g<0>take_stack();\n", sources[file], flags=re.MULTILINE)
    assert count == 1
    return {**sources, file: taker + text}


def bytes_needed(error: DoesNotFitError) -> int:
    """Beside the stack, of a refusal."""
    return int(re.findall(r"needs? (\d+) bytes of RAM and a stack", str(error))[0])


def test_a_stack_that_runs_into_the_stream_is_noticed(model: Path, sound: np.ndarray) -> None:
    bundle, cortex_m4 = stream_bundle(*api._with_manifest(model)), catalogue.get("cortex-m4")
    sources = deep(bundle.sources, "kws_stream.c", "kws_stream_push")

    def profile(ram_bytes: int) -> None:
        device = replace(cortex_m4, ram_bytes=ram_bytes)
        profile_stream(sources, bundle.firmware, bundle.front_end, bundle.decisions, device, sound[:17_600])

    with pytest.raises(DoesNotFitError) as refused:
        profile(6_000)
    with pytest.raises(DoesNotFitError, match=r"the stream failed on cortex-m4: the stack ran into .* are 600 bytes"):
        profile(bytes_needed(refused.value) + 600)


def test_a_stack_that_runs_into_the_features_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    front_end = replace(beeps.FRONT_END, clip_ms=70)
    port, cortex_m4 = Port(0, (1, *front_end.shape), "int8", 0.1, 0), catalogue.get("cortex-m4")
    sources = deep(features_sources(front_end, port, "kws"), "kws_front_end.c", "kws_features")
    monkeypatch.setattr(features_profile, "features_sources", lambda *_: sources)

    def profile(ram_bytes: int) -> None:
        profile_features(front_end, port, replace(cortex_m4, ram_bytes=ram_bytes))

    with pytest.raises(DoesNotFitError) as refused:
        profile(2_000)
    with pytest.raises(DoesNotFitError, match=r"front end failed on cortex-m4: the stack ran into .* are 600 bytes"):
        profile(bytes_needed(refused.value) + 600)
