"""A store in one file: a line of JSON a trial, flushed to the disk before `append` returns.

A process killed while it writes leaves at most one torn last line. It was never acknowledged, so it is cut off before
the next append; a damaged line anywhere else is an error, for then the file was changed by something else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO

from rena_kws.errors import RenaError, RunFolderError
from rena_kws.store.base import Store, Trial


class JournalStore(Store):
    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, trial: Trial) -> None:
        line = json.dumps(trial.as_json(), separators=(",", ":")) + "\n"
        try:
            with open(self._path, "a+b") as file:
                _cut_torn_line(file)
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunFolderError(f"cannot write {self._path}: {error.strerror}; the trials before are kept") from error

    def replay(self) -> list[Trial]:
        if not self._path.exists():
            return []
        *lines, _torn = self._path.read_bytes().split(b"\n")
        trials = []
        for number, line in enumerate(lines, start=1):
            try:
                trials.append(Trial.from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError, RenaError) as error:
                raise RunFolderError(f"{self._path} line {number} is damaged ({error}); remove the line") from error
        return trials


def _cut_torn_line(file: IO[bytes]) -> None:
    """Shorten the file to its last line end, where it does not end with one."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
