"""Keywords as those say them whose first language is another: phonemes replaced by what such a speaker takes for them.

A draw is one speaker: a replacement holds for all of a keyword. The table is that of textbooks on learners of English
(Swan and Smith, "Learner English"; recalled, not read), but hardly of English alone: it names sounds that are rare in
the world's languages, what they are taken for, and consonants that lose their voice at the end of a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rena_kws.datasets import espeak
from rena_kws.datasets.phonemes import bare, marks, unmarked, written

ACCENTED = 0.3
"""Share of the training clips of keywords, where accents are asked for."""

_TAKEN_FOR: Mapping[str, tuple[str, ...]] = {
    "T": ("s", "t", "f"),
    "D": ("z", "d", "v"),
    "w": ("v",),
    "h": ("x",),
    "r": ("R", "R2", 'r"'),
    "I": ("i:",),
    "i:": ("I",),
    "U": ("u:",),
    "u:": ("U",),
    "V": ("a", "A:"),
    "a": ("E",),
    "A:": ("a",),
    "O2": ("O:", "A:"),
    "0": ("O:", "A:"),
    "3:": ("E", "@"),
    "eI": ("e:", "E"),
    "oU": ("o:", "O:"),
    "o@": ("o:",),
}
"""eSpeak NG's names of phonemes."""
_AT_THE_END: Mapping[str, str] = {"z": "s", "v": "f", "d": "t", "b": "p", "g": "k"}
_KEPT = 0.5
"""How often a speaker has a sound although it is a foreign one."""


class Pronunciations:
    """Draws phonemes for keywords."""

    def __init__(self, language: str, keywords: Sequence[str], words: Sequence[str]) -> None:
        """What sounds like another keyword, or like one of `words`, is not drawn. Raises `UnavailableError` without
        eSpeak NG."""
        spoken = espeak.phonemes((*keywords, *words), language)
        self._keywords = dict(zip(keywords, spoken, strict=False))
        self._taken = set(map(bare, spoken))

    def draw(self, keyword: str, rng: np.random.Generator) -> str:
        """Phonemes in eSpeak NG's notation, in double brackets; the keyword itself where nothing is foreign in it."""
        sounds = self._keywords[keyword]
        speaker = {sound: str(rng.choice(others)) for sound, others in _TAKEN_FOR.items() if rng.random() >= _KEPT}
        said = [_replaced(sound, speaker) for sound in sounds]
        if rng.random() >= _KEPT:
            said[-1] = _replaced(said[-1], _AT_THE_END)
        return keyword if bare(said) in self._taken else written(said)


def _replaced(sound: str, by: Mapping[str, str]) -> str:
    return marks(sound) + by.get(unmarked(sound), unmarked(sound))
