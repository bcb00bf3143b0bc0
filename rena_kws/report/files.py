"""Figures and their picture on disk, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rena_kws.errors import RunFolderError
from rena_kws.files import replacing


def write_pair(folder: Path, json_name: str, data: Mapping[str, Any], svg_name: str, picture: str) -> None:
    """Both into `folder`, which is made where it is missing. Raises `RunFolderError`."""
    write_text(folder / json_name, json.dumps(data, indent=2) + "\n")
    write_text(folder / svg_name, picture + "\n")


def write_text(path: Path, text: str) -> None:
    """Raises `RunFolderError` where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror}") from error
