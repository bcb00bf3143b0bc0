"""A sound file or a microphone, through the C of a bundle or of a model, built for this computer."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rena_kws import model_file
from rena_kws.datasets import audio
from rena_kws.datasets.base import SAMPLE_RATE_HZ
from rena_kws.devices import catalogue
from rena_kws.errors import ModelError, UnavailableError
from rena_kws.export.manifest import Manifest
from rena_kws.frontend.settings import FrontEnd
from rena_kws.profilers.cortex_m.stream_profile import StreamCost, profile_stream
from rena_kws.streaming.bundle import stream_bundle
from rena_kws.streaming.host_stream import Event, HostStream
from rena_kws.streaming.stream_sound import Sound

_NOT_OF_THE_LIBRARY = ("_example.c", "_board.c", "_harness.c", "_harness.h")
_PIECE_S = 0.1


@dataclass(frozen=True)
class Detection:
    """A word, and when its detection was certain: seconds from the beginning of the sound."""

    time_s: float
    label: str
    score: float


@dataclass(frozen=True)
class Ear:
    """A stream's C, loaded, with what its numbers mean."""

    stream: HostStream
    labels: tuple[str, ...]
    sample_rate_hz: int

    def hear(self, pieces: Iterator[Sound], on_detection: Callable[[Detection], None]) -> None:
        """Tell each detection as soon as its sound was heard."""

        def on_event(event: Event) -> None:
            on_detection(Detection(event.position / self.sample_rate_hz, self.labels[event.label], event.score))

        listener = self.stream.listen(on_event)
        for piece in pieces:
            listener.push(piece)


def open_ear(folder: Path) -> Ear:
    """Of an exported bundle of C, whose own sources are compiled, or of a run or model with its manifest.

    Raises `ModelError` for a folder that cannot listen.
    """
    headers = _stream_headers(folder)
    if not headers:
        model = model_file.find(folder)
        bundle = stream_bundle(model_file.load(model), Manifest.beside(model))
        return Ear(bundle.on_this_computer(), bundle.labels, bundle.front_end.sample_rate_hz)
    name, sources_folder = headers[0].name.removesuffix("_stream.h"), headers[0].parent
    manifest = Manifest.beside(folder)
    if manifest is None:
        raise ModelError(f"{folder} has no manifest: export the bundle again")
    files = [
        path
        for path in sorted(sources_folder.iterdir())
        if path.suffix in (".c", ".h") and path.name.startswith(name) and not path.name.endswith(_NOT_OF_THE_LIBRARY)
    ]
    sources = {path.name: path.read_text(encoding="utf-8") for path in files}
    return Ear(HostStream(sources, name), manifest.labels, FrontEnd.from_json(manifest.front_end).sample_rate_hz)


def hear_on_chip(model: Path, sound: Path, device: str, on_detection: Callable[[Detection], None]) -> StreamCost:
    """Tell the detections in a file on an emulated Cortex-M → what they cost. Raises as `profile_stream` does, and
    `ModelError` for an exported bundle."""
    if _stream_headers(model):
        raise ModelError(f"--device wants a model or a run; {model} is an exported bundle, heard on this computer")
    file = model_file.find(model)
    bundle = stream_bundle(model_file.load(file), Manifest.beside(file))
    rate_hz = bundle.front_end.sample_rate_hz
    samples = np.concatenate(list(file_pieces(sound, rate_hz)))
    target = catalogue.get(device)
    cost = profile_stream(bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, target, samples)
    for event in cost.events:
        score = event.score / bundle.decisions.full_score
        on_detection(Detection(event.position / rate_hz, bundle.labels[event.label], score))
    return cost


def _stream_headers(folder: Path) -> list[Path]:
    """Of an exported bundle of C; none of a model or a run."""
    return sorted(path for pattern in ("*_stream.h", "src/*_stream.h") for path in folder.glob(pattern))


def file_pieces(path: Path, sample_rate_hz: int) -> Iterator[Sound]:
    """The sound of a file, piece by piece. Raises `ModelError` for a file that is none, `UnavailableError`."""
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise ModelError(f"files are read at {SAMPLE_RATE_HZ} Hz; the model listens at {sample_rate_hz} Hz")
    try:
        sound = audio.read(path)
    except audio.UnreadableError as error:
        raise ModelError(f"{path} cannot be listened to: {error}") from None
    samples = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
    step = round(_PIECE_S * sample_rate_hz)
    yield from (samples[start : start + step] for start in range(0, len(samples), step))


def microphone_pieces(sample_rate_hz: int) -> Iterator[Sound]:
    """What the default microphone hears, without end. Raises `UnavailableError` where there is none to be had."""
    device = _sounddevice()
    heard: queue.Queue[Sound] = queue.Queue()

    def received(data: Any, frames: int, time: Any, status: Any) -> None:
        heard.put(np.array(data[:, 0], np.int16))

    try:
        with device.InputStream(
            samplerate=sample_rate_hz,
            channels=1,
            dtype="int16",
            blocksize=round(_PIECE_S * sample_rate_hz),
            callback=received,
        ):
            while True:
                yield heard.get()
    except device.PortAudioError as error:
        raise UnavailableError(f"the microphone cannot be opened: {error}") from None


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise UnavailableError("a microphone needs sounddevice: pip install 'rena-kws[mic]'") from None
    except OSError as error:  # the package is there, PortAudio is not
        raise UnavailableError(f"a microphone needs PortAudio ({error}): apt-get install libportaudio2") from None
    return sounddevice
