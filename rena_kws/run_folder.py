"""The folder of a run: what was asked for, every trial, the winner, the report.

RUN/run.json        the settings, written once; a folder with other settings is another run's
RUN/trials.jsonl    every finished trial
RUN/weights/        what the last networks have learnt
RUN/winner/         the winner's model.tflite, model.onnx, weights.npz and manifest.json
RUN/firmware/       the winner as C
RUN/report.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from typing import IO, Any

from rena_kws.errors import RunFolderError
from rena_kws.files import replacing, try_lock
from rena_kws.store import JournalStore
from rena_kws.store.weights import WeightStore

SCHEMA_VERSION = 1


class RunFolder:
    """Opens or creates a run. One process at a time: the lock is the kernel's, so a killed run leaves none behind."""

    def __init__(self, path: Path, settings: Mapping[str, Any], resume: bool) -> None:
        self.path = path
        if resume and not (path / "run.json").exists():
            raise RunFolderError(f"--resume wants the folder of an earlier run, and {path} holds none")
        if not resume:
            _refuse_used(path)
        self._lock = _create_and_lock(path)
        try:
            self._settle({"schema_version": SCHEMA_VERSION, **settings}, resume)
        except BaseException:
            self._lock.close()
            raise
        self.store = JournalStore(path / "trials.jsonl")
        self.weights = WeightStore(path / "weights")

    def _settle(self, asked: Mapping[str, Any], resume: bool) -> None:
        """Under the lock: make the folder this run's, or see that it is."""
        if resume:
            _refuse_other_run(self.path, asked)
        else:
            _refuse_used(self.path)  # again: another process may have been quicker
            write_text(self.path / "run.json", json.dumps(asked, indent=2, sort_keys=True) + "\n")

    def close(self) -> None:
        self._lock.close()


def new_run_path() -> Path:
    """runs/DATE-TIME, with a number behind it where another run began in the same second."""
    path = Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    names = chain([path], (path.with_name(f"{path.name}-{number}") for number in count(2)))
    return next(name for name in names if not name.exists())


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a run. Raises `RunFolderError` where the folder holds no run."""
    try:
        data = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} is no run folder: its run.json cannot be read ({error})") from error
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise RunFolderError(f"{path}/run.json has another schema version than {SCHEMA_VERSION}")
    return data


def write_text(path: Path, text: str) -> None:
    """The whole file or none of it; raises `RunFolderError`."""
    try:
        with replacing(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror}") from error


def _create_and_lock(path: Path) -> IO[bytes]:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "ab")  # noqa: SIM115 (held until the run ends)
    except OSError as error:
        raise RunFolderError(f"cannot write the run folder {path}: {error.strerror}") from error
    try:
        if try_lock(lock):
            return lock
        reason = f"the run in {path} is being worked on by another process"
    except OSError as error:
        reason = f"cannot lock the run folder {path}: {error.strerror}"
    lock.close()
    raise RunFolderError(reason)


def _refuse_used(path: Path) -> None:
    """A new run wants a folder that is missing or empty, or one whose run ended before its first trial: by a mistake in
    what was asked for, say, which is put right now."""
    held = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if "trials.jsonl" in held:
        raise RunFolderError(f"{path} holds a run already; continue it with --resume, or name another folder")
    if any(not name.startswith((".lock", ".run.json.")) for name in held - {"run.json"}):
        raise RunFolderError(f"a new run wants an empty folder, and {path} holds other files")


def _refuse_other_run(path: Path, asked: Mapping[str, Any]) -> None:
    held = read_settings(path)
    asked = json.loads(json.dumps(asked))  # tuples become lists, as in the file
    if different := [key for key in asked if held.get(key) != asked[key]]:
        key = different[0]
        raise RunFolderError(f"{path} is another run's: its {key} is {held.get(key)!r}, this one's {asked[key]!r}")
