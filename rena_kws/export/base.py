"""The seam of export formats: a function from a model and its manifest to a folder.

An exporter is registered as an entry point in the group `rena_kws.exporters` and has the type `Exporter`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import ModelError, RenaError, RunFolderError
from rena_kws.export.manifest import Manifest
from rena_kws.files import replacing
from rena_kws.firmware.toolchain import Optimize

FILES = ".rena-kws-files"
"""In a bundle: the names of the files that were written there, a line each."""


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
    """Write all files, by their paths with `/`. A new folder is written beside `folder`, then renamed into place.

    In the folder of an earlier bundle the files that it had are replaced, one by one; what somebody else put there
    stays. Raises `RunFolderError` where it has the name of a file that would be written, and for any other folder that
    holds something.
    """
    content = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    try:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            _write_new(folder, content)
        else:
            _replace(folder, content)
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error.strerror}") from error


def _write_new(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in {**files, FILES: _list_of(files)}.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_bytes(content)
        aside.chmod(0o755)
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        earlier = set((folder / FILES).read_text(encoding="utf-8").split("\n"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(f"{folder} is no earlier bundle and not empty; name another folder with --out") from None
    if foreign := [name for name in files if name not in earlier and (folder / name).exists()]:
        raise RunFolderError(f"{folder / foreign[0]} is not the bundle's; move it, or name another folder with --out")
    # The list names more than there is rather than less: whenever this is killed, it can be done again.
    for name, content in {FILES: _list_of(earlier | set(files)), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder / name) as aside:
            aside.write_bytes(content)
    for name in earlier - set(files):
        gone = folder / name
        gone.unlink(missing_ok=True)
        with suppress(OSError):  # a folder that still holds something
            while (gone := gone.parent) != folder:
                gone.rmdir()
    with replacing(folder / FILES) as aside:
        aside.write_bytes(_list_of(files))


def _list_of(names: Iterable[str]) -> bytes:
    return "\n".join(sorted(names)).encode()


def merged(*parts: Mapping[str, str]) -> dict[str, str]:
    """All files, by their paths. Raises `ModelError` where two that differ would be one, on any file system."""
    files: dict[str, tuple[str, str]] = {}
    for file in (file for part in parts for file in part.items()):
        if files.setdefault(file[0].lower(), file) != file:
            raise ModelError(f"two files of the bundle would be {file[0]}; give another name with --name")
    return dict(files.values())


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
