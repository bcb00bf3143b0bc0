"""Any words, spoken by eSpeak NG in many voices: the default dataset, which needs no download and no recordings.

Voices are people: who speaks in one split speaks in no other. `_unknown_` is other words, of which each split has its
own; `_silence_` is noise without words. A clip is a word at a random place and loudness with noise below it, since that
is what a microphone delivers.

Training is harder than what is scored: `_unknown_` has near misses of the keywords too, and where those are phrases
words crossed from parts of others. Some words lose a little at their ends, as recordings do that are cut by loudness.
Half of its clips have no noise, which augmentation adds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio, espeak, flite, noise, piper, silero
from rena_kws.datasets.base import (
    CLIP_SAMPLES,
    KEYWORDS,
    SAMPLE_RATE_HZ,
    SILENCE,
    SPLITS,
    UNKNOWN,
    Clip,
    Dataset,
    as_count,
    as_flag,
    as_names,
    check_labels,
    check_split,
    order_labels,
)
from rena_kws.datasets.other_words import CROSSED, ENGLISH, NEAR_MISSES, CrossedWords, NearMisses, other_words
from rena_kws.datasets.pronunciations import ACCENTED, Pronunciations
from rena_kws.datasets.splitting import by_hash
from rena_kws.datasets.utterance import Synthesiser, Utterance
from rena_kws.errors import DatasetError

OTHERS = 2
"""Training clips of `_unknown_` to one of a keyword: what is no keyword is more various than what is one."""

MORE_VOICES: Mapping[str, Synthesiser] = {"flite": flite, "piper": piper, "silero": silero}
"""What may speak beside eSpeak NG."""
_WEIGHT_OF_A_PERSON = 0.1
_MOST_WEIGHT = 1.0
"""How many clips a synthesiser beside eSpeak NG speaks to one of the latter's, of what it can say, by the people whose
voices it has. They are made from recordings, and so more natural; but of few people it would be the same voice over and
over."""

_REVISION = 6  # Raise it where the same options start to give other sounds.

FloatArray = NDArray[np.float32]


class SyntheticSpeech(Dataset):
    """`synthetic`. `clips_per_word` is for training, which has `OTHERS` times as many of `_unknown_`; validation and
    test have a fifth of it each, of `_unknown_` too. `language` is one of eSpeak NG's. With `closed` there are keywords
    alone, neither other words nor noise: for comparisons with sets of recordings that are so. `more_voices` names
    another synthesiser that joins in, "flite". With `accented` keywords are trained on in foreign accents too, at
    the cost of other voices, which are missed more often."""

    def __init__(
        self,
        path: str | None,
        *,
        keywords: str | Sequence[str] = KEYWORDS,
        language: str = "en",
        clips_per_word: int | str = 220,
        closed: bool | str = False,
        more_voices: str | Sequence[str] = (),
        accented: bool | str = False,
        seed: int | str = 0,
    ) -> None:
        if path is not None:
            raise DatasetError(f"dataset 'synthetic' takes no path, not {path!r}; words are given by option keywords")
        self._keywords = as_names(keywords, "keywords")
        for word in self._keywords:
            if word in (SILENCE, UNKNOWN) or not any(letter.isalnum() for letter in word) or not word.isprintable():
                raise DatasetError(f"option keywords takes words that can be spoken, not {word!r}")
        self._language = str(language)
        self._closed = as_flag(closed, "closed")
        if self._closed:
            check_labels(self._keywords, "option keywords")
        more = as_names(more_voices, "more_voices") if more_voices else ()
        for name in more:
            if name not in MORE_VOICES:
                raise DatasetError(f"option more_voices takes {', '.join(MORE_VOICES)}, not {name!r}")
        self._accented = as_flag(accented, "accented")
        self._synthesisers: list[Synthesiser] = [espeak, *(MORE_VOICES[name] for name in more)]
        self._clips_per_word = as_count(clips_per_word, "clips_per_word", least=5)
        self._seed = as_count(seed, "seed")

    @property
    def labels(self) -> tuple[str, ...]:
        return self._keywords if self._closed else order_labels(self._keywords)

    @cached_property
    def fingerprint(self) -> str:
        versions = tuple(synthesiser.version() for synthesiser in self._synthesisers)
        sounds = (_REVISION, self._language, versions, self._accented, ENGLISH)
        options = (self.labels, self._clips_per_word, self._seed)
        return hashlib.sha256(repr((*sounds, *options)).encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        check_split(split)
        return sum(self._clips_of(label, split) for label in self.labels)

    def split(self, split: str) -> Iterator[Clip]:
        """Spoken anew each time, in about 10 ms of a core a clip, by Silero in 60. Raises `UnavailableError` without a
        synthesiser."""
        check_split(split)
        rng = np.random.default_rng((self._seed, SPLITS.index(split)))
        plan = self._plan(split, rng)
        spoken = [
            iter(synthesiser.speak([each.utterance for each in plan if each.by == number], workers=os.cpu_count() or 1))
            for number, synthesiser in enumerate(self._synthesisers)
        ]
        for each in plan:
            text = each.utterance.text
            word = _trim(next(spoken[each.by]))
            if not len(word):
                raise DatasetError(f"there is no sound for {text!r}; take keywords that can be spoken")
            clip = _place_cut(word, rng) if split == "train" else _place(word, rng)
            source = f"{text} by {each.utterance.accent}+{each.utterance.voice}"
            yield Clip(clip, each.label, each.person, source, len(word) / SAMPLE_RATE_HZ)
        for number in range(self._clips_of(SILENCE, split) if SILENCE in self.labels else 0):
            yield Clip(_silence(rng), SILENCE, "", f"noise {number} of {split}", CLIP_SAMPLES / SAMPLE_RATE_HZ)

    def _clips_of(self, label: str, split: str) -> int:
        if split != "train":
            return self._clips_per_word // 5
        return self._clips_per_word * (OTHERS if label == UNKNOWN else 1)

    def _plan(self, split: str, rng: np.random.Generator) -> list[_Spoken]:
        """Every spoken clip; each voice of a synthesiser in the split is used about equally often.

        What another synthesiser cannot say eSpeak NG says instead.
        """
        casts = [self._cast(synthesiser, split) for synthesiser in self._synthesisers]
        weights = np.array([cast.weight for cast in casts])
        shares = weights / weights.sum()
        say = self._training_texts() if split == "train" else self._scored_texts(split)
        plan = []
        for label in self.labels:
            if label == SILENCE:
                continue
            starts = [int(rng.integers(max(1, len(cast.voices)))) for cast in casts]
            for number in range(self._clips_of(label, split)):
                text = say(label, rng)
                by = int(rng.choice(len(casts), p=shares)) if len(casts) > 1 else 0
                by = by if self._synthesisers[by].can_say(text) else 0
                voice, person = casts[by].voices[(starts[by] + number) % len(casts[by].voices)]
                utterance = Utterance(
                    text,
                    voice=voice,
                    accent=str(rng.choice(casts[by].accents)),
                    pitch=int(rng.integers(20, 81)),
                    words_a_minute=int(rng.integers(120, 221)),
                )
                plan.append(_Spoken(label, by, person, utterance))
        return plan

    def _cast(self, synthesiser: Synthesiser, split: str) -> _Cast:
        people = synthesiser.voices(self._language)
        where = by_hash(people.values(), self._seed)
        here = [(voice, person) for voice, person in people.items() if where[person] == split]
        weight = 1.0 if synthesiser is espeak else min(_MOST_WEIGHT, _WEIGHT_OF_A_PERSON * len(set(people.values())))
        return _Cast(here, synthesiser.accents(self._language), weight if here else 0.0)

    def _scored_texts(self, split: str) -> Callable[[str, np.random.Generator], str]:
        """Draws what is said under a label: the keyword, or one of the split's own other words."""
        words = self._own_words(split) if UNKNOWN in self.labels else []
        return lambda label, rng: str(rng.choice(words)) if label == UNKNOWN else label

    def _training_texts(self) -> Callable[[str, np.random.Generator], str]:
        """The same in training: keywords may be accented, and other words are near misses and crossed ones too.

        Crossed ones only beside phrases, of which networks otherwise take a part for the whole. Beside single words
        they leave fewer of the real ones, and cost three points of accuracy.
        """
        words = self._own_words("train") if UNKNOWN in self.labels else []
        pronunciations = Pronunciations(self._language, self._keywords, words) if self._accented else None
        near = NearMisses(self._language, self._keywords, words) if words else None
        phrases = all(" " in keyword for keyword in self._keywords)
        crossed = CrossedWords(self._language, self._keywords, words) if words and phrases else None

        def say(label: str, rng: np.random.Generator) -> str:
            kind = rng.random()
            if label != UNKNOWN:
                return pronunciations.draw(label, rng) if pronunciations and kind < ACCENTED else label
            if near and kind < NEAR_MISSES:
                return near.draw(rng)
            return crossed.draw(rng) if crossed and kind < NEAR_MISSES + CROSSED else str(rng.choice(words))

        return say

    def _own_words(self, split: str) -> list[str]:
        words = other_words(self._language, self._keywords)
        if len(words) < len(SPLITS):
            raise DatasetError(
                f"eSpeak NG has no words for {UNKNOWN} that do not sound as keywords do; take fewer or closed=yes"
            )
        where = by_hash(words, self._seed)
        return [word for word in words if where[word] == split]


