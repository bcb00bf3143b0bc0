"""A serial port: bytes out, lines in, and words for what goes wrong with it. The one file that imports pyserial.

A port is anything that `serial_for_url` opens: `/dev/ttyACM0`, `COM3`, `socket://host:port`, `rfc2217://host:port`.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import serial
from serial.tools import list_ports

from rena_kws.errors import DeviceError
from rena_kws.profilers.serial_board.protocol import END_OF_COMMAND, READY, BadReply

_POLL_S = 0.02
_WRITE_TIMEOUT_S = 5.0
_PATIENCE = 10
"""How many silences a reply may last: a port that keeps talking is no board that answers."""


class Silence(BadReply):
    """Nothing came for as long as was to be waited."""


@dataclass(frozen=True)
class UsbPort:
    """A serial port that the system lists; `vid` and `pid` where it is on USB."""

    device: str
    description: str
    vid: int | None
    pid: int | None
    serial_number: str | None


def usb_ports() -> list[UsbPort]:
    """The serial ports on USB, in the system's order of names."""
    found = [port for port in list_ports.comports() if port.vid is not None]
    return [UsbPort(p.device, p.description or "", p.vid, p.pid, p.serial_number) for p in sorted(found)]


@dataclass
class Link:
    """An open port. Every method raises `DeviceError` where the port itself is lost.

    `handle` has pyserial's interface, `clock` tells seconds, and after `deadline` on it nothing is waited for.
    `received` are the bytes since the last command, for words about what came instead of a reply.
    """

    port: str
    handle: Any
    deadline: float
    clock: Callable[[], float] = time.monotonic
    received: bytearray = field(default_factory=bytearray)
    echoes: bool = False

    @classmethod
    def open(cls, port: str, baud: int, deadline: float, wait_s: float = 0.0) -> Link:
        """Open a port for this process alone; a port that is not there is waited for, up to `wait_s`."""
        until = min(deadline, time.monotonic() + wait_s)
        write_timeout_s = None if port.startswith("rfc2217://") else _WRITE_TIMEOUT_S  # pyserial has none there
        while True:
            try:
                handle = serial.serial_for_url(
                    port, baud, timeout=_POLL_S, write_timeout=write_timeout_s, exclusive=True
                )
                return cls(port, handle, deadline)
            except (serial.SerialException, OSError, ValueError) as error:
                if time.monotonic() >= until or getattr(error, "errno", None) != errno.ENOENT:
                    raise DeviceError(f"serial port {port} {_why_closed(error)}") from None
            time.sleep(_POLL_S)

    def close(self) -> None:
        with suppress(serial.SerialException, OSError):
            self.handle.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def has_baud(self) -> bool:
        """Whether a rate means something: not on a socket."""
        return not self.port.startswith("socket://")

    def set_baud(self, baud: int) -> bool:
        """Whether the port can do it."""
        try:
            self.handle.baudrate = baud
        except (serial.SerialException, OSError, ValueError):
            return False
        return True

    def flush(self) -> None:
        """Forget what came uninvited."""
        self.received.clear()
        try:
            self.handle.reset_input_buffer()
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None

    def drain(self, quiet_s: float) -> None:
        """Read and forget until nothing came for `quiet_s`, but not for ever."""
        until = self.clock() + _PATIENCE * quiet_s
        with suppress(Silence):
            while self.clock() < until:
                self._read(quiet_s)
        self.received.clear()

    def exchange(self, command: str, silence_s: float) -> list[str]:
        """Send a command → the reply's lines, without `m-ready`, without empty lines, without the port's echo.

        Raises `Silence` when nothing comes for `silence_s`, `BadReply` for a reply without an end.
        """
        self.received.clear()
        until = min(self.clock() + _PATIENCE * silence_s, self.deadline)
        sent = command + END_OF_COMMAND
        self._write(sent.encode("ascii"))
        lines: list[str] = []
        pending = b""
        while self.clock() < until:
            pending += self._read(silence_s)
            *whole, pending = pending.split(b"\n")
            for raw in whole:
                line = self._text(raw, sent)
                if READY in line:
                    return [*lines, line] if line != READY else lines
                if line:
                    lines.append(line)
        raise BadReply(f"it keeps talking and never ends its reply to {command[:20]!r}")

    def _text(self, raw: bytes, sent: str) -> str:
        """A line as text. What is no ASCII becomes `?`, which no line of the protocol has."""
        line = raw.decode("ascii", errors="replace").replace("\ufffd", "?").strip("\r\n\0")
        if sent in line:
            self.echoes = True
            line = line.partition(sent)[2]
        return line

    def _read(self, silence_s: float) -> bytes:
        """What has come, at least a byte."""
        until = self.clock() + silence_s
        while True:
            try:
                data = self.handle.read(self.handle.in_waiting or 1)
            except (serial.SerialException, OSError, TypeError) as error:  # TypeError: closed under pyserial's feet
                raise self._lost(error) from None
            if data:
                self.received += data
                return bytes(data)
            if self.clock() >= min(until, self.deadline):
                raise Silence(f"no answer for {silence_s:g} s")

    def _write(self, data: bytes) -> None:
        try:
            self.handle.write(data)
        except serial.SerialTimeoutException:
            raise Silence(f"the port took no bytes for {_WRITE_TIMEOUT_S:g} s") from None
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> DeviceError:
        return DeviceError(f"serial port {self.port} went away in the middle ({_one_line(error)}): was it unplugged?")


def _why_closed(error: Exception) -> str:
    code, text = getattr(error, "errno", None), _one_line(error)
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return "is in use by another program: close it there"
    if code == errno.EACCES or "PermissionError" in text or "Access is denied" in text:
        return "may not be opened: it is in use, or you lack the right (on Linux: sudo usermod -aG dialout $USER)"
    if code == errno.ENOENT or "FileNotFoundError" in text:
        known = ", ".join(port.device for port in list_ports.comports()) or "none"
        return f"does not exist; ports here: {known}"
    return f"cannot be opened: {text}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
