"""A board on a port: a pseudo-terminal for whatever program talks to boards, or a virtual port with its own time."""

from __future__ import annotations

import os
import select
import threading
from types import TracebackType

from rena_kws.testing.board_faults import Wire


class BoardOnPty:
    """`with BoardOnPty(wire) as port:` gives the path of a terminal behind which the board answers. Not on Windows.

    A pty carries bytes at any rate; where the wire has one, it is compared with the rate that the terminal was set to.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> str:
        import tty

        self._board, self._terminal = os.openpty()  # the terminal stays open here, or it would hang up between hosts
        tty.setraw(self._terminal)
        os.set_blocking(self._board, False)
        self._stop, self._stopper = os.pipe()
        self._send(self._wire.power_on())
        self._thread.start()
        return os.ttyname(self._terminal)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._stopper)
        self._thread.join()
        for descriptor in (self._board, self._terminal, self._stop):
            os.close(descriptor)

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._board, self._stop], [], [], 0.01)
            if self._stop in ready:
                return
            if self._board in ready:
                self._send(self._wire.exchange(os.read(self._board, 4096), self._host_baud()))
            else:
                self._send(self._wire.due())

    def _send(self, data: bytes) -> None:
        """All of it, while the host reads; nothing more once the board is to stop."""
        while data:
            readable, writable, _ = select.select([self._stop], [self._board], [])
            if self._stop in readable:
                return
            if writable:
                data = data[os.write(self._board, data) :]

    def _host_baud(self) -> int | None:
        import termios

        speed = termios.tcgetattr(self._terminal)[5]
        names = (name for name in dir(termios) if name[0] == "B" and name[1:].isdecimal())
        return next((int(name[1:]) for name in names if getattr(termios, name) == speed), None)


class VirtualTime:
    """A clock that goes on only while a `VirtualPort` waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class VirtualPort:
    """The part of pyserial's interface that a link uses, before a wire, in virtual time: no wait takes any time."""

    def __init__(self, wire: Wire, time: VirtualTime, baud: int = 115200, timeout_s: float = 0.02) -> None:
        self._wire, self._time, self._timeout_s = wire, time, timeout_s
        self.baudrate = baud
        self._waiting = bytearray(wire.power_on())

    @property
    def in_waiting(self) -> int:
        return len(self._waiting)

    def write(self, data: bytes) -> int:
        self._time.now_s += 1e-5 * len(data)
        self._waiting += self._wire.exchange(bytes(data), self.baudrate)
        return len(data)

    def read(self, size: int) -> bytes:
        self._waiting += self._wire.due()
        if not self._waiting:
            self._time.now_s += self._timeout_s
            self._waiting += self._wire.due()
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._time.now_s += 1e-5 * len(data)
        return data

    def reset_input_buffer(self) -> None:
        self._waiting.clear()

    def close(self) -> None:
        pass
