"""Piper's voices, of many languages: a neural network a file, spoken with by one person or, in some, by hundreds.

Its package is used where it is installed (`pip install piper-tts`), in processes of its own (see piper_worker.py); the
files lie where `voice_files` says. Its voices heed no pitch, so one is played slower or faster, as if by somebody
larger or smaller, after its tempo was set to make up for it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio, piper_worker, speech_process, voice_files
from rena_kws.datasets.utterance import Utterance
from rena_kws.errors import DatasetError, UnavailableError

BATCH = 200
"""Utterances a process: to load a voice takes as long as to speak twenty."""
_MOST_STRETCH = 1.15
_QUALITY = re.compile("-(x_low|low|medium|high)$")

FloatArray = NDArray[np.float32]


def voices(language: str) -> dict[str, str]:
    """`FILE#NUMBER` of each speaker of each file of the language, whatever its region → the person: files that differ
    in their quality are of the same people. Raises `DatasetError` for a language that there is no file of."""
    by_file = {path: _settings(path) for path in _files()}
    spoken = {settings.language for settings in by_file.values()}
    if (family := language.partition("-")[0]) not in spoken:
        raise DatasetError(f"Piper's voices here speak {', '.join(sorted(spoken))}, not {language!r}")
    return {
        f"{path.stem}#{number}": f"piper-{_QUALITY.sub('', path.stem)}#{number}"
        for path, settings in by_file.items()
        if settings.language == family
        for number in range(settings.people)
    }


def accents(language: str) -> tuple[str, ...]:
    """Each voice has its own."""
    return (language,)


def can_say(text: str) -> bool:
    """All but eSpeak NG's phonemes."""
    return not text.startswith("[[")


def version() -> str:
    """Of the package, which has eSpeak NG's pronunciation in it, and of the files."""
    files = [file for path in _files() for file in (path, _beside(path))]
    return f"{importlib.metadata.version('piper-tts')} {voice_files.state(files)}"


def speak(utterances: Sequence[Utterance], workers: int) -> Iterator[FloatArray]:
    """The sound of each text in order, float32 (samples,) at 16 kHz; `workers` processes at a time."""
    return speech_process.in_batches(_speak_batch, utterances, BATCH, workers)


def _speak_batch(batch: Sequence[Utterance]) -> list[FloatArray]:
    by_name = {path.stem: (path, _settings(path).rate_hz) for path in _files()}
    said, rates_hz = [], []
    for utterance in batch:
        name, _, number = utterance.voice.rpartition("#")
        larger = utterance.larger(_MOST_STRETCH)
        path, rate_hz = by_name[name]
        said.append([str(path), int(number), f"{utterance.text}.", utterance.stretch(larger)])
        rates_hz.append(round(rate_hz / larger))
    sounds = speech_process.sounds(speech_process.work(piper_worker.__file__, {"utterances": said}))
    return [audio.resample(sound, rate_hz) for sound, rate_hz in zip(sounds, rates_hz, strict=True)]


def _files() -> list[Path]:
    if importlib.util.find_spec("piper") is None:
        raise UnavailableError("Piper's voices need its package: pip install 'rena-kws[voices]'")
    files = [path for path in voice_files.found("*.onnx") if _beside(path).is_file()]
    if not files:
        where = voice_files.folder()
        raise UnavailableError(
            f"Piper has no voice in {where}: python -m piper.download_voices --download-dir {where} VOICE"
        )
    return files


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


@dataclass(frozen=True)
class _Settings:
    """What the file beside a voice says of it; `language` by eSpeak NG's name, whose phonemes it speaks."""

    language: str
    people: int
    rate_hz: int


def _settings(path: Path) -> _Settings:
    """Raises `UnavailableError` where the file is not of Piper's kind."""
    try:
        told = json.loads(_beside(path).read_text(encoding="utf-8"))
        language = str(told["espeak"]["voice"]).partition("-")[0]
        return _Settings(language, int(told["num_speakers"]), int(told["audio"]["sample_rate"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"{_beside(path)} is no description of a voice of Piper's: {error!r:.80}") from error
