"""Files that are never half-written, locks that a killed process does not leave behind, where a user's files lie."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from rena_kws.errors import UnavailableError

_POLL_S = 0.05


def users_folder(variable: str, otherwise: str) -> Path:
    """Where programs keep files for a user: $LOCALAPPDATA on Windows, else what the XDG `variable` names, and without
    it `otherwise` in the home folder."""
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else variable)
    return Path(base) if base else Path.home() / otherwise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: renamed onto it when the block ends, removed where the block fails.

    A reader sees the old file or the new one, whatever happens in between. `OSError` passes through.
    """
    # Machines and containers that share a folder may have equal process numbers.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, timeout_s: float, what: str) -> Iterator[None]:
    """Hold the lock file `path` for the block; whoever else asks for it waits, threads and processes alike.

    Raises `UnavailableError`, which calls the thing `what`, when it is not free after `timeout_s`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + timeout_s
    with open(path, "ab") as file:  # closing it, or the process's end, frees the lock
        while not _try_cache_lock(file):
            if time.monotonic() >= until:
                raise UnavailableError(f"{what} is in use by another process, for more than {timeout_s:g} s")
            time.sleep(_POLL_S)
        yield


@contextmanager
def reserved(parent: Path) -> Iterator[Path]:
    """For the block, the first of the folders `parent`/0, /1, … that nobody holds, with what it held before.

    `OSError` passes through; `UnavailableError` where the file system has no locks.
    """
    for number in count():
        folder = parent / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        with open(parent / f"{number}.lock", "ab") as file:
            if _try_cache_lock(file):
                yield folder
                return


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed, by whatever end; False where another holds it.

    `OSError` passes through: that of a file system without locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter on Windows
        return False
    return True


def _try_cache_lock(file: IO[bytes]) -> bool:
    try:
        return try_lock(file)
    except OSError as error:
        raise UnavailableError(
            f"cannot lock {file.name}: {error.strerror} (set RENA_KWS_CACHE to a folder elsewhere)"
        ) from None
