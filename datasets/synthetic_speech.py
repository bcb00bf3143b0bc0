"""Any words, spoken by eSpeak NG in many voices: the default dataset, which needs no download and no recordings.

Voices are people: who speaks in one split speaks in no other. `_unknown_` is other words, of which each split has its
own; `_silence_` is noise without words. A clip is a word at a random place and loudness with noise below it, since that
is what a microphone delivers.

Training is harder than what is scored: `_unknown_` has near misses of the keywords too, and some words lose a little at
their ends, as recordings do that are cut by loudness. Half of its clips have no noise, which augmentation adds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets import audio, espeak, noise
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
from rena_kws.datasets.espeak import Utterance
from rena_kws.datasets.other_words import ENGLISH, NEAR_MISSES, NearMisses, other_words
from rena_kws.datasets.splitting import by_hash
from rena_kws.errors import DatasetError

OTHERS = 2
"""Training clips of `_unknown_` to one of a keyword: what is no keyword is more various than what is one."""

_REVISION = 2  # Raise it where the same options start to give other sounds.

FloatArray = NDArray[np.float32]


class SyntheticSpeech(Dataset):
    """`synthetic`. `clips_per_word` is for training, which has `OTHERS` times as many of `_unknown_`; validation and
    test have a fifth of it each, of `_unknown_` too. `language` is one of eSpeak NG's. With `closed` there are keywords
    alone, neither other words nor noise: for comparisons with sets of recordings that are so."""

    def __init__(
        self,
        path: str | None,
        *,
        keywords: str | Sequence[str] = KEYWORDS,
        language: str = "en",
        clips_per_word: int | str = 220,
        closed: bool | str = False,
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
        self._clips_per_word = as_count(clips_per_word, "clips_per_word", least=5)
        self._seed = as_count(seed, "seed")

    @property
    def labels(self) -> tuple[str, ...]:
        return self._keywords if self._closed else order_labels(self._keywords)

    @cached_property
    def fingerprint(self) -> str:
        options = (_REVISION, self.labels, self._language, self._clips_per_word, self._seed, espeak.version(), ENGLISH)
        return hashlib.sha256(repr(options).encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        check_split(split)
        return sum(self._clips_of(label, split) for label in self.labels)

    def split(self, split: str) -> Iterator[Clip]:
        """Spoken anew each time, in about 10 ms of a core a clip. Raises `UnavailableError` without eSpeak NG."""
        check_split(split)
        rng = np.random.default_rng((self._seed, SPLITS.index(split)))
        people = espeak.voices()
        plan = self._plan(split, people, rng)
        sounds = espeak.speak([utterance for _, utterance in plan], workers=os.cpu_count() or 1)
        for (label, utterance), sound in zip(plan, sounds, strict=True):
            source = f"{utterance.text} by {utterance.accent}+{utterance.voice}"
            word = _trim(sound)
            if not len(word):
                raise DatasetError(f"eSpeak NG has no sound for {utterance.text!r}; take keywords that can be spoken")
            clip = _place_cut(word, rng) if split == "train" else _place(word, rng)
            yield Clip(clip, label, people[utterance.voice], source, len(word) / SAMPLE_RATE_HZ)
        for number in range(self._clips_of(SILENCE, split) if SILENCE in self.labels else 0):
            yield Clip(_silence(rng), SILENCE, "", f"noise {number} of {split}", CLIP_SAMPLES / SAMPLE_RATE_HZ)

    def _clips_of(self, label: str, split: str) -> int:
        if split != "train":
            return self._clips_per_word // 5
        return self._clips_per_word * (OTHERS if label == UNKNOWN else 1)

    def _plan(self, split: str, people: dict[str, str], rng: np.random.Generator) -> list[tuple[str, Utterance]]:
        """(label, utterance) of every spoken clip; each voice of the split is used about equally often."""
        where = by_hash(people.values(), self._seed)
        voices = [voice for voice, person in people.items() if where[person] == split]
        accents = espeak.accents(self._language)
        others = self._others(split) if UNKNOWN in self.labels else None
        plan = []
        for label in self.labels:
            if label == SILENCE:
                continue
            start = rng.integers(len(voices))
            for number in range(self._clips_of(label, split)):
                utterance = Utterance(
                    others(rng) if others and label == UNKNOWN else label,
                    voice=voices[(start + number) % len(voices)],
                    accent=str(rng.choice(accents)),
                    pitch=int(rng.integers(20, 81)),
                    words_a_minute=int(rng.integers(120, 221)),
                )
                plan.append((label, utterance))
        return plan

    def _others(self, split: str) -> Callable[[np.random.Generator], str]:
        """Draws what `_unknown_` says in a split."""
        words = other_words(self._language, self._keywords)
        where = by_hash(words, self._seed)
        own = [word for word in words if where[word] == split]
        if split != "train":
            return lambda rng: str(rng.choice(own))
        near = NearMisses(self._language, self._keywords, words)
        return lambda rng: near.draw(rng) if rng.random() < NEAR_MISSES else str(rng.choice(own))


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
