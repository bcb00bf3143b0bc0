"""The exported C of a stream, compiled for this computer: what is evaluated and listened with is what ships."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.decisions import Detection
from rena_kws.firmware.emit import renamed
from rena_kws.firmware.toolchain import compile_host_library
from rena_kws.streaming.stream_sound import Sound

_ALIGNMENT = 16


class _Event(ctypes.Structure):
    _fields_ = (("label", ctypes.c_int32), ("score", ctypes.c_int32), ("position", ctypes.c_uint64))


_OnEvent = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Event:
    """A detection. `position`: samples heard up to the end of the clip that decided. `score`: smoothed probability."""

    label: int
    score: float
    position: int


class HostStream:
    """The C of `stream_sources` with network and front end, `sources`, under their prefix `name`."""

    def __init__(self, sources: Mapping[str, str], name: str) -> None:
        glue = resources.files("rena_kws.streaming").joinpath("kws_host_stream.c").read_text("utf-8")
        files = {**sources, "host_stream.c": renamed(glue, name)}
        self._name = name
        # memcpy and its kin are this process's own.
        self._library: Any = ctypes.CDLL(str(compile_host_library(files, optimize="speed", libc=False)))
        for function in ("host_stream_bytes", "host_arena_bytes", "host_scores", "host_decide"):
            self._library[function].restype = ctypes.c_size_t
        self.classes: int = self._library.host_classes()

    def scores(self, sound: Sound, first: int, period: int) -> NDArray[np.int8]:
        """Every result of a new stream that hears `sound`, (results, classes); the first after `first` samples, one
        every `period` samples from there on, as the C's settings have it. Runs without Python's lock."""
        results = max(0, 1 + (len(sound) - first) // period)
        out = np.zeros((results, self.classes), np.int8)
        listener = self.listen(lambda event: None)
        found = self._library.host_scores(listener.state, _pointer(sound), ctypes.c_size_t(len(sound)), _pointer(out))
        assert found == results, f"{found} results of {results}"
        return out

    def decide(self, scores: NDArray[np.int8]) -> list[Detection]:
        """The C's decisions on a stream of scores, (results, classes)."""
        found = np.zeros((len(scores) + 1, 3), np.int32)
        count = self._library.host_decide(_pointer(scores), ctypes.c_size_t(len(scores)), _pointer(found))
        return [Detection(*map(int, row)) for row in found[:count]]

    def listen(self, on_event: Callable[[Event], None]) -> Listener:
        """A new stream, which calls `on_event` from within `push`."""
        return Listener(self._library, self._name, on_event)


class Listener:
    """One stream: its state and arena, and what it is told."""

    def __init__(self, library: Any, name: str, on_event: Callable[[Event], None]) -> None:
        full_score = library.host_full_score()

        def report(user: int | None, event: Any) -> None:
            found = event.contents
            on_event(Event(found.label, found.score / full_score, found.position))

        self._push = library[f"{name}_stream_push"]
        self._push.restype = None
        self._report = _OnEvent(report)  # kept: the C holds its address
        self._memory = ctypes.create_string_buffer(library.host_arena_bytes() + _ALIGNMENT)
        self._state = ctypes.create_string_buffer(library.host_stream_bytes() + _ALIGNMENT)
        self.arena = _aligned(self._memory)
        self.state = _aligned(self._state)
        library[f"{name}_stream_init"](self.state, self.arena, self._report, None)

    def push(self, samples: Sound) -> None:
        self._push(self.state, _pointer(samples), ctypes.c_size_t(len(samples)))


def _aligned(memory: Any) -> ctypes.c_void_p:
    address = ctypes.addressof(memory)
    return ctypes.c_void_p(address + -address % _ALIGNMENT)


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    """To the array's numbers one after the other, which live as long as the pointer: to a copy where they lie apart."""
    return np.ascontiguousarray(array).ctypes.data_as(ctypes.c_void_p)
