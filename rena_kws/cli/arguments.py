"""What an argument may be: types for argparse, each of which says what is allowed."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from pathlib import Path

LAST_SEED = 2**32 - 1
LAST_PORT = 65535
LAST_ADDRESS = 2**32 - 1


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"a number, got {text!r}")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = number(text)
    except ArgumentTypeError:
        value = 0.0
    if value <= 0:
        raise ArgumentTypeError(f"a positive number, got {text!r}")
    return value


def from_0(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0)


def from_1(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1)


def seed(text: str) -> int:
    """What random generators start from, those of libraries that take 32 bits included."""
    return _whole(text, 0, LAST_SEED)


def port(text: str) -> int:
    """A TCP port; 0 stands for any that is free."""
    return _whole(text, 0, LAST_PORT)


def address(text: str) -> int:
    """An address of a 32-bit chip."""
    value = _integer(text)
    if value is None or not 0 <= value <= LAST_ADDRESS:
        raise ArgumentTypeError(f"an address from 0 to {LAST_ADDRESS:#x}, got {text!r}")
    return value


def place(text: str) -> int | str:
    """An address in code where it is a number, else the name of a function."""
    return text if _integer(text) is None else address(text) & ~1


def registers(text: str) -> tuple[int, ...]:
    """What a function of a 32-bit chip takes in registers."""
    values = [_integer(part) for part in text.split(",") if part]
    found = tuple(value for value in values if value is not None and -(2**31) <= value < 2**32)
    if len(found) < len(values) or len(values) > 4:
        raise ArgumentTypeError(f"up to four integers of 32 bits, separated by commas, got {text!r}")
    return found


def words(text: str) -> tuple[str, ...]:
    """Words, or names, separated by commas."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise ArgumentTypeError(f"a list of words separated by commas, got {text!r}")
    return found


def new_file(text: str) -> Path:
    """A file that can be written: told before the work whose result it is for."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"a file to write, got {text!r}, a folder")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"a file to write, got {text!r}: there is no folder {path.parent}")
    if not _writable(path.parent):
        raise ArgumentTypeError(f"a file to write, got {text!r}: the folder {path.parent} cannot be written")
    return path


def new_folder(text: str) -> Path:
    """A folder that can be written, or made: told before the work whose results it is for."""
    path = Path(text)
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ArgumentTypeError(f"a folder to write, got {text!r}: {there} is no folder")
    if not _writable(there):
        raise ArgumentTypeError(f"a folder to write, got {text!r}: the folder {there} cannot be written")
    return path


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _whole(text: str, first: int, last: int | None = None) -> int:
    value = int(text) if text.isascii() and text.isdecimal() else -1
    if value < first or (last is not None and value > last):
        to = "" if last is None else f" to {last}"
        raise ArgumentTypeError(f"a whole number from {first}{to}, got {text!r}")
    return value


def _integer(text: str) -> int | None:
    """Decimal, or with 0x, 0o or 0b."""
    try:
        return int(text, 0)
    except ValueError:
        return None
