"""The seam of export formats: a function from a model and its manifest to a folder.

An exporter is registered as an entry point in the group `rena_kws.exporters` and has the type `Exporter`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import RenaError, RunFolderError
from rena_kws.export.manifest import FILE_NAME, Manifest
from rena_kws.firmware.toolchain import Optimize


@dataclass(frozen=True)
class FirmwareOptions:
    """What an export of firmware may be asked for. `optimize`: what it is generated for, None to leave that to the
    exporter. `harness`: with what makes a board with a UART a device to profile on. `whole`: each result of a stream is
    a run of the whole network, even where it could be computed of new rows. `word`: the one keyword that is listened
    for, where a format knows a single one."""

    optimize: Optimize | None = None
    harness: bool = False
    whole: bool = False
    word: str | None = None


Exporter = Callable[[ConvertedModel, Manifest, Path, str, FirmwareOptions], None]
"""(model, manifest, folder to write, name, options): `name` prefixes public symbols, or is the model file's stem."""


def write_bundle(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write all files, by their paths with `/`, into a new folder beside `folder`, then rename it into place.

    An earlier bundle (a folder with a manifest) is replaced; any other folder that holds something is refused with
    `RunFolderError`.
    """
    if folder.exists() and not (folder / FILE_NAME).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(f"{folder} is no earlier bundle and not empty; name another folder with --out")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, content in files.items():
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                (aside / name).write_bytes(content.encode() if isinstance(content, str) else content)
            aside.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error.strerror}") from error


def refuse_word(options: FirmwareOptions) -> None:
    """Raise `RenaError` where one word is picked for a format that listens for all of them."""
    if options.word is not None:
        raise RenaError(f"a word is picked for the format esphome alone; leave --word {options.word} out")


def refuse_options(options: FirmwareOptions) -> None:
    """Raise `RenaError` where a file without firmware is asked for something that firmware has."""
    if options.optimize is not None:
        raise RenaError(f"a model file holds no firmware, so none for {options.optimize}; leave --optimize out")
    if options.harness:
        raise RenaError("a harness is C: it goes with the formats c, arduino and zephyr")
    if options.whole:
        raise RenaError("a stream is C: how it is evaluated is asked for with the formats c, arduino and zephyr")


def require_format(model: ConvertedModel, wanted: str) -> None:
    """Raise `RenaError` where a model of another format is asked for: export does not convert."""
    if model.format != wanted:
        raise RenaError(f"this export wants the {wanted} format, and {model.name} is {model.format}")
