"""The stream in C: what it hears at any moment is what the whole-clip functions make of the same samples."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import listening_network
import numpy as np
import pytest
from flatbuffer_models import ModelBuilder, small_conv_model
from host_firmware import STRICT_FLAGS
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_firmware_features import ARITHMETIC, port_of

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.decisions import DecisionSettings
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import generate
from rena_kws.firmware.emit_features import features_sources, scratch_words
from rena_kws.firmware.emit_stream import stream_sources
from rena_kws.frontend.settings import FrontEnd
from rena_kws.streaming.bundle import stream_bundle
from rena_kws.streaming.host_stream import Event, HostStream

SETTINGS = {
    "frames overlap": FrontEnd(clip_ms=200, hop_ms=20, window_ms=30),
    "a clip of whole hops": FrontEnd(clip_ms=200, hop_ms=10, window_ms=20, kind="log_mel"),
    "frames apart": FrontEnd(clip_ms=175, hop_ms=20, window_ms=15, fft_size=256, log_floor=0.1),
    "as loud as it is": FrontEnd(clip_ms=200, log_floor=0.01, loudness="none"),
    "one frame": FrontEnd(clip_ms=32, hop_ms=20, window_ms=30),
    "hops beyond the clip": FrontEnd(clip_ms=15, hop_ms=20, window_ms=15, fft_size=256),
}


def repeater(front_end: FrontEnd) -> Firmware:
    """A network that gives back its input."""
    model = ModelBuilder()
    count = int(np.prod(front_end.shape))
    x = model.tensor((1, *front_end.shape), scale=1 / 256, zero_point=-128)
    y = model.tensor((1, count), scale=1 / 256, zero_point=-128)
    model.op("RESHAPE", [x], [y], "ReshapeOptions", newShape=[1, count])
    return generate(ConvertedModel("tflite", model.build([x], [y])), "kws")


@cache
def repeating_stream(name: str, arithmetic: str, hops_a_result: int) -> HostStream:
    front_end = SETTINGS[name]
    firmware = repeater(front_end)
    labels = [f"feature {index}" for index in range(int(np.prod(front_end.shape)))]
    sources = {
        **firmware.sources,
        **features_sources(front_end, replace(port_of(front_end), shape=firmware.inputs[0].shape), "kws"),
        **stream_sources(front_end, firmware, labels, DecisionSettings(hops_a_result=hops_a_result)),
    }
    return HostStream({file: ARITHMETIC[arithmetic] + text for file, text in sources.items()}, "kws")


def features_of(stream: HostStream, front_end: FrontEnd, clip: np.ndarray, arithmetic: str) -> np.ndarray:
    """By the function for whole clips, out of the same library."""
    out = np.zeros(int(np.prod(front_end.shape)), np.int8)
    scratch = np.zeros(scratch_words(front_end), np.float32 if arithmetic == "single precision" else np.int32)
    clip = np.ascontiguousarray(clip)
    stream._library.kws_features(*(ctypes.c_void_p(a.ctypes.data) for a in (clip, out, scratch)))
    return out


@hypothesis_settings(max_examples=25)
@given(
    name=st.sampled_from(sorted(SETTINGS)),
    arithmetic=st.sampled_from(["single precision", "integers"]),
    hops_a_result=st.sampled_from([1, 3]),
    seed=st.integers(0, 1 << 16),
    pieces=st.lists(st.integers(1, 900), min_size=1, max_size=12),
)
def test_the_features_of_a_stream_are_those_of_its_clips(
    name: str, arithmetic: str, hops_a_result: int, seed: int, pieces: list[int]
) -> None:
    """Noise whose loudness jumps, so that peaks come and go; in pieces of any size; every result is compared."""
    front_end = SETTINGS[name]
    stream = repeating_stream(name, arithmetic, hops_a_result)
    rng = np.random.default_rng(seed)
    sound = np.repeat(10 ** rng.uniform(0, 4.5, 24), 250) * rng.normal(0, 0.4, 6000) - rng.uniform(0, 2000)
    sound = np.clip(sound, -32768, 32767).astype(np.int16)
    listener = stream.listen(lambda event: None)
    first, period = front_end.clip_samples, front_end.hop_samples * hops_a_result
    ends = range(first, len(sound) + 1, period)
    cuts = sorted({*ends, *(int(cut) for cut in np.cumsum(pieces * 10) if cut < len(sound))})
    compared = 0
    for start, end in zip([0, *cuts], cuts, strict=False):
        listener.push(sound[start:end])
        if end in ends:
            heard = np.frombuffer(ctypes.string_at(listener.arena, int(np.prod(front_end.shape))), np.int8)
            clip = sound[end - front_end.clip_samples : end]
            np.testing.assert_array_equal(heard, features_of(stream, front_end, clip, arithmetic))
            compared += 1
    assert compared == len(ends) > 0
    scores = stream.scores(sound, first, period)
    assert len(scores) == compared
    np.testing.assert_array_equal(scores[-1], features_of(stream, front_end, clip, arithmetic))


LABELS = ("yes", "no", "_silence_", "_unknown_", "maybe")


def small_stream(decisions: DecisionSettings) -> tuple[HostStream, FrontEnd]:
    front_end = FrontEnd(clip_ms=170, mel_bands=20, coefficients=6)
    firmware = generate(small_conv_model(input_scale=0.3), "bell")
    sources = {
        **firmware.sources,
        **features_sources(front_end, firmware.inputs[0], "bell"),
        **stream_sources(front_end, firmware, LABELS, decisions),
    }
    return HostStream(sources, "bell"), front_end


def test_events_are_the_decisions_on_the_scores() -> None:
    decisions = DecisionSettings(hops_a_result=2, smoothed_results=3, threshold=0.28, refractory_ms=100)
    stream, front_end = small_stream(decisions)
    rng = np.random.default_rng(1)
    sound = (np.repeat(10 ** rng.uniform(1, 4, 40), 2000) * rng.normal(0, 1, 80_000)).clip(-32768, 32767)
    sound = sound.astype(np.int16)
    period = front_end.hop_samples * decisions.hops_a_result
    scores = stream.scores(sound, front_end.clip_samples, period)
    expected = [
        Event(found.label, found.score / decisions.full_score, front_end.clip_samples + found.result * period)
        for found in stream.decide(scores)
    ]
    assert len(expected) > 3
    events: list[Event] = []
    listener = stream.listen(events.append)
    for start in range(0, len(sound), 777):
        listener.push(sound[start : start + 777])
    assert events == expected


def test_streams_do_not_share_state() -> None:
    stream, _ = small_stream(DecisionSettings(threshold=0.3))
    rng = np.random.default_rng(2)
    sounds = [rng.normal(0, 3000, 40_000).astype(np.int16) for _ in range(2)]
    alone: list[list[Event]] = [[], []]
    together: list[list[Event]] = [[], []]
    for sound, events in zip(sounds, alone, strict=True):
        stream.listen(events.append).push(sound)
    listeners = [stream.listen(events.append) for events in together]
    for start in range(0, 40_000, 500):
        for sound, listener in zip(sounds, listeners, strict=True):
            listener.push(sound[start : start + 500])
    assert alone == together


def test_sound_that_lies_apart_is_heard_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel of several: C reads a copy, which has to be there until it has."""
    stream, front_end = small_stream(DecisionSettings(threshold=0.3))
    channels = np.random.default_rng(2).normal(0, 3000, (40_000, 2)).astype(np.int16)
    channel, alone = channels[:, 1], channels[:, 1].copy()
    period = front_end.hop_samples * DecisionSettings().hops_a_result
    scores = stream.scores(channel, front_end.clip_samples, period)
    np.testing.assert_array_equal(scores, stream.scores(alone, front_end.clip_samples, period))
    assert stream.decide(scores[::2]) == stream.decide(scores[::2].copy())
    listener, read = stream.listen(lambda event: None), []

    def reads_late(state: ctypes.c_void_p, samples: ctypes.c_void_p, count: ctypes.c_size_t) -> None:
        others = [np.full(count.value, 7, np.int16) for _ in range(4)]  # in memory that is free
        read.append(np.frombuffer(ctypes.string_at(samples, others[0].nbytes), np.int16))

    monkeypatch.setattr(listener, "_push", reads_late)
    listener.push(channel[:5_000])
    np.testing.assert_array_equal(read[0], alone[:5_000])


