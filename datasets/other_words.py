"""What `_unknown_` says: words that are no keywords, near misses, which differ from a keyword in one sound, and words
crossed from the beginning of one and the end of another.

The last two need no dictionary: eSpeak NG tells the phonemes of words and speaks any others, so that they come in every
language. Near misses are what a spotter falsely accepts most; crossed words are more various than any list.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from rena_kws.datasets import espeak
from rena_kws.datasets.phonemes import bare, holds, is_vowel, marks, nearly_holds, read, unmarked, written
from rena_kws.errors import DatasetError

NEAR_MISSES, CROSSED = 0.3, 0.3
"""Shares of the training clips of `_unknown_`; crossed words only beside phrases."""

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
LEAST_WORDS = 60
"""Where fewer numbers are left, as beside the digits for keywords, words are crossed of them, as many as it takes."""


def other_words(language: str, keywords: Sequence[str]) -> tuple[str, ...]:
    """Words of a language that do not sound as a keyword does; of a language without a list its numbers in which none
    is heard. Raises `UnavailableError` without eSpeak NG."""
    words = ENGLISH if language == "en" else NUMBERS
    spoken = [bare(sounds) for sounds in espeak.phonemes((*words, *keywords), language)]
    taken = spoken[len(words) :]
    pairs = zip(words, spoken, strict=False)
    if language == "en":
        return tuple(word for word, sounds in pairs if sounds not in taken)
    found = [word for word, sounds in pairs if not any(nearly_holds(sounds, keyword) for keyword in taken)]
    if len(found) >= LEAST_WORDS:
        return tuple(found)
    crossed, rng = CrossedWords(language, keywords, words), np.random.default_rng(1)
    with suppress(DatasetError):  # too little is left to cross
        for _ in range(100 * LEAST_WORDS):
            word = crossed.draw(rng)
            if word not in found and not any(nearly_holds(read(word), keyword) for keyword in taken):
                found.append(word)
            if len(found) == LEAST_WORDS:
                break
    return tuple(found)


class CrossedWords:
    """Draws phonemes: the beginning of a word, and the end of another. Keywords lend theirs too."""

    def __init__(self, language: str, keywords: Sequence[str], words: Sequence[str]) -> None:
        """Raises `UnavailableError` without eSpeak NG."""
        spoken = espeak.phonemes((*keywords, *words), language)
        self._words = [word for word in spoken if len(word) > 1]
        self._taken = [bare(word) for word in spoken[: len(keywords)]]
        self._longest = max(map(len, self._words))

    def draw(self, rng: np.random.Generator) -> str:
        """Phonemes in eSpeak NG's notation, in double brackets. Raises `DatasetError` where nothing can be crossed."""
        for _ in range(100):
            one, other = (self._words[at] for at in rng.integers(len(self._words), size=2))
            crossed = (*one[: rng.integers(1, len(one))], *other[rng.integers(1, len(other)) :])
            said = bare(crossed)
            new = not any(holds(said, keyword) for keyword in self._taken)
            if new and 1 < len(said) <= self._longest and any(map(is_vowel, said)):
                return written(crossed)
        raise DatasetError("eSpeak NG must have phonemes for the keywords; no other words could be made of theirs")


class NearMisses:
    """Draws phonemes that differ from those of a keyword in one."""

    def __init__(self, language: str, keywords: Sequence[str], words: Sequence[str]) -> None:
        """`words` lend the phonemes that replace others. Raises `UnavailableError` without eSpeak NG."""
        spoken = [tuple(filter(unmarked, sounds)) for sounds in espeak.phonemes((*keywords, *words), language)]
        self._keywords = spoken[: len(keywords)]
        self._taken = {bare(sounds) for sounds in self._keywords}
        sounds = sorted({unmarked(sound) for word in spoken for sound in word})
        self._consonants = [sound for sound in sounds if not is_vowel(sound)]
        self._vowels = [sound for sound in sounds if is_vowel(sound)]

    def draw(self, rng: np.random.Generator) -> str:
        """Phonemes in eSpeak NG's notation, in double brackets. Raises `DatasetError` where nothing is near."""
        for _ in range(100):
            keyword = self._keywords[rng.integers(len(self._keywords))]
            at = int(rng.integers(len(keyword)))
            changed = self._without_or_other(keyword, at, rng)
            if changed and bare(changed) not in self._taken and any(map(is_vowel, changed)):
                return written(changed)
        raise DatasetError("eSpeak NG must have phonemes for the keywords; near misses of them were not found")

    def _without_or_other(self, keyword: tuple[str, ...], at: int, rng: np.random.Generator) -> tuple[str, ...]:
        """The keyword with another sound at a place, or without a first consonant. One at the end is often not heard
        by people either, and vowels with the same first letter are one vowel to many accents."""
        before, sound, after = keyword[:at], keyword[at], keyword[at + 1 :]
        if at == 0 and not is_vowel(sound) and rng.random() < 0.3:
            return after
        pool = self._vowels if is_vowel(sound) else self._consonants
        others = [other for other in pool if other[0].lower() != unmarked(sound)[:1].lower()]
        return (*before, marks(sound) + str(rng.choice(others)), *after) if others else ()
