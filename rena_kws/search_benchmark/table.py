"""The table: networks of the space, each trained and measured once. One line of JSON a network, after a line on how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rena_kws.errors import ModelError
from rena_kws.spec.architecture import Architecture

SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """A network, its int8 accuracy on voices it was not trained on, and what it costs on the table's device."""

    architecture: Architecture
    accuracy: float
    resources: Mapping[str, float]
    train_s: float

    def as_json(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.as_json(),
            "accuracy": round(self.accuracy, 4),
            "resources": {name: round(value, 4) for name, value in self.resources.items()},
            "train_s": round(self.train_s, 1),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        architecture = Architecture.from_json(data["architecture"])
        return cls(architecture, data["accuracy"], data["resources"], data["train_s"])


def begin(path: Path, device: str) -> list[Row]:
    """An empty table of what networks cost on a device. Returns its rows: none."""
    path.write_text(json.dumps({"device": device, "schema": SCHEMA}) + "\n")
    return []


def append(path: Path, row: Row) -> None:
    """Add a line at the end of the file."""
    with path.open("a") as file:
        file.write(json.dumps(row.as_json(), separators=(",", ":")) + "\n")


def read(path: Path) -> list[Row]:
    """All rows, in order. Raises `ModelError` for a file that is no table."""
    try:
        head, *lines = path.read_text().splitlines()
        if json.loads(head)["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        return [Row.from_json(json.loads(line)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no table of networks: {error}") from error