def test_what_cannot_be_streamed_is_refused() -> None:
    front_end = FrontEnd(clip_ms=170, mel_bands=20, coefficients=6)
    firmware = generate(small_conv_model(), "bell")
    with pytest.raises(ModelError, match="a score for each of 2 labels; the network has 5"):
        stream_sources(front_end, firmware, ("yes", "no"), DecisionSettings())
    with pytest.raises(ModelError, match="a label that is a word"):
        stream_sources(front_end, firmware, ("_a_", "_b_", "_c_", "_d_", "_e_"), DecisionSettings())
    logits = replace(firmware, outputs=(replace(firmware.outputs[0], scale=0.1),))
    with pytest.raises(ModelError, match=r"as a softmax gives them .* scale 0\.1"):
        stream_sources(front_end, logits, LABELS, DecisionSettings())


def strict_sources(kept: str) -> Mapping[str, str]:
    """Of a stream that keeps bands, features, or rows of the network's images."""
    if kept == "rows":
        manifest = listening_network.manifest()
        return stream_bundle(listening_network.model(), manifest, "kws_door").sources
    front_end = FrontEnd(clip_ms=170, mel_bands=20, coefficients=6)
    front_end = replace(front_end, loudness="none") if kept == "features" else front_end
    firmware = generate(small_conv_model(input_scale=0.3), "kws_door")
    return {
        **firmware.sources,
        **features_sources(front_end, firmware.inputs[0], "kws_door"),
        **stream_sources(front_end, firmware, LABELS, DecisionSettings()),
    }


@pytest.mark.parametrize("kept", ["bands", "features", "rows"])
@pytest.mark.parametrize("core", ["", "cortex-m0plus", "cortex-m4"])
def test_compilers_have_nothing_to_say(core: str, kept: str, tmp_path: Path, tool: Callable[[str], str]) -> None:
    sources = strict_sources(kept)
    for file, text in sources.items():
        (tmp_path / file).write_text(text)
    compiler = [tool("arm-none-eabi-gcc"), f"-mcpu={core}", "-mthumb"] if core else [tool("gcc")]
    files = [file for file in sources if file.endswith(".c")]
    done = subprocess.run([*compiler, *STRICT_FLAGS, "-O2", "-c", *files], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kept", ["bands", "features", "rows"])
def test_headers_are_cpp_too(kept: str, tmp_path: Path, tool: Callable[[str], str]) -> None:
    for file, text in strict_sources(kept).items():
        (tmp_path / file).write_text(text)
    (tmp_path / "main.cpp").write_text('#include "kws_door_stream.h"\nkws_door_stream stream;\n')
    command = [tool("g++"), "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "main.cpp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
