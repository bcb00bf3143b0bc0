"""The dialogue with a board: who is there, an input onto it, timed runs, results; with retries, and an end in time.

Every step is checked by what the board itself says: the length and content of its input buffer, the iterations it ran,
its results read twice, its clock. A step that fails is repeated from the loading of the input, since a board that was
reset has lost it. What does not work out after all attempts is a `DeviceError` of one line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from rena_kws.devices.bench import Bench
from rena_kws.errors import DeviceError
from rena_kws.profilers.serial_board import protocol
from rena_kws.profilers.serial_board.link import Link
from rena_kws.profilers.serial_board.protocol import BadReply, Window

BAUDS = (115200, 921600, 9600, 460800, 230400, 57600)
"""MLPerf Tiny's for performance, then the others that are in use."""
ATTEMPTS = 3
_MOST_ITERATIONS = 1_000_000
"""Without a tick of the board's clock: no network takes less than a microsecond."""
_GROWTHS = 12
_HEARD_BYTES = 4096

T = TypeVar("T")


@dataclass(frozen=True)
class Identity:
    """What a board says of itself. `sha256` is that of its model, from firmware that tells it."""

    vendor: str
    baud: int | None
    profile: str | None = None
    test_set: str | None = None
    sha256: str | None = None


@dataclass
class Session:
    """A board on an open link. `troubles` are the reasons of attempts that had to be repeated.

    `clock_rate`: the most that the board's clock went on in a run, by what this computer waited for it. Above 1 the
    board's clock is wrong, below it nothing follows: the line takes time too.
    """

    link: Link
    bench: Bench
    identity: Identity = field(default_factory=lambda: Identity("", None))
    troubles: list[str] = field(default_factory=list)
    clock_rate: float = 0.0
    _name: str | None = None
    _loaded: bytes | None = None
    _clock_us: int = 0

    @classmethod
    def begin(cls, link: Link, bench: Bench) -> Session:
        """Find the board: its baud rate and name. Raises `DeviceError` that says what is there instead."""
        session = cls(link, bench)
        baud = session._find()
        profile, test_set = session._attempt("profile", lambda: protocol.profile(session._ask("profile")))
        sha256 = session._attempt("help", lambda: protocol.sha256(session._ask("help")))
        session.identity = Identity(session._name or "", baud, profile, test_set, sha256)
        return session

    def measure(self, data: bytes) -> list[Window]:
        """`bench.windows` windows of one input, each long enough; runs before them find out how many inferences."""
        iterations, latency_s, windows = 1, 0.0, list[Window]()
        for _ in range(_GROWTHS):
            window = self.run(data, iterations, self.bench.warm_up, latency_s)
            latency_s = window.latency_us / 1e6
            if window.elapsed_us >= 0.9e6 * self.bench.window_s and iterations >= self.bench.iterations:
                windows.append(window)
                break
            iterations = self._more(window)
        else:
            raise self._failure(f"no window of {self.bench.window_s:g} s came about in {_GROWTHS} attempts")
        while len(windows) < self.bench.windows:
            windows.append(self.run(data, iterations, self.bench.warm_up, latency_s))
        return windows

    def outputs(self, data: bytes) -> Window:
        """One inference for its results. Each input has the bench's `limit_s` for itself."""
        self.link.deadline = self.link.clock() + self.bench.limit_s
        return self.run(data, 1, 0)

    def run(self, data: bytes, iterations: int, warm_up: int, latency_s: float = 0.0) -> Window:
        """One window. `latency_s`: what an inference takes, as far as that is known."""
        expected_s = max(self.bench.window_s, latency_s * (iterations + warm_up))
        silence_s = self.bench.infer_s + 3 * expected_s
        return self._attempt(f"infer {iterations} {warm_up}", lambda: self._run(data, iterations, warm_up, silence_s))

    def _run(self, data: bytes, iterations: int, warm_up: int, silence_s: float) -> Window:
        if self._loaded != data:
            self._load(data)
        start_s = self.link.clock()
        window = protocol.window(self._ask(f"infer {iterations} {warm_up}", silence_s), iterations, warm_up)
        waited_s = self.link.clock() - start_s
        if protocol.results(self._ask("results")) != window.results:
            raise BadReply("its results changed on the way")
        if not self._clock_us <= window.start_us <= window.end_us:
            self._clock_us = 0
            raise BadReply("its clock went backwards, as after a restart")
        self._clock_us = window.end_us
        self._compare_clocks(window, waited_s)
        return window

    def _compare_clocks(self, window: Window, waited_s: float) -> None:
        self.clock_rate = max(self.clock_rate, window.elapsed_us / 1e6 / waited_s if waited_s else 0.0)
        if window.elapsed_us == 0 and (waited_s > 2 * self.bench.window_s or window.iterations >= _MOST_ITERATIONS):
            raise self._failure(
                f"its clock stands still: {window.iterations} inferences took 0 µs by it, and {waited_s:.1f} s here"
            )

    def _load(self, data: bytes) -> None:
        commands = protocol.data_commands(data)
        for command in commands:
            protocol.check_load(command, self._ask(command), last=command is commands[-1])
        held = protocol.buffer(self._ask("db print"))
        if held is not None and held != data:
            raise BadReply("its input buffer holds other bytes than were sent")
        self._loaded = data

    def _more(self, window: Window) -> int:
        """The next number of iterations, after a window that was too short."""
        wanted_us = 1.05e6 * self.bench.window_s
        enough = math.ceil(wanted_us / window.latency_us) if window.elapsed_us else 100 * window.iterations
        return max(self.bench.iterations, min(enough, 1000 * window.iterations), window.iterations + 1)

    def _ask(self, command: str, silence_s: float | None = None) -> list[str]:
        lines = self.link.exchange(command, self.bench.reply_s if silence_s is None else silence_s)
        if protocol.restarted(lines):
            raise BadReply("it restarted: a crash, a watchdog or a weak supply")
        return lines

    def _attempt(self, what: str, step: Callable[[], T]) -> T:
        """The step's result, repeated after trouble. Raises `DeviceError` when nothing helps or the time is up."""
        reasons: list[str] = []
        while len(reasons) < ATTEMPTS:
            self._check_time(what, reasons)
            try:
                return step()
            except BadReply as trouble:
                reasons.append(str(trouble))
                self.troubles.append(f"{what}: {trouble}")
            self._loaded = None
            self._resynchronise(what, reasons[-1])
        raise self._failure(f"{reasons[-1]} ({what!r}, {ATTEMPTS} attempts)")

    def _check_time(self, what: str, reasons: list[str]) -> None:
        if self.link.clock() >= self.link.deadline:
            last = f"; the last trouble: {reasons[-1]}" if reasons else ""
            raise self._failure(f"not done after limit_s = {self.bench.limit_s:g} s, at {what!r}{last}")

    def _resynchronise(self, what: str, reason: str) -> None:
        """Until the board answers its name again and nothing else; a restarted one takes its time."""
        until = self.link.clock() + self.bench.boot_s
        while True:
            self.link.drain(self.bench.quiet_s)
            with_name = self._try_name(self.bench.reply_s)
            if with_name is not None and self._name_is(with_name):
                self.link.drain(self.bench.quiet_s)
                return
            if self.link.clock() >= min(until, self.link.deadline):
                raise self._failure(f"it stopped answering at {what!r}: {reason}")

    def _find(self) -> int | None:
        """The baud rate at which a board answers; the first round may meet one that still boots."""
        bauds = (self.bench.baud,) if self.bench.baud else BAUDS
        known: list[int | None] = list(bauds) if self.link.has_baud else [None]
        heard: dict[int | None, bytes] = {}
        until = self.link.clock() + self.bench.boot_s
        while True:
            for baud in known:
                if self._answers_at(baud, heard):
                    return baud
            if self.link.clock() >= min(until, self.link.deadline):
                raise self._failure(_what_is_there(heard))

    def _answers_at(self, baud: int | None, heard: dict[int | None, bytes]) -> bool:
        """Whether a board under test answers. Adds what came to `heard`."""
        if baud is not None and not self.link.set_baud(baud):
            return False
        self.link.flush()
        for _ in range(2):  # the first may only end what an earlier program left in the board's buffer
            lines = self._try_name(self.bench.knock_s)
            heard[baud] = (heard.get(baud, b"") + bytes(self.link.received))[:_HEARD_BYTES]
            if lines is not None and self._name_is(lines):
                self.link.drain(self.bench.quiet_s)
                return True
        return False

    def _try_name(self, silence_s: float) -> list[str] | None:
        try:
            return self.link.exchange("name", silence_s)
        except BadReply:
            return None

    def _name_is(self, lines: list[str]) -> bool:
        """Whether the lines name a device under test, the same as before if there was one."""
        found = protocol.name(lines)
        if found is None:
            return False
        kind, vendor = found
        if kind != "dut" or self._name not in (None, vendor):
            return False
        self._name = vendor
        return True

    def _failure(self, reason: str) -> DeviceError:
        return DeviceError(f"the board on {self.link.port}: {' '.join(reason.split())}")


