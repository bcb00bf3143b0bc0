"""eSpeak NG's voices, and speech from them in fixed batches (see espeak_worker.py for why)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio, espeak_worker, speech_process
from rena_kws.datasets.utterance import Utterance
from rena_kws.errors import DatasetError, UnavailableError

ENGLISH = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
BATCH = 48  # Utterances a process: starting it costs about as much as speaking ten of them.

# Effects and robots rather than people: no keyword will ever be spoken by one.
_NOT_HUMAN = (
    "AnxiousAndy", "Demonic", "Storm", "Tweaky", "UniRobot", "anikaRobot", "croak", "fast", "kaukovalta", "robosoft",
    "whisper", "whisperf",
)  # fmt: skip

FloatArray = NDArray[np.float32]


def voices(language: str) -> dict[str, str]:
    """Every voice variant that sounds like a person → the person: they speak all languages.

    Variants whose names differ in a final digit (steph, steph2) are takes of one voice, so they count as one person;
    f1 … and m1 … are not.
    """
    names = sorted(path.name for path in (_data() / "voices" / "!v").iterdir())
    if not names:
        raise UnavailableError(
            f"eSpeak NG's data in {_data()} has no voices: pip install --force-reinstall espeakng-loader"
        )
    people = {name: name if name[:-1] in ("f", "m") else name.rstrip("0123456789") for name in names}
    return {name: person for name, person in people.items() if person not in _NOT_HUMAN}


def accents(language: str) -> tuple[str, ...]:
    """eSpeak NG's voices of a language, "de" say, and of its regions. Raises `DatasetError` where there is none.

    Of English those in use by many; others of its voices are for another script.
    """
    if language == "en":
        return ENGLISH
    names = {path.name.lower() for path in (_data() / "lang").rglob("*") if path.is_file()}
    if language not in names:
        known = sorted(name for name in names if "-" not in name)
        raise DatasetError(f"eSpeak NG has no language {language!r}; it has {', '.join(known)}")
    region = re.compile(re.escape(language) + r"(-([a-z]{2}|[0-9]{3}))?(-x-.+)?")
    return tuple(sorted(filter(region.fullmatch, names)))


def can_say(text: str) -> bool:
    """Words, numbers and phonemes."""
    return True


def version() -> str:
    """Names the eSpeak NG at hand by its library's size: another one may speak otherwise."""
    return str(Path(_loader().get_library_path()).stat().st_size)


def speak(utterances: Sequence[Utterance], workers: int) -> Iterator[FloatArray]:
    """The sound of each utterance in order, float32 (samples,) at 16 kHz; `workers` processes at a time."""
    return speech_process.in_batches(_speak_batch, utterances, BATCH, workers)


def phonemes(texts: Sequence[str], accent: str) -> list[tuple[str, ...]]:
    """The phonemes of each text, by eSpeak NG's names, with marks of stress before them. Words are not kept apart."""
    header, _ = _work({"voice": accent, "texts": list(texts)})
    return [tuple(sound for sound in text.replace(" ", "_").split("_") if sound) for text in header["phonemes"]]


def _speak_batch(batch: Sequence[Utterance]) -> list[FloatArray]:
    answer = _work({"utterances": [[u.text, f"{u.accent}+{u.voice}", u.pitch, u.words_a_minute] for u in batch]})
    return [audio.resample(sound, answer[0]["rate_hz"]) for sound in speech_process.sounds(answer)]


def _work(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    place = {"library": _loader().get_library_path(), "data": str(_data())}
    return speech_process.work(espeak_worker.__file__, {**place, **job})


def _data() -> Path:
    return Path(_loader().get_data_path())


def _loader() -> Any:
    try:
        import espeakng_loader
    except ImportError as error:
        raise UnavailableError(f"synthetic speech needs eSpeak NG ({error}): pip install 'rena-kws[search]'") from None
    return espeakng_loader
