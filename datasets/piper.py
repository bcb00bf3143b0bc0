"""Piper's voices, of many languages: a neural network a file, spoken with by one person or, in some, by hundreds.

Its package is used where it is installed (`pip install piper-tts`), in processes of its own (see piper_worker.py); the
files lie where `voice_files` says. Its voices heed no pitch, so one is played slower or faster, as if by somebody
larger or smaller, after its tempo was set to make up for it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio, piper_worker, speech_process, voice_files
from rena_kws.datasets.utterance import Utterance
from rena_kws.errors import DatasetError, UnavailableError

BATCH = 200
"""Utterances a process: to load a voice takes as long as to speak twenty."""
WORDS_A_MINUTE = 170
"""Taken as the tempo of a voice of its own."""
_MOST_STRETCH = 1.15

FloatArray = NDArray[np.float32]


def voices(language: str) -> dict[str, str]:
    """`FILE#NUMBER` of each speaker of each file of the language → the person. Raises `DatasetError` for a language
    that there is no file of."""
    by_file = {path: _settings(path) for path in _files()}
    spoken = {settings["language"]["family"] for settings in by_file.values()}
    if language not in spoken:
        raise DatasetError(f"Piper's voices here speak {', '.join(sorted(spoken))}, not {language!r}")
    return {
        f"{path.stem}#{number}": f"piper-{path.stem}#{number}"
        for path, settings in by_file.items()
        if settings["language"]["family"] == language
        for number in range(settings["num_speakers"])
    }


def accents(language: str) -> tuple[str, ...]:
    """Each voice has its own."""
    return (language,)


def version() -> str:
    """Of the files. Those of another version may speak otherwise."""
    return voice_files.state(_files())


def speak(utterances: Sequence[Utterance], workers: int) -> Iterator[FloatArray]:
    """The sound of each text in order, float32 (samples,) at 16 kHz; `workers` processes at a time."""
    return speech_process.in_batches(_speak_batch, utterances, BATCH, workers)


def _speak_batch(batch: Sequence[Utterance]) -> list[FloatArray]:
    by_name = {path.stem: (path, _settings(path)["audio"]["sample_rate"]) for path in _files()}
    said, rates_hz = [], []
    for utterance in batch:
        name, _, number = utterance.voice.rpartition("#")
        larger = utterance.larger(_MOST_STRETCH)
        stretch = WORDS_A_MINUTE / utterance.words_a_minute / larger
        path, rate_hz = by_name[name]
        said.append([str(path), int(number), f"{utterance.text}.", stretch])
        rates_hz.append(round(rate_hz / larger))
    sounds = speech_process.sounds(speech_process.work(piper_worker.__file__, {"utterances": said}))
    return [audio.resample(sound, rate_hz) for sound, rate_hz in zip(sounds, rates_hz, strict=True)]


def _files() -> list[Path]:
    if importlib.util.find_spec("piper") is None:
        raise UnavailableError("Piper's voices need its package: pip install piper-tts")
    files = [path for path in voice_files.found("*.onnx") if _beside(path).is_file()]
    if not files:
        where = voice_files.folder()
        raise UnavailableError(
            f"Piper has no voice in {where}: python -m piper.download_voices --download-dir {where} VOICE"
        )
    return files


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _settings(path: Path) -> dict[str, Any]:
    """What the file beside a voice says of it. Raises `UnavailableError` where it is not of Piper's kind."""
    try:
        settings: dict[str, Any] = json.loads(_beside(path).read_text())
        int(settings["audio"]["sample_rate"]), int(settings["num_speakers"]), str(settings["language"]["family"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"{_beside(path)} is no description of a voice of Piper's: {error!r:.80}") from error
    return settings
