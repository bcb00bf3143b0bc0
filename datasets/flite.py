"""Flite's voices of English, made from recordings of people: fewer than eSpeak NG's, and more natural.

Its program is used where it is installed (http://cmuflite.org; Debian: flite). Not all of its voices heed a pitch, so a
voice is played slower or faster, as if by somebody larger or smaller, after its tempo was set to make up for it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio
from rena_kws.datasets.base import SAMPLE_RATE_HZ
from rena_kws.datasets.utterance import Utterance, in_order
from rena_kws.errors import DatasetError, UnavailableError

VOICES = ("awb", "kal16", "rms", "slt")
"""One person each. Of its other two, kal is kal16 at half the rate, and awb_time can tell the time alone."""
_MOST_STRETCH = 1.25

FloatArray = NDArray[np.float32]


def voices(language: str) -> dict[str, str]:
    """Each voice is a person. Raises `DatasetError` for another language than English."""
    if language != "en":
        raise DatasetError(f"flite speaks English ('en'), not {language!r}")
    listed = _run(["-lv"]).partition(":")[2].split()
    return {voice: f"flite-{voice}" for voice in VOICES if voice in listed}


def accents(language: str) -> tuple[str, ...]:
    """Each voice has its own."""
    return (language,)


def can_say(text: str) -> bool:
    """All but eSpeak NG's phonemes."""
    return not text.startswith("[[")


def version() -> str:
    """What flite says of itself."""
    lines = _run(["--version"]).splitlines()
    return next((line.strip().removeprefix("version: ").partition(" (")[0] for line in lines if "version" in line), "?")


def speak(utterances: Sequence[Utterance], workers: int) -> Iterator[FloatArray]:
    """The sound of each text in order, float32 (samples,) at 16 kHz; `workers` processes at a time."""
    with tempfile.TemporaryDirectory(prefix="rena-kws-flite-") as folder:
        into = ((utterance, Path(folder) / f"{number}.wav") for number, utterance in enumerate(utterances))
        yield from in_order(_speak, into, workers)


def _speak(what: tuple[Utterance, Path]) -> FloatArray:
    """An utterance, by way of a file."""
    utterance, file = what
    larger = utterance.larger(_MOST_STRETCH)
    options = ["--setf", f"duration_stretch={utterance.stretch(larger):.3f}", "-t", utterance.text, "-o", str(file)]
    _run(["-voice", utterance.voice, *options])
    try:
        sound = audio.read(file)
    except audio.UnreadableError as error:
        raise UnavailableError(f"flite made no sound of {utterance.text!r} by {utterance.voice}: {error}") from None
    file.unlink()
    return audio.resample(sound, round(SAMPLE_RATE_HZ / larger))


def _run(arguments: list[str]) -> str:
    """What the program says. Its status says nothing: 1 after `--version`, 0 for a voice that is not there."""
    try:
        done = subprocess.run(["flite", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(
            f"flite's voices need its program ({error.strerror}): apt-get install flite, or see cmuflite.org"
        ) from None
    return done.stdout + done.stderr
