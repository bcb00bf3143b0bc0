"""A firmware that behaves as those built for MLPerf Tiny do, where that differs from our harness.

It tells no model's sha256, prints the start of a window before it runs, keeps carriage returns as part of a command,
reads numbers as C's atoi does, takes bytes after the last, and hangs at an empty command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

LINE_BYTES = 80
BYTES_A_LINE = 8


class PublicFirmware:
    """A `BoardFirmware`. `compute`: the results for an input of `input_bytes`; `clock_us`: the board's clock."""

    def __init__(
        self, input_bytes: int, compute: Callable[[bytes], Sequence[float]], clock_us: Callable[[], int]
    ) -> None:
        self._input_bytes, self._compute, self._clock_us = input_bytes, compute, clock_us
        self._reset()

    def _reset(self) -> None:
        self._line, self._hangs = b"", False
        self._size, self._buffer = 0, bytearray()
        self._results: Sequence[float] = self._compute(bytes(self._input_bytes))

    def start(self) -> bytes:
        self._reset()
        return b"m-timestamp-mode-performance\r\nm-lap-us-0\r\nm-init-done\r\nm-ready\r\n"

    def receive(self, data: bytes) -> bytes:
        answer = b""
        for byte in data:
            if byte != ord("%"):
                self._line = (self._line + bytes([byte]))[:LINE_BYTES]
                continue
            words, self._line = self._line.split(b" "), b""
            words = [word for word in words if word]
            self._hangs = self._hangs or not words
            if not self._hangs:
                answer += b"".join(line + b"\r\n" for line in [*self._obey(words), b"m-ready"])
        return answer

    def _obey(self, words: list[bytes]) -> list[bytes]:
        command, *arguments = words
        if command == b"name":
            return [b"m-name-dut-[A Vendor]"]
        if command == b"timestamp":
            return [self._lap()]
        if command == b"profile":
            return [b"m-profile-[ULPMark for tinyML Firmware V0.0.1]", b"m-model-[kws01]"]
        if command == b"help":
            return [b"ULPMark for tinyML Firmware V0.0.1", b"", b"name", b"db SUBCMD"]
        if command == b"db":
            return self._db(arguments)
        if command == b"infer":
            return self._infer(arguments)
        if command == b"results":
            return [self._printed()]
        return [b"e-[Unknown command: " + command + b"]"]

    def _db(self, arguments: list[bytes]) -> list[bytes]:
        if not arguments:
            return [b"e-[Command 'db' requires a subcommand]"]
        if arguments[0] == b"load":
            return self._begin(_atoi(arguments[1]) if arguments[1:] else 0)
        if arguments[0] == b"print":
            shown = bytes(self._buffer[: self._size].ljust(self._size, b"\0"))
            rows = [shown[at : at + BYTES_A_LINE] for at in range(0, len(shown), BYTES_A_LINE)]
            return [b"m-buffer-" + row.hex("-").encode() for row in rows] + ([b""] if len(shown) % BYTES_A_LINE else [])
        return self._store(arguments[0])

    def _begin(self, size: int) -> list[bytes]:
        if size <= 0:
            return [b"e-[Command 'db load' must be >0 bytes]"]
        self._size = size
        self._buffer.clear()
        if size > self._input_bytes:
            return [b"Supplied buffer size %d exceeds maximum of %d" % (size, self._input_bytes)]
        return [b"m-[Expecting %d bytes]" % size]

    def _store(self, digits: bytes) -> list[bytes]:
        """Byte by byte: what comes before a wrong digit is kept."""
        if len(digits) % 2:
            return [b"e-[Insufficent number of hex digits]"]
        for at in range(0, len(digits), 2):
            pair = digits[at : at + 2]
            if not re.fullmatch(rb"[0-9a-fA-F]{2}", pair):
                return [b"e-[Invalid hex digit '" + pair + b"']"]
            self._buffer.append(int(pair, 16))
            if len(self._buffer) == self._size:
                return [b"m-load-done"]
        return []

    def _infer(self, arguments: list[bytes]) -> list[bytes]:
        runs = _atoi(arguments[0]) if arguments else 1
        warm_up = _atoi(arguments[1]) if arguments[1:] else 10
        if runs <= 0:
            return [b"e-[Inference iterations must be >0]"]
        if warm_up < 0:
            return [b"e-[Inference warmup must be >=0]"]
        lines = [b"m-warmup-start-%d" % warm_up, b"m-warmup-done", b"m-infer-start-%d" % runs, self._lap()]
        self._results = self._compute(bytes(self._buffer[: self._input_bytes].ljust(self._input_bytes, b"\0")))
        return [*lines, self._lap(), b"m-infer-done", self._printed()]

    def _lap(self) -> bytes:
        return b"m-lap-us-%d" % (self._clock_us() % (1 << 32))

    def _printed(self) -> bytes:
        return f"m-results-[{','.join(f'{value:.3f}' for value in self._results)}]".encode()


def _atoi(text: bytes) -> int:
    """The number that a text begins with, 0 where it begins with none."""
    match = re.match(rb"[+-]?\d+", text)
    return int(match[0]) if match else 0
