"""The manifest beside a model: its labels, its front end, its figures. Versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rena_kws.artifacts import ConvertedModel
from rena_kws.decisions import DecisionSettings
from rena_kws.errors import DatasetError, ModelError
from rena_kws.frontend.settings import FrontEnd

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """`labels` and `front_end` are empty where nobody knows them: a bare model file. Each figure of `figures`'
    measurement says in `how` whether it was measured, emulated or estimated. `decisions`: how a stream is decided
    (`DecisionSettings`), once that was chosen. `stream`, of a bundle of C that listens: its `evaluation`, "incremental"
    or "whole", and what listening costs (`StreamCost`)."""

    format: str
    sha256: str
    labels: tuple[str, ...] = ()
    front_end: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    decisions: Mapping[str, Any] = field(default_factory=dict)
    stream: Mapping[str, Any] = field(default_factory=dict)
    model_files: tuple[str, ...] = ()
    created_by: str = field(default_factory=lambda: f"rena-kws {version('rena-kws')}")
    schema_version: int = SCHEMA_VERSION

    @staticmethod
    def of(
        model: ConvertedModel, labels: Sequence[str], front_end: Mapping[str, Any], figures: Mapping[str, Any]
    ) -> Manifest:
        return Manifest(model.format, model.sha256, tuple(labels), dict(front_end), dict(figures))

    @staticmethod
    def bare(model: ConvertedModel) -> Manifest:
        """Of a model that came alone."""
        return Manifest(model.format, model.sha256)

    @staticmethod
    def beside(model: str | Path) -> Manifest | None:
        """The manifest in a bundle's folder, or beside a model file; None where there is none.

        Raises `ModelError` for one that is damaged, of another schema, or another model's.
        """
        path = Path(model)
        folder = path if path.is_dir() else path.parent
        file = folder / FILE_NAME
        if not file.is_file():
            return None
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            if data["schema_version"] != SCHEMA_VERSION:
                raise ModelError(
                    f"{file} has schema version {data['schema_version']}; this version reads {SCHEMA_VERSION}"
                )
            manifest = Manifest(**{**data, "labels": tuple(data["labels"]), "model_files": tuple(data["model_files"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the manifest {file} is damaged: {error}") from error
        return manifest if path.is_dir() or path.name in manifest.model_files else None

    def of_model(self, model: ConvertedModel) -> Manifest:
        """The same facts about another file of the same network."""
        return replace(self, format=model.format, sha256=model.sha256, model_files=())

    def named(self, *files: str) -> Manifest:
        """The same for a network stored in these files, the one of `sha256` first."""
        return replace(self, model_files=files)

    def read_front_end(self) -> FrontEnd:
        """Raises `ModelError` for settings that cannot be used."""
        try:
            return FrontEnd.from_json(self.front_end)
        except DatasetError as error:
            raise ModelError(f"the manifest's front end cannot be used: {error}") from None

    def deciding(self, decisions: DecisionSettings) -> Manifest:
        """The same network, with how its streams are decided."""
        return replace(self, decisions=decisions.as_json())

    def as_text(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
