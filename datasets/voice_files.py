"""Where further voices lie: of Piper two files each, `VOICE.onnx` and `VOICE.onnx.json`, of Silero `v3_LANGUAGE.pt`."""

from __future__ import annotations

import os
from pathlib import Path

from rena_kws.files import users_folder


def folder() -> Path:
    """$RENA_KWS_VOICES, else rena-kws/voices in the user's data folder."""
    chosen = os.environ.get("RENA_KWS_VOICES")
    if chosen:
        return Path(chosen)
    return users_folder("XDG_DATA_HOME", ".local/share") / "rena-kws" / "voices"


def found(pattern: str) -> list[Path]:
    """The files there that suit a pattern, at any depth, sorted."""
    return sorted(path for path in folder().rglob(pattern) if path.is_file())


def state(paths: list[Path]) -> str:
    """Names these files, and as they are now: others may speak otherwise."""
    states = [path.stat() for path in paths]
    return " ".join(f"{path.name}:{s.st_size}:{s.st_mtime_ns}" for path, s in zip(paths, states, strict=True))
