"""A real board on a serial port: the device `serial:…`, as text or as a table of a bench file.

    serial:/dev/ttyACM0                      any port that pyserial opens: COM3, socket://host:port, rfc2217://host:port
    serial:/dev/ttyACM0?baud=921600&board=nucleo-l4r5zi
    serial:bench.toml#desk                   the table [desk] of a bench file; without # the only one

A bench file names ports, what stands there, and how a model is put onto it. It describes a desk, not a kind of device.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from rena_kws.errors import DeviceError, UnknownNameError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "serial:"


@dataclass(frozen=True)
class Bench:
    """A board and how to talk to it. Times in seconds.

    `baud`: None tries the usual ones. `board`: what it is, a name from the catalogue. `build_command` makes {elf} from
    the exported C in {bundle}; `flash_command` puts {elf} (or {bundle}) on the board before every measurement; both run
    in a shell in `folder`. `windows` of at least `window_s` and `iterations` inferences are timed, each after `warm_up`
    inferences; MLPerf Tiny's rule is 10 s, 10 iterations, and one window for each of 5 inputs.

    `reply_s`: how long a reply may pause; `infer_s`: how long an inference of unknown duration may take; `boot_s`: how
    long a reset may take; `knock_s`: how long each baud rate is tried; `quiet_s`: a pause that ends what was under way;
    `flash_s`: how long building and flashing may take each; `limit_s`: how long the measurement of an input may take.
    """

    port: str
    baud: int | None = None
    board: str | None = None
    build_command: str | None = None
    flash_command: str | None = None
    windows: int = 3
    window_s: float = 1.0
    iterations: int = 10
    warm_up: int = 1
    reply_s: float = 2.0
    infer_s: float = 30.0
    boot_s: float = 5.0
    knock_s: float = 0.4
    quiet_s: float = 0.15
    flash_s: float = 180.0
    limit_s: float = 300.0
    folder: Path = Path()


def is_serial(device: str) -> bool:
    """Whether a device's name means a board on a serial port."""
    return device.startswith(PREFIX)


def read_bench(device: str) -> Bench:
    """The bench that `serial:…` means. Raises `DeviceError` or `UnknownNameError` for what it cannot mean."""
    target = device.removeprefix(PREFIX)
    path, _, table = target.partition("#")
    if path.endswith(".toml"):
        return _from_file(Path(path), table)
    port, mark, query = target.partition("?")
    if mark and "://" in port and not _is_ours(query):
        port, query = target, ""  # a URL's own options
    if not port:
        raise DeviceError(
            f"device {device!r} names no port; a board is serial:/dev/ttyACM0, serial:COM3 or serial:FILE.toml"
        )
    settings = {key: _number_or_text(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    return _checked(device, {"port": port, **settings}, Path())


def _from_file(path: Path, name: str) -> Bench:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(f"cannot read the bench file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeviceError(f"the bench file {path} is no valid TOML: {error}") from None
    boards = {key: value for key, value in tables.items() if isinstance(value, dict)}
    if stray := sorted(set(tables) - set(boards)):
        raise DeviceError(f"the bench file {path}: {stray[0]!r} stands outside of a table [NAME]")
    if not name and len(boards) == 1:
        (name,) = boards
    if name not in boards:
        raise UnknownNameError(f"board of {path}", name, boards)
    return _checked(f"{path}#{name}", boards[name], path.parent)


def _is_ours(query: str) -> bool:
    return any(key in _TYPES for key, _ in parse_qsl(query, keep_blank_values=True))


def _checked(where: str, table: Mapping[str, Any], folder: Path) -> Bench:
    """A bench of known keys, right types and sensible values."""
    for key, value in table.items():
        if key not in _TYPES:
            raise UnknownNameError(f"setting of {where}", key, _TYPES)
        kinds = _TYPES[key]
        if isinstance(value, bool) or not isinstance(value, kinds):
            wanted = "a text" if kinds is str else "a whole number" if kinds is int else "a number"
            raise DeviceError(f"{where}: {key} = {value!r}; allowed: {wanted}")
        if not isinstance(value, str) and not _LEAST.get(key, 0) <= value <= _MOST:
            raise DeviceError(f"{where}: {key} = {value!r}; allowed: from {_LEAST.get(key, 0)} to {_MOST}")
    if "port" not in table:
        raise DeviceError(f'{where}: port is missing; it names the serial port, e.g. "/dev/ttyACM0"')
    bench = Bench(**table, folder=folder)
    flash = bench.flash_command or ""
    if "{elf}" in flash and "{elf}" not in (bench.build_command or ""):
        raise DeviceError(
            f"{where}: flash_command wants {{elf}}: add a build_command that makes {{elf}} from {{bundle}}"
        )
    return bench


_TYPES: Mapping[str, Any] = {
    item.name: str if "str" in str(item.type) else int if "int" in str(item.type) else (int, float)
    for item in fields(Bench)
    if item.name != "folder"
}
_LEAST = {"baud": 50, "windows": 1, "iterations": 1, "knock_s": 0.01, "quiet_s": 0.01}
_MOST = 100_000_000


def _number_or_text(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
