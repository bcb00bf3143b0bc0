"""eSpeak NG's notation of phonemes: names, with marks of stress and pauses before them."""

from __future__ import annotations

from collections.abc import Sequence

_VOWELS = frozenset("aAeEiIoOuUyY03@V&")
"""First letters of the names of vowels."""
_MARKS = "',%=|"


def unmarked(sound: str) -> str:
    """The name alone; empty for a mere pause."""
    return sound.lstrip(_MARKS)


def marks(sound: str) -> str:
    """What stands before the name."""
    return sound[: len(sound) - len(unmarked(sound))]


def bare(sounds: Sequence[str]) -> tuple[str, ...]:
    """The names of the phonemes, without marks and pauses."""
    return tuple(filter(None, map(unmarked, sounds)))


def is_vowel(sound: str) -> bool:
    return unmarked(sound)[:1] in _VOWELS


def holds(sounds: Sequence[str], part: Sequence[str]) -> bool:
    """Whether `part` is in `sounds`, in one piece."""
    return any(tuple(sounds[at : at + len(part)]) == tuple(part) for at in range(len(sounds) - len(part) + 1))


def written(sounds: Sequence[str]) -> str:
    """A text that eSpeak NG speaks as these phonemes."""
    return f"[[{'|'.join(sounds)}]]"
