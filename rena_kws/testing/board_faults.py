"""What goes wrong on real benches, between a board's firmware and whoever talks to it, on demand.

Positions count bytes since the board was switched on. The wire knows no port: a pty or a virtual port stands before it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rena_kws.testing.host_board import BoardFirmware


@dataclass(frozen=True)
class Faults:
    """`stale` waits in the port before anyone opens it. `echo`: what the board gets, it sends back.

    `lost_to_board`, `lost_to_host`: single bytes that do not arrive. `noise_to_board`, `noise_to_host`: bytes that
    arrive before that position. `cut`: from this byte to the host on, the rest of that reply is lost. `resets`: before
    it sends this byte the board restarts, which takes `boot_s`. `silent_from`: after so many bytes it answers no more.
    """

    echo: bool = False
    stale: bytes = b""
    lost_to_board: frozenset[int] = frozenset()
    lost_to_host: frozenset[int] = frozenset()
    noise_to_board: Mapping[int, bytes] = field(default_factory=dict)
    noise_to_host: Mapping[int, bytes] = field(default_factory=dict)
    cut: frozenset[int] = frozenset()
    resets: frozenset[int] = frozenset()
    boot_s: float = 0.0
    silent_from: int | None = None


FAULTLESS = Faults()


class Wire:
    """A firmware behind a faulty line at `baud`; None: any rate will do, as over USB."""

    def __init__(
        self,
        firmware: BoardFirmware,
        faults: Faults = FAULTLESS,
        baud: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._firmware, self._faults, self._baud, self._clock = firmware, faults, baud, clock
        self._garble = random.Random(0)
        self._to_board, self._to_host = 0, 0
        self._up_at: float | None = clock()

    def power_on(self) -> bytes:
        """What lies in the port before the host's first byte."""
        return self._faults.stale + self.due()

    def due(self) -> bytes:
        """What the board sends of itself by now: its announcement, once it is up."""
        if self._up_at is None or self._clock() < self._up_at:
            return b""
        self._up_at = None
        return self._to_host_side(self._firmware.start())

    def exchange(self, data: bytes, host_baud: int | None = None) -> bytes:
        """Bytes from the host, sent at `host_baud` → bytes to the host."""
        wrong_rate = None not in (self._baud, host_baud) and self._baud != host_baud
        answer = self.due()
        heard = self._garbled(data) if wrong_rate else data
        if self._faults.echo:
            answer += heard
        if self._up_at is None:  # a board that boots hears nothing
            answer += self._answer(self._to_board_side(heard))
        return self._garbled(answer) if wrong_rate else answer

    def _answer(self, data: bytes) -> bytes:
        """The reply as it arrives: silent, cut or ended by a reset."""
        reply = self._firmware.receive(data)
        if self._faults.silent_from is not None and self._to_board >= self._faults.silent_from:
            return b""
        sent = range(self._to_host, self._to_host + len(reply))
        if resets := sorted(self._faults.resets.intersection(sent)):
            self._up_at = self._clock() + self._faults.boot_s
            kept = self._to_host_side(reply[: resets[0] - self._to_host])
            self._to_host = max(self._to_host, resets[0] + 1)  # a reset happens once
            return kept + self.due()
        return self._to_host_side(reply)

    def _to_board_side(self, data: bytes) -> bytes:
        carried = _carry(data, self._to_board, self._faults.lost_to_board, self._faults.noise_to_board)
        self._to_board += len(data)
        return carried

    def _to_host_side(self, data: bytes) -> bytes:
        start = self._to_host
        self._to_host += len(data)
        cuts = [at for at in self._faults.cut if start <= at < start + len(data)]
        whole = data[: min(cuts) - start] if cuts else data
        return _carry(whole, start, self._faults.lost_to_host, self._faults.noise_to_host)

    def _garbled(self, data: bytes) -> bytes:
        """At another rate the bits are sampled in the wrong places: other bytes, and another number of them."""
        return self._garble.randbytes(max(1, len(data) * 3 // 4)) if data else b""


def _carry(data: bytes, start: int, lost: frozenset[int], noise: Mapping[int, bytes]) -> bytes:
    carried = bytearray()
    for position, byte in enumerate(data, start):
        carried += noise.get(position, b"")
        if position not in lost:
            carried.append(byte)
    return bytes(carried)
