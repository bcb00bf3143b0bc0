"""Who goes where: speakers, or clips where nobody knows the speakers, into train, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

from rena_kws.errors import DatasetError

HELD_OUT = 0.1  # Share of validation, and of test.


def by_hash(names: Iterable[str], seed: int = 0) -> dict[str, str]:
    """Name → split, 80 : 10 : 10 but at least one name in each (as far as they reach, train first).

    The order is that of the names' SHA-1, so it has nothing to do with their meaning and is the same everywhere.
    """
    ranked = sorted(
        set(names), key=lambda name: hashlib.sha1(f"{seed}:{name}".encode(errors="surrogateescape")).digest()
    )
    held = max(1, round(HELD_OUT * len(ranked)))
    test = ranked[: held if len(ranked) > 1 else 0]
    validation = ranked[len(test) : 2 * held if len(ranked) > 2 else len(test)]
    where = dict.fromkeys(ranked, "train") | dict.fromkeys(test, "test")
    return where | dict.fromkeys(validation, "validation")


def by_speaker(
    speakers: Iterable[str], test: Sequence[str] | None, validation: Sequence[str] | None, where: str
) -> dict[str, str]:
    """Speaker → split. Left out, `test` is the last speaker alphabetically and `validation` the last but that.

    Raises `DatasetError` for a speaker that does not exist or is in both, and where nobody is left to train on.
    """
    known = sorted(set(speakers))
    test = known[-1:] if test is None else test
    validation = [name for name in known if name not in test][-1:] if validation is None else validation
    check_known(test, known, "test_speakers", where)
    check_known(validation, known, "validation_speakers", where)
    if both := sorted(set(test) & set(validation)):
        raise DatasetError(
            f"a speaker is either in test_speakers or in validation_speakers: {', '.join(both)} is in both"
        )
    if not set(known) - set(test) - set(validation):
        raise DatasetError(f"a speaker must be left to train on; {where} has only {', '.join(known) or 'none'}")
    split = {name: "test" for name in test} | {name: "validation" for name in validation}
    return {name: split.get(name, "train") for name in known}


def check_known(names: Iterable[str], known: Collection[str], option: str, where: str) -> None:
    """Raises `DatasetError` for the first of `names` that `known` lacks."""
    for name in names:
        if name not in known:
            raise DatasetError(
                f"option {option} names {name!r}, which {where} lacks (it has: {', '.join(sorted(known))})"
            )
