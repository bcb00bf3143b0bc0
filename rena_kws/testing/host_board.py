"""The harness with a real generated network, compiled for this computer: a board without hardware."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from rena_kws.artifacts import ConvertedModel
from rena_kws.firmware.emit import generate, renamed
from rena_kws.firmware.emit_harness import harness_sources
from rena_kws.firmware.toolchain import compile_host_library

_REPLY_BYTES = 1 << 20
_ClockType = ctypes.CFUNCTYPE(ctypes.c_uint64)


class BoardFirmware(Protocol):
    """What stands behind a board's UART, whether it runs on this computer, in an emulator, or is a script."""

    def start(self) -> bytes:
        """Reset; what it then sends of itself."""

    def receive(self, data: bytes) -> bytes:
        """What it answers to these bytes."""


def real_clock_us() -> int:
    return time.perf_counter_ns() // 1000


class HostBoard:
    """A `BoardFirmware`: the C that `export --harness` writes for `model`. `clock_us` is the board's clock."""

    def __init__(self, model: ConvertedModel, clock_us: Callable[[], int] = real_clock_us) -> None:
        firmware = generate(model, "kws")
        self._load({**firmware.sources, **harness_sources(firmware, model)}, "kws", clock_us)

    @classmethod
    def of_bundle(cls, folder: Path, name: str, clock_us: Callable[[], int] = real_clock_us) -> HostBoard:
        """The same of an exported bundle's files."""
        board = cls.__new__(cls)
        files = [path for path in folder.iterdir() if path.suffix in (".c", ".h") and path.name.startswith(name)]
        board._load({path.name: path.read_text(encoding="utf-8") for path in files}, name, clock_us)
        return board

    def _load(self, bundle: Mapping[str, str], name: str, clock_us: Callable[[], int]) -> None:
        glue = resources.files("rena_kws.testing").joinpath("host_board.c").read_text(encoding="utf-8")
        sources = {**bundle, "host_board.c": renamed(glue, name)}
        del sources[f"{name}_board.c"]
        # memcpy and its kin are this process's own. A copy, since a library that is loaded twice has one state.
        built = compile_host_library(sources, libc=False)
        with tempfile.TemporaryDirectory(prefix="rena-kws-board-", ignore_cleanup_errors=True) as folder:
            self._library: Any = ctypes.CDLL(shutil.copy(built, folder))
        self._library.board_start.restype = self._library.board_receive.restype = ctypes.c_size_t
        self._clock = _ClockType(clock_us)
        self._reply = ctypes.create_string_buffer(_REPLY_BYTES)

    def start(self) -> bytes:
        size = self._library.board_start(self._clock, self._reply, ctypes.c_size_t(_REPLY_BYTES))
        return ctypes.string_at(self._reply, size)

    def receive(self, data: bytes) -> bytes:
        size = self._library.board_receive(data, ctypes.c_size_t(len(data)))
        return ctypes.string_at(self._reply, size)
