"""What is said, and who can say it: the seam between a dataset of synthesised words and the synthesisers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Sound = TypeVar("Sound")


WORDS_A_MINUTE = 170
"""Taken as the tempo of a voice of its own, where a synthesiser tells none."""


@dataclass(frozen=True)
class Utterance:
    """A text in a voice. `accent` is a voice of a language, as the synthesiser names it; `pitch` from 0 to 100, 50
    being the voice's own. eSpeak NG speaks phonemes too ("[[j|'E|s]]")."""

    text: str
    voice: str
    accent: str
    pitch: int
    words_a_minute: int

    def larger(self, most: float) -> float:
        """How many times as long, and as deep, a voice is played that heeds no pitch, as if by somebody larger: `most`
        at the lower end of the scale of pitch that is in use, 20, and its inverse at the upper, 80."""
        larger: float = most ** ((50 - self.pitch) / 30)
        return larger

    def stretch(self, larger: float) -> float:
        """How many times as long as usual a voice speaks that is then played `larger`, so that the tempo is right."""
        return WORDS_A_MINUTE / self.words_a_minute / larger


class Synthesiser(Protocol):
    """A module that speaks. Each function raises `UnavailableError` where the synthesiser is not installed."""

    def voices(self, language: str) -> dict[str, str]:
        """Voice → the person, who is in one split alone. Raises `DatasetError` for a language that nobody speaks."""

    def accents(self, language: str) -> tuple[str, ...]:
        """What a voice can speak a language as. Raises `DatasetError` where there is nothing."""

    def can_say(self, text: str) -> bool:
        """Whether it speaks the whole of a text; eSpeak NG does."""

    def version(self) -> str:
        """Another one may speak otherwise."""

    def speak(self, utterances: Sequence[Utterance], workers: int) -> Iterator[NDArray[np.float32]]:
        """The sound of each utterance in order, float32 (samples,) at 16 kHz; `workers` processes at a time."""


def in_order(speak: Callable[[Item], Sound], items: Iterable[Item], workers: int) -> Generator[Sound, None, None]:
    """`speak` of each item, `workers` at a time. Whoever stops listening does not wait for what has not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(speak, items)
    finally:
        pool.shutdown(cancel_futures=True)
