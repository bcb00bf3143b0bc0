"""The cache: what takes long and comes out the same, in files under the hash of all that shapes them.

    ROOT/features   clips as a network sees them       ROOT/sources   where compilers find what they made before
    ROOT/built      compiled images and libraries      ROOT/boards    locks
    ROOT/profiles   measurements on emulated cores

Files are written aside and renamed, so parallel processes may make the same one. A file is touched whenever it serves;
what was longest unused goes when the results together are over the limit.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from rena_kws.errors import UnavailableError
from rena_kws.files import users_folder

RESULTS = ("features", "built", "profiles")
DEFAULT_MB = 4096
_KEPT_S = 3600.0
"""A result that served within the last hour stays: another process may be about to read it."""
_LOOK_EVERY_S = 60.0

_looked: dict[Path, float] = {}


def root() -> Path:
    """$RENA_KWS_CACHE, else rena-kws in the user's cache folder. Raises as `limit_bytes`: before the work that a result
    takes, and where it is there already."""
    limit_bytes()
    chosen = os.environ.get("RENA_KWS_CACHE")
    if chosen:
        return Path(chosen)
    return users_folder("XDG_CACHE_HOME", ".cache") / "rena-kws"


def limit_bytes() -> int:
    """$RENA_KWS_CACHE_MB, or `DEFAULT_MB`. Raises `UnavailableError` where it is no number of megabytes."""
    given = os.environ.get("RENA_KWS_CACHE_MB") or str(DEFAULT_MB)
    if not given.isdecimal():
        raise UnavailableError(f"RENA_KWS_CACHE_MB must be a whole number of megabytes, not {given!r}")
    return int(given) << 20


def used_bytes() -> int:
    """What the results in `root()` take."""
    return sum(status.st_size for status, _ in _results(root()))


def touch(path: Path) -> None:
    """The result in `path` has served."""
    with suppress(OSError):  # another user's, or gone: it has served all the same
        os.utime(path)


def make_room(folder: Path | None = None) -> None:
    """Remove results from the cache in `folder`, by default `root()`, longest unused first, until it keeps its limit.

    Cheap enough to be called after every result: it looks once a minute.
    """
    folder = folder or root()
    now = time.monotonic()
    if now - _looked.get(folder, -_LOOK_EVERY_S) < _LOOK_EVERY_S:
        return
    _looked[folder] = now
    files = _results(folder)
    total, limit, recent = sum(status.st_size for status, _ in files), limit_bytes(), time.time() - _KEPT_S
    for status, path in sorted(files, key=lambda file: file[0].st_mtime):
        if total <= limit or status.st_mtime > recent:
            return
        with suppress(OSError):
            os.unlink(path)
            total -= status.st_size


def _results(folder: Path) -> list[tuple[os.stat_result, str]]:
    found = []
    for kind in RESULTS:
        with suppress(OSError), os.scandir(folder / kind) as entries:  # there may be none yet
            for entry in entries:
                with suppress(OSError):  # another process may just have removed it
                    if entry.is_file():
                        found.append((entry.stat(), entry.path))
    return found
