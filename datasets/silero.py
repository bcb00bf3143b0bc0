"""Silero's voices: over a hundred people's of English in one file, and some of German, Spanish and French.

What tells people apart is what networks have to learn to pass over, so a synthesiser of many people is worth more than
one that sounds better. The file is a TorchScript package (`voice_files` says where it lies) and needs PyTorch, in
processes of its own (see silero_worker.py). It knows tempos by name and no pitch that sounds like a person's, so a
voice is played slower or faster, as if by somebody larger or smaller.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio, silero_worker, speech_process, voice_files
from rena_kws.datasets.utterance import Utterance
from rena_kws.errors import DatasetError, UnavailableError

BATCH = 200
"""Utterances a process: to start one takes as long as to speak fifty."""
_TEMPOS = ((150, "slow"), (180, "medium"), (10_000, "fast"))
"""Words a minute below which a tempo is taken. Beside `medium`, taken for 170, words last 1.26 and 0.87 times as long
(measured: four words, four voices)."""
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


def version() -> str:
    """Of the files. Those of another version may speak otherwise."""
    return voice_files.state(_files())


def speak(utterances: Sequence[Utterance], workers: int) -> Iterator[FloatArray]:
    """The sound of each text in order, float32 (samples,) at 16 kHz; `workers` processes at a time."""
    return speech_process.in_batches(_speak_batch, utterances, BATCH, workers)


def _speak_batch(batch: Sequence[Utterance]) -> list[FloatArray]:
    (language,) = {utterance.accent for utterance in batch}
    said = [[utterance.voice, _ssml(utterance)] for utterance in batch]
    answer = speech_process.work(silero_worker.__file__, {"model": str(_file(language)), "utterances": said})
    rate_hz = answer[0]["rate_hz"]
    return [
        audio.resample(sound, round(rate_hz / utterance.larger(_MOST_STRETCH)))
        for sound, utterance in zip(speech_process.sounds(answer), batch, strict=True)
    ]


def _ssml(utterance: Utterance) -> str:
    tempo = next(name for below, name in _TEMPOS if utterance.words_a_minute < below)
    return f'<speak><prosody rate="{tempo}">{escape(utterance.text)}.</prosody></speak>'


def _files() -> list[Path]:
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError("Silero's voices need PyTorch: pip install torch")
    if not (files := voice_files.found("v3_*.pt")):
        raise UnavailableError(f"Silero's voices of English need its file v3_en.pt in {voice_files.folder()}")
    return files


def _file(language: str) -> Path:
    by_language = {path.stem.partition("_")[2]: path for path in _files()}
    if language not in by_language:
        raise DatasetError(f"Silero's files here speak {', '.join(by_language)}, not {language!r}")
    return by_language[language]


@lru_cache  # Python and PyTorch take seconds to start
def _speakers(file: Path, mtime_ns: int) -> tuple[str, ...]:
    header, _ = speech_process.work(silero_worker.__file__, {"model": str(file)})
    return tuple(header["speakers"])
