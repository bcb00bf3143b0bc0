"""eSpeak NG's notation of phonemes: names, with marks of stress and pauses before them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_VOWELS = frozenset("aAeEiIoOuUyY03@V&")
"""First letters of the names of vowels."""
_MARKS = "',%=|!"
_FOLDED = str.maketrans("AEIOUYRLr*mNcq", "aeiouyllllnnkk")
"""Vowels open and closed; liquids, nasals and the stops at the back of the mouth are one sound each."""


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


def nearly_holds(sounds: Sequence[str], part: Sequence[str]) -> bool:
    """Whether something that sounds like `part` is in `sounds`: a fifth of its sounds may be others, and what is told
    apart is coarse. A word and the digits that mean it come with other variants of the same sounds.

    The distance is that of approximate string matching (Sellers, 1980; recalled): edits to the nearest stretch.
    """
    text, pattern = _folded(sounds), _folded(part)
    edits = [0] * (len(text) + 1)  # that it takes to make the stretch ending here of what was looked at of `part`
    for wanted, price in pattern:
        row = [edits[0] + price]
        for at, (found, of_found) in enumerate(text):
            row.append(min(edits[at] + (found != wanted), edits[at + 1] + price, row[at] + of_found))
        edits = row
    return min(edits) <= len(pattern) // 5


def _folded(sounds: Sequence[str]) -> list[tuple[str, int]]:
    """Kinds of sounds, with what it costs to leave each out: nothing for a schwa, and after a vowel, for a diphthong is
    one sound or two."""
    kinds = "".join(sound[0] for sound in bare(sounds) if sound[0] not in ";:").translate(_FOLDED)
    weak = [
        kind == "@" or (is_vowel(before) and (is_vowel(kind) or kind in "jw")) for before, kind in pairwise(" " + kinds)
    ]
    return [(kind, 0 if optional and not all(weak) else 1) for kind, optional in zip(kinds, weak, strict=True)]


def written(sounds: Sequence[str]) -> str:
    """A text that eSpeak NG speaks as these phonemes."""
    return f"[[{'|'.join(sounds)}]]"


def read(text: str) -> tuple[str, ...]:
    """The sounds in a `written` text."""
    return tuple(text.strip("[]").split("|"))