@dataclass(frozen=True)
class _Spoken:
    """A clip to be made; `by` counts the synthesisers."""

    label: str
    by: int
    person: str
    utterance: Utterance


@dataclass(frozen=True)
class _Cast:
    """A synthesiser's (voice, person) in a split, and how much it speaks beside the others."""

    voices: list[tuple[str, str]]
    accents: tuple[str, ...]
    weight: float


def _trim(sound: FloatArray) -> FloatArray:
    """Without the silence before and after the word."""
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound[:0]


def _place_cut(word: FloatArray, rng: np.random.Generator) -> FloatArray:
    """For training: three words in ten without up to 8 % of their beginning and 12 % of their end, half of all without
    noise."""
    if rng.random() < 0.3:
        first, last = int(len(word) * rng.uniform(0, 0.08)), int(len(word) * rng.uniform(0, 0.12))
        word = word[first : len(word) - last]
    return _place(word, rng) if rng.random() < 0.5 else _scaled(_at_random(word, rng), rng)


def _at_random(word: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The word within 100 ms of the middle of a clip."""
    room = min(max(0, (CLIP_SAMPLES - len(word)) // 2), SAMPLE_RATE_HZ // 10)
    return np.roll(audio.fit(word), int(rng.integers(-room, room + 1)))


def _place(word: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The word within 100 ms of the middle of a clip, at a random loudness, with noise 10 to 40 dB below it."""
    clip = _at_random(word, rng)
    below = 10 ** (-rng.uniform(10, 40) / 20)
    colour = float(rng.choice(noise.EXPONENTS))
    clip = clip + noise.coloured(rng, colour, CLIP_SAMPLES) * (noise.level(clip[None])[0] * below)
    return _scaled(clip, rng)


def _silence(rng: np.random.Generator) -> FloatArray:
    """Noise of any colour that swells and fades; one in twenty is perfectly silent, as a muted microphone is."""
    if rng.random() < 0.05:
        return np.zeros(CLIP_SAMPLES, np.float32)
    swell = np.interp(np.arange(CLIP_SAMPLES), np.linspace(0, CLIP_SAMPLES, 5), rng.uniform(0.3, 1, 5))
    return _scaled(noise.coloured(rng, float(rng.uniform(0, 2)), CLIP_SAMPLES) * swell.astype(np.float32), rng)


def _scaled(clip: FloatArray, rng: np.random.Generator) -> FloatArray:
    out: FloatArray = clip * np.float32(rng.uniform(0.1, 0.9) / max(float(np.abs(clip).max()), 1e-9))
    return out
