"""What the networks of a run have learnt, for those that are made of them: a file each in the run's folder."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np

from rena_kws.artifacts import Trained
from rena_kws.errors import ModelError, RenaError, RunFolderError
from rena_kws.files import replacing
from rena_kws.spec.architecture import Architecture

WEIGHTS_FILE = "weights.npz"
"""Beside the winner's model."""
_ARCHITECTURE = "architecture"


def as_npz(trained: Trained) -> bytes:
    """The content of a file that `read_npz` reads: the weights by layer, and the network as JSON."""
    arrays = {f"{name}/{i}": array for name, weights in trained.weights.items() for i, array in enumerate(weights)}
    arrays[_ARCHITECTURE] = np.array(json.dumps(trained.architecture.as_json()))
    file = BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def read_npz(path: Path) -> Trained:
    """Raises `OSError` where the file cannot be read, `ModelError` where it is no such file, or a damaged one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            architecture = Architecture.from_json(json.loads(str(stored[_ARCHITECTURE])))
            weights: dict[str, list[np.ndarray]] = {}
            for key in stored.files:
                if key != _ARCHITECTURE:
                    weights.setdefault(key.rpartition("/")[0], []).append(stored[key])
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, RenaError) as error:
        raise ModelError(f"{path} must hold a network's weights as a search writes them; {error}") from error
    return Trained(architecture, {name: tuple(arrays) for name, arrays in weights.items()})


class WeightStore:
    """Keeps the `most` networks that were saved or asked for last. What it has lost is only learnt again."""

    def __init__(self, folder: Path, most: int = 100) -> None:
        self._folder = folder
        self._most = most

    def save(self, trained: Trained) -> None:
        """Raises `RunFolderError` where the file cannot be written."""
        path = self._path(trained.architecture.id)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as aside:
                aside.write_bytes(as_npz(trained))
        except OSError as error:
            raise RunFolderError(f"cannot write {path}: {error.strerror}") from error
        self._forget()

    def load(self, architecture_id: str) -> Trained | None:
        """None for a network that is not kept, or whose file is damaged."""
        path = self._path(architecture_id)
        try:
            trained = read_npz(path)
            path.touch()
        except (OSError, ModelError):
            return None
        return trained

    def _path(self, architecture_id: str) -> Path:
        return self._folder / f"{architecture_id}.npz"

    def _forget(self) -> None:
        files = sorted(self._folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
        for path in files[: -self._most]:
            path.unlink(missing_ok=True)
