"""Silero's voices: over a hundred people's of English in one file, and some of German, Spanish and French.

What tells people apart is what networks have to learn to pass over, so a synthesiser of many people is worth more than
one that sounds better. The file is a TorchScript package (`voice_files` says where it lies) and needs PyTorch, in
processes of its own (see silero_worker.py). Its voices heed no pitch in a way that sounds like a person, so one is
played slower or faster, as if by somebody larger or smaller, after its tempo was set to make up for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio, silero_worker, speech_process, voice_files
from rena_kws.datasets.utterance import Utterance
from rena_kws.errors import DatasetError, UnavailableError

BATCH = 200
"""Utterances a process: to start one takes as long as to speak fifty."""
_MOST_STRETCH = 1.15

FloatArray = NDArray[np.float32]


def voices(language: str) -> dict[str, str]:
    """Each voice is a person. Raises `DatasetError` for a language that there is no file of."""
    file = _file(language)
    speakers = _speakers(file, file.stat().st_mtime_ns)
    return {speaker: f"silero-{speaker}" for speaker in speakers if speaker != "random"}


def accents(language: str) -> tuple[str, ...]:
    """Each voice has its own; what is chosen is the language."""
    return (language,)


def can_say(text: str) -> bool:
    """Words written out: it passes over digits, and over eSpeak NG's phonemes."""
    return not any(letter.isdigit() or letter in "[]" for letter in text)


def version() -> str:
    """Of the files. Those of another version may speak otherwise."""
    return voice_files.state(_files("en"))


def speak(utterances: Sequence[Utterance], workers: int) -> Iterator[FloatArray]:
    """The sound of each text in order, float32 (samples,) at 16 kHz; `workers` processes at a time."""
    return speech_process.in_batches(_speak_batch, utterances, BATCH, workers)


def _speak_batch(batch: Sequence[Utterance]) -> list[FloatArray]:
    (language,) = {utterance.accent for utterance in batch}
    said = [[utterance.voice, f"{utterance.text}.", _tempo_percent(utterance)] for utterance in batch]
    answer = speech_process.work(silero_worker.__file__, {"model": str(_file(language)), "utterances": said})
    rate_hz = answer[0]["rate_hz"]
    return [
        audio.resample(sound, round(rate_hz / utterance.larger(_MOST_STRETCH)))
        for sound, utterance in zip(speech_process.sounds(answer), batch, strict=True)
    ]


def _tempo_percent(utterance: Utterance) -> int:
    """Of the voice's own, so that the sound has the tempo that is asked for after it was played slower or faster."""
    return round(100 / utterance.stretch(utterance.larger(_MOST_STRETCH)))


def _files(language: str) -> list[Path]:
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError("Silero's voices need PyTorch: pip install torch")
    if not (files := voice_files.found("v3_*.pt")):
        raise UnavailableError(f"Silero's voices need its file v3_{language}.pt in {voice_files.folder()}")
    return files


def _file(language: str) -> Path:
    by_language = {path.stem.partition("_")[2]: path for path in _files(language)}
    if language not in by_language:
        raise DatasetError(f"Silero's files here speak {', '.join(by_language)}, not {language!r}")
    return by_language[language]


@lru_cache  # Python and PyTorch take seconds to start
def _speakers(file: Path, mtime_ns: int) -> tuple[str, ...]:
    header, _ = speech_process.work(silero_worker.__file__, {"model": str(file)})
    return tuple(header["speakers"])
