"""What `_unknown_` says: words that are no keywords, and near misses, which differ from a keyword in one sound.

Near misses need no dictionary: eSpeak NG tells the phonemes of a keyword and speaks any others, so that they come in
every language. They are what a spotter falsely accepts most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rena_kws.datasets import espeak
from rena_kws.errors import DatasetError

NEAR_MISSES = 0.3
"""Share of the clips of `_unknown_`."""

ENGLISH = (
    "able", "again", "animal", "answer", "apple", "arrow", "autumn", "backward", "ball", "banana", "basket", "bed",
    "behind", "better", "bird", "blanket", "blue", "book", "bottle", "bread", "bridge", "broken", "brother", "build",
    "butter", "cabin", "candle", "carry", "cat", "chair", "cheese", "children", "circle", "city", "clock", "cloud",
    "coffee", "cold", "corner", "cotton", "country", "cup", "dance", "daughter", "dinner", "doctor", "dog", "dollar",
    "door", "dream", "early", "earth", "eight", "eleven", "empty", "engine", "evening", "every", "family", "farmer",
    "father", "feather", "finger", "five", "flower", "follow", "forest", "forward", "four", "friday", "friend", "fruit",
    "garden", "ghost", "glass", "golden", "green", "guitar", "hammer", "happy", "heavy", "hello", "history", "holiday",
    "honey", "horse", "hospital", "house", "hundred", "iron", "island", "jacket", "january", "journey", "jump",
    "kitchen", "ladder", "language", "laugh", "learn", "leather", "lemon", "letter", "light", "little", "machine",
    "market", "marvin", "meadow", "melody", "middle", "milk", "minute", "mirror", "monday", "money", "morning",
    "mountain", "mouse", "music", "near", "never", "night", "nine", "nobody", "note", "number", "ocean", "often", "one",
    "orange", "other", "paper", "pencil", "people", "pepper", "picture", "pillow", "planet", "please", "pocket",
    "potato", "present", "purple", "question", "quiet", "rabbit", "radio", "rain", "ready", "remember", "river", "road",
    "rocket", "sailor", "saturday", "school", "second", "seven", "shadow", "sheila", "silver", "sister", "six", "sleep",
    "snow", "soap", "somebody", "spoon", "spring", "station", "story", "strong", "sugar", "summer", "table", "teacher",
    "telephone", "ten", "thank you", "thousand", "three", "thunder", "ticket", "today", "together", "tomorrow", "top",
    "travel", "tree", "twenty", "two", "umbrella", "under", "vegetable", "village", "visual", "walk", "water",
    "wednesday", "weather", "white", "window", "winter", "wonder", "wood", "wow", "yellow", "yesterday", "zero",
)  # fmt: skip
NUMBERS = tuple(map(str, range(200)))
"""eSpeak NG counts in every language it speaks."""

_VOWELS = frozenset("aAeEiIoOuUyY03@V&")
"""First letters, behind the marks of stress, of vowels in eSpeak NG's notation."""
_STRESS = "',%=|"


def other_words(language: str, keywords: Sequence[str]) -> tuple[str, ...]:
    """Words of a language that are no keywords; of a language without a list its numbers that hold none.

    Raises `UnavailableError` without eSpeak NG.
    """
    if language == "en":
        taken = {word.lower() for word in keywords}
        return tuple(word for word in ENGLISH if word not in taken)
    spoken = [_bare(sounds) for sounds in espeak.phonemes((*NUMBERS, *keywords), language)]
    taken_sounds = spoken[len(NUMBERS) :]
    pairs = zip(NUMBERS, spoken, strict=False)
    return tuple(text for text, sounds in pairs if not any(_holds(sounds, keyword) for keyword in taken_sounds))


class NearMisses:
    """Draws phonemes that differ from those of a keyword in one."""

    def __init__(self, language: str, keywords: Sequence[str], words: Sequence[str]) -> None:
        """`words` lend the phonemes that replace others. Raises `UnavailableError` without eSpeak NG."""
        spoken = [tuple(filter(_plain, sounds)) for sounds in espeak.phonemes((*keywords, *words), language)]
        self._keywords = spoken[: len(keywords)]
        self._taken = {_bare(sounds) for sounds in self._keywords}
        sounds = sorted({_plain(sound) for word in spoken for sound in word})
        self._consonants = [sound for sound in sounds if not _is_vowel(sound)]
        self._vowels = [sound for sound in sounds if _is_vowel(sound)]

    def draw(self, rng: np.random.Generator) -> str:
        """Phonemes in eSpeak NG's notation, in double brackets. Raises `DatasetError` where nothing is near."""
        for _ in range(100):
            keyword = self._keywords[rng.integers(len(self._keywords))]
            at = int(rng.integers(len(keyword)))
            changed = self._without_or_other(keyword, at, rng)
            if changed and _bare(changed) not in self._taken and any(map(_is_vowel, changed)):
                return f"[[{'|'.join(changed)}]]"
        raise DatasetError("eSpeak NG must have phonemes for the keywords; near misses of them were not found")

    def _without_or_other(self, keyword: tuple[str, ...], at: int, rng: np.random.Generator) -> tuple[str, ...]:
        """The keyword with another sound at a place, or without a first consonant. One at the end is often not heard
        by people either, and vowels with the same first letter are one vowel to many accents."""
        before, sound, after = keyword[:at], keyword[at], keyword[at + 1 :]
        marks = sound[: len(sound) - len(_plain(sound))]
        if at == 0 and not _is_vowel(sound) and rng.random() < 0.3:
            return after
        plain = _plain(sound)
        pool = self._vowels if _is_vowel(sound) else self._consonants
        others = [other for other in pool if other[0].lower() != plain[:1].lower()]
        return (*before, marks + str(rng.choice(others)), *after) if others else ()


def _plain(sound: str) -> str:
    return sound.lstrip(_STRESS)


def _bare(sounds: Sequence[str]) -> tuple[str, ...]:
    """Without stress and pauses."""
    return tuple(plain for sound in sounds if (plain := _plain(sound)))


def _is_vowel(sound: str) -> bool:
    return _plain(sound)[:1] in _VOWELS


def _holds(sounds: Sequence[str], part: Sequence[str]) -> bool:
    return any(tuple(sounds[at : at + len(part)]) == tuple(part) for at in range(len(sounds) - len(part) + 1))
