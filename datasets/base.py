"""What a dataset is: labelled one-second clips in three splits, and how to open one by name.

    open_dataset("spoken-digits:PATH", {"test_speakers": "theo"})  ──►  Dataset  ──split("train")──►  Clip, Clip, …

Clips are streamed, not held: the whole of Speech Commands would be 6 GB of floats. Constructors only note their
options; files are read, and speech is synthesised, while a split is iterated.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws import registry
from rena_kws.errors import DatasetError

SAMPLE_RATE_HZ = 16_000
CLIP_SAMPLES = 16_000
SPLITS = ("train", "validation", "test")
SILENCE = "_silence_"
UNKNOWN = "_unknown_"
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")

Progress = Callable[[int, int], None]
"""Called with (clips done, clips in all) now and then."""


@dataclass(frozen=True)
class Clip:
    """One second of sound. `audio`: float32 (16000,), mono at 16 kHz, within ±1.

    `speaker` is "" where nobody speaks or nobody knows who; `source` names the file or the utterance;
    `duration_s` is the length of the recording before it was placed in, or cut to, its one second.
    """

    audio: NDArray[np.float32]
    label: str
    speaker: str
    source: str
    duration_s: float


class Dataset(ABC):
    """Labelled clips in the splits "train", "validation" and "test".

    The same options give the same clips in the same order, on every run. A plug-in's constructor takes the path (or
    None) first and its options by keyword.
    """

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of a network's outputs; at least two."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of whatever the clips depend on: files (name, size, time of change) and options."""

    @abstractmethod
    def count(self, split: str) -> int:
        """How many clips a split has, files that will turn out unreadable included."""

    @abstractmethod
    def split(self, split: str) -> Iterator[Clip]:
        """The clips of a split, one after the other. Raises `DatasetError` where none is usable."""

    def parts(self, split: str) -> Sequence[Dataset]:
        """What a split is put together from: of each its clips, of the same labels, can be kept apart."""
        return (self,)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Files met so far that could not be used → the reason."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how the splits came about; one line each."""
        return ()


def open_dataset(spec: str, options: Mapping[str, object] | None = None) -> Dataset:
    """The dataset that `spec` names: NAME, NAME:PATH, either with ?OPTION=VALUE&OPTION=VALUE behind it. `options` count
    before those; one that is None counts as not given.

    Every dataset takes the option `augment_with`: another dataset, by a spec, that speaks the same keywords and whose
    training clips are mixed in. Raises `UnknownNameError` for the name, `DatasetError` for a path or an option that
    will not do.
    """
    spec, inline = split_spec(spec)
    given = {**inline, **{key: value for key, value in (options or {}).items() if value is not None}}
    if more := given.pop("augment_with", None):
        from rena_kws.datasets.mixed import MixedDataset

        main = open_dataset(spec, given)
        keywords = tuple(label for label in main.labels if label not in (SILENCE, UNKNOWN))
        named = {"keywords": keywords} if "keywords" in _options(split_spec(str(more))[0]) else {}
        return MixedDataset(main, open_dataset(str(more), named))
    name, _, path = spec.partition(":")
    plugin = registry.load("datasets", name)
    known = _options(spec)
    for option in given:
        if option not in known:
            raise DatasetError(f"dataset {name!r} has no option {option!r} (its options: {', '.join(known)})")
    dataset: Dataset = plugin(path or None, **given)
    return dataset


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """NAME or NAME:PATH, and the options behind its question mark. Raises `DatasetError` for what is no option."""
    place, _, query = spec.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise DatasetError(f"options of a dataset are ?NAME=VALUE&NAME=VALUE, not {part!r} in {spec!r}")
        options[name.replace("-", "_")] = value
    return place, options


def _options(spec: str) -> list[str]:
    """The options that the dataset of a spec takes."""
    plugin = registry.load("datasets", spec.partition(":")[0])
    return list(inspect.signature(plugin).parameters)[1:]


def check_split(split: str) -> None:
    """Raises `DatasetError` unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise DatasetError(f"unknown split {split!r} (known: {', '.join(SPLITS)})")


def check_labels(labels: Iterable[str], where: str) -> tuple[str, ...]:
    """The labels, or `DatasetError` where they are fewer than two, for there would be nothing to tell apart, where two
    are the same, and where one cannot be written down."""
    found = tuple(labels)
    for label in found:
        if found.count(label) > 1:
            raise DatasetError(f"the classes of a dataset differ; {where} has {label!r} {found.count(label)} times")
        if printable(label) != label:
            raise DatasetError(f"names of classes are UTF-8; {where} has {label!r}: rename it")
    if len(found) < 2:
        raise DatasetError(f"a dataset needs at least two classes; {where} has {len(found)}: {', '.join(found) or '-'}")
    return found


def printable(name: str) -> str:
    """The name of a file with ? for what is no UTF-8 in it, as archives from elsewhere have it."""
    return name.encode(errors="replace").decode()


def order_labels(keywords: tuple[str, ...]) -> tuple[str, ...]:
    """Keywords, then `_silence_` and `_unknown_`.

    The ten standard keywords come in alphabetical order, which is that of MLPerf Tiny's reference model; any others
    in the order given.
    """
    ordered = tuple(sorted(keywords)) if set(keywords) == set(KEYWORDS) else keywords
    return (*ordered, SILENCE, UNKNOWN)


def as_names(value: object, option: str) -> tuple[str, ...]:
    """The names in an option: a sequence of them, or one text with commas. Empty and repeated ones are refused."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise DatasetError(f"option {option} takes names separated by commas, not {value!r}")
    stripped = tuple(part.strip() for part in parts)
    if not all(stripped) or len(set(stripped)) < len(stripped):
        raise DatasetError(f"option {option} takes names that are not empty and differ: {', '.join(stripped)!r}")
    return stripped


def as_count(value: object, option: str, least: int = 0) -> int:
    """The whole number in an option, given as a number or as text."""
    try:
        number = int(value)  # type: ignore[call-overload]
        if number < least or isinstance(value, bool) or (isinstance(value, float) and value != number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DatasetError(f"option {option} takes a whole number of at least {least}, not {value!r}") from None
    return int(number)


def as_flag(value: object, option: str) -> bool:
    """Yes or no in an option, given as a truth value or as text."""
    known = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if (found := known.get(str(value).lower())) is None:
        raise DatasetError(f"option {option} is yes or no, not {value!r}")
    return found


def existing(path: Any, name: str, what: str) -> Path:
    """`path` as a Path, or `DatasetError` where it was left out or is not there."""
    if path is None:
        raise DatasetError(f"dataset {name!r} needs the path of {what}: {name}:PATH")
    if not Path(path).exists():
        raise DatasetError(f"dataset {name!r} needs {what}; there is nothing at {path}")
    return Path(path)