def _what_is_there(heard: Mapping[int | None, bytes]) -> str:
    """Words for what came at each baud rate where no board under test answered."""
    rates = ", ".join(str(baud) for baud in heard if baud is not None)
    at = f" at {rates} baud" if rates else ""
    if not any(heard.values()):
        return (
            f"silent{at}: is it powered, flashed with the harness, are TX and RX the right way round, "
            "or is it still busy with an earlier inference?"
        )
    baud, came = max(heard.items(), key=lambda item: (_readable_share(item[1]), len(item[1])))
    lines = [line.strip() for line in came.decode("ascii", "replace").split("\n") if line.strip()]
    if not came.replace(b"name%", b"").strip():
        return "it only repeats what is sent: TX and RX are connected to each other"
    if _readable_share(came) > 0.9:
        where = f" at {baud} baud" if baud is not None else ""
        named = protocol.name([line for line in lines if line.isascii()])
        if named and named[0] == "dut":
            return f"it answers as [{named[1]}]{where}, but too slowly or not to the end: try a longer knock_s"
        if named:
            return f"it is no device under test{where} but calls itself {named[0]!r} [{named[1]}]"
        return f"it answers as something else{where}: {lines[0][:60]!r} where 'm-name-dut-[...]' is expected"
    return f"it answers nonsense{at} ({came[:8].hex(' ')} ...): another baud rate (?baud=), or noise on the line"


def _readable_share(data: bytes) -> float:
    readable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data)
    return readable / len(data) if data else 0.0
