"""The dialogue over a virtual port: the real harness, faults, other devices; no wait takes any time."""

from __future__ import annotations

import functools
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from flatbuffer_models import small_conv_model

from rena_kws.convert.evaluate_int8 import dequantise
from rena_kws.devices.bench import Bench
from rena_kws.errors import DeviceError
from rena_kws.firmware.emit import generate
from rena_kws.profilers.serial_board.link import Link
from rena_kws.profilers.serial_board.protocol import Window
from rena_kws.profilers.serial_board.reference import reference_of
from rena_kws.profilers.serial_board.session import ATTEMPTS, BAUDS, Session
from rena_kws.testing.board_faults import FAULTLESS, Faults, Wire
from rena_kws.testing.board_on_pty import BoardOnPty, VirtualPort, VirtualTime
from rena_kws.testing.host_board import BoardFirmware, HostBoard
from rena_kws.testing.public_firmware import PublicFirmware

TICK_US = 1000
BENCH = Bench("virtual", window_s=TICK_US / 1e6, iterations=10)
INPUT = np.random.default_rng(5).integers(-128, 128, 48, dtype=np.int8).tobytes()


@pytest.fixture(scope="module")
def board() -> HostBoard:
    """Its clock goes on by `TICK_US` whenever it is read, so that every window takes just that."""
    ticks = iter(range(0, 1 << 62, TICK_US))
    return HostBoard(small_conv_model(), lambda: next(ticks))


@pytest.fixture(scope="module", params=["harness", "public firmware"])
def firmware(request: pytest.FixtureRequest, board: HostBoard) -> BoardFirmware:
    """Our harness, and a firmware with the ways of the public one; both compute the same."""
    if request.param == "harness":
        return board
    ticks = iter(range(0, 1 << 62, TICK_US))
    return PublicFirmware(len(INPUT), computed, lambda: next(ticks))


@functools.cache
def computed(data: bytes) -> tuple[float, ...]:
    """What the model computes on this computer."""
    model = small_conv_model()
    port = generate(model).outputs[0]
    outputs = reference_of(model, np.frombuffer(data, np.int8).reshape(1, 8, 6, 1)).outputs
    return tuple(float(f"{value:.3f}") for value in dequantise(outputs, port.scale, port.zero_point).ravel())


@pytest.fixture(scope="module")
def expected() -> tuple[float, ...]:
    return computed(INPUT)


def hold(
    firmware: BoardFirmware, faults: Faults = FAULTLESS, baud: int | None = None, bench: Bench = BENCH
) -> tuple[Session, list[Window]]:
    """A whole session, with the link's end checked: never later than the bench allows."""
    clock = VirtualTime()
    wire = Wire(firmware, faults, baud, clock)
    link = Link("virtual", VirtualPort(wire, clock), bench.limit_s, clock)
    try:
        session = Session.begin(link, bench)
        return session, session.measure(INPUT)
    finally:
        assert clock.now_s < bench.limit_s + 2 * bench.infer_s


def test_a_session_without_faults(board: HostBoard) -> None:
    session, windows = hold(board)
    assert session.identity.vendor == "rena-kws" and session.identity.baud == 115200
    assert session.identity.test_set == "kws01"
    assert session.identity.sha256 == small_conv_model().sha256
    assert [window.latency_us for window in windows] == [TICK_US / 10] * BENCH.windows
    assert not session.troubles and not session.link.echoes


@pytest.mark.parametrize("baud", BAUDS)
def test_the_boards_rate_is_found(baud: int, firmware: BoardFirmware, expected: tuple[float, ...]) -> None:
    session, windows = hold(firmware, baud=baud)
    assert session.identity.baud == baud
    assert windows[0].results == expected


def test_a_board_that_echoes(firmware: BoardFirmware, expected: tuple[float, ...]) -> None:
    session, windows = hold(firmware, Faults(echo=True))
    assert session.link.echoes and windows[0].results == expected and not session.troubles


TRANSIENT = {
    "stale bytes": Faults(stale=b"\xff\0m-results-[1.000]\r\nm-ready\r\nhalf a li"),
    "lost to the board": Faults(lost_to_board=frozenset([150])),
    "lost to the host": Faults(lost_to_host=frozenset([900])),
    "noise to the board": Faults(noise_to_board={150: b"\xff" * 20}),
    "noise to the host": Faults(noise_to_host={900: b"\xff" * 20}),
    "half a line": Faults(cut=frozenset([900])),
    "a reset": Faults(resets=frozenset([900]), boot_s=2.0),
    "a board that boots": Faults(boot_s=0.0, resets=frozenset([5]), stale=b"boot"),
}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_passing_fault_is_lived_with(fault: str, firmware: BoardFirmware, expected: tuple[float, ...]) -> None:
    _, windows = hold(firmware, TRANSIENT[fault])
    assert [window.results for window in windows] == [expected] * BENCH.windows
    assert sorted(window.latency_us for window in windows)[1] == TICK_US / 10


def test_every_single_lost_byte_is_lived_with(firmware: BoardFirmware, expected: tuple[float, ...]) -> None:
    """Wherever it is lost: neither the results nor the latency are another."""
    for position in range(0, 1500, 7):
        for faults in (Faults(lost_to_host=frozenset([position])), Faults(lost_to_board=frozenset([position]))):
            _, windows = hold(firmware, faults)
            assert [window.results for window in windows] == [expected] * BENCH.windows, position
            assert sorted(window.latency_us for window in windows)[1] == TICK_US / 10, position


class BusyPort(VirtualPort):
    """The board is still busy with what an earlier program asked for: its first replies come late, one by one."""

    def __init__(self, wire: Wire, time: VirtualTime) -> None:
        super().__init__(wire, time)
        self.late: list[tuple[float, bytes]] = []
        self.busy = 3

    def write(self, data: bytes) -> int:
        before = self.in_waiting
        written = super().write(data)
        if self.busy > 0:
            self.busy -= 1
            self.late.append((self._time.now_s + 0.5, bytes(self._waiting[before:])))
            del self._waiting[before:]
        return written

    def read(self, size: int) -> bytes:
        while self.late and self.late[0][0] <= self._time.now_s:
            self._waiting += self.late.pop(0)[1]
        return super().read(size)


def test_late_replies_are_told_from_those_that_were_asked_for(
    firmware: BoardFirmware, expected: tuple[float, ...]
) -> None:
    clock = VirtualTime()
    link = Link("virtual", BusyPort(Wire(firmware, clock=clock), clock), BENCH.limit_s, clock)
    session = Session.begin(link, BENCH)
    assert session.identity.test_set == "kws01"
    assert (session.identity.sha256 is None) == isinstance(firmware, PublicFirmware)
    assert session.measure(INPUT)[0].results == expected


class SlowPort(VirtualPort):
    """Before a board that takes `INFERENCE_S` for an inference, and answers when it is done."""

    INFERENCE_S = 5

    def __init__(self, time: VirtualTime) -> None:
        self._done_at_s, self._now_us, self._window_us = 0.0, 0, 0
        super().__init__(Wire(PublicFirmware(len(INPUT), computed, self._clock_us), clock=time), time)

    def _clock_us(self) -> int:
        self._now_us += self._window_us
        return self._now_us

    def write(self, data: bytes) -> int:
        iterations, warm_up = map(int, data[:-1].split()[1:]) if data.startswith(b"infer ") else (0, 0)
        self._window_us = 1_000_000 * self.INFERENCE_S * iterations
        written = super().write(data)
        self._done_at_s = max(self._done_at_s, self._time.now_s) + self.INFERENCE_S * (iterations + warm_up)
        return written

    def read(self, size: int) -> bytes:
        if self._time.now_s < self._done_at_s:
            self._time.now_s += self._timeout_s
            return b""
        return super().read(size)


def test_a_board_that_takes_seconds_for_an_inference_is_waited_for() -> None:
    """What ten inferences take is known after the first: more than an inference of unknown duration may."""
    clock, bench = VirtualTime(), Bench("virtual")
    link = Link("virtual", SlowPort(clock), bench.limit_s, clock)
    session = Session.begin(link, bench)
    windows = session.measure(INPUT)
    assert [(window.iterations, window.latency_us) for window in windows] == [(10, 5e6)] * bench.windows
    assert not session.troubles


def every(step: int) -> frozenset[int]:
    return frozenset(range(0, 1_000_000, step))


class Script:
    """A device that answers what a function says."""

    def __init__(self, answer: Callable[[bytes], bytes], greeting: bytes = b"") -> None:
        self.answer, self.greeting = answer, greeting

    def start(self) -> bytes:
        return self.greeting

    def receive(self, data: bytes) -> bytes:
        return self.answer(data)


LASTING: dict[str, tuple[Faults, str]] = {
    "silence": (Faults(silent_from=0), "silent at 115200, 921600"),
    "silence in the middle": (Faults(silent_from=150), "stopped answering at 'infer 1 1': no answer for 30"),
    "resets": (Faults(resets=every(400), boot_s=1.0), "it restarted: a crash, a watchdog or a weak supply"),
    "half lines": (Faults(cut=every(400)), "attempts"),
    "lost bytes": (Faults(lost_to_host=every(40)), "stopped answering|attempts|something else"),
    "noise": (Faults(noise_to_host={at: b"\xff" for at in range(0, 100_000, 10)}), "nonsense|something else"),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_lasting_fault_has_a_message(fault: str, firmware: BoardFirmware) -> None:
    faults, message = LASTING[fault]
    with pytest.raises(DeviceError, match=message) as caught:
        hold(firmware, faults)
    assert "\n" not in str(caught.value) and "virtual" in str(caught.value)


OTHERS: dict[str, tuple[Script, str]] = {
    "a shell": (
        Script(lambda data: b"sh: " + data + b": not found\r\n# "),
        "something else at 115200 baud: 'sh: name%",
    ),
    "a loop": (Script(lambda data: data), "only repeats what is sent"),
    "noise": (Script(lambda data: b"\xff\xfe\x80\x01" * 4), r"nonsense at 115200, .*\(ff fe 80 01"),
    "a board that never ends": (Script(lambda data: b"m-name-dut-[x]\r\n"), r"answers as \[x\].*not to the end"),
    "an interface board": (Script(lambda data: b"m-name-io-[x]\r\nm-ready\r\n"), r"calls itself 'io' \[x\]"),
    "a flood": (Script(lambda data: b"log line\r\n" * 10_000), "something else"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_device_is_told_apart(other: str) -> None:
    script, message = OTHERS[other]
    with pytest.raises(DeviceError, match=message):
        hold(script)


def test_a_board_in_energy_mode(board: HostBoard) -> None:
    def without_laps(data: bytes) -> bytes:
        return b"".join(line for line in board.receive(data).splitlines(True) if b"lap" not in line)

    with pytest.raises(DeviceError, match="energy mode"):
        hold(Script(without_laps, board.start()))


def test_a_clock_that_stands_still() -> None:
    with pytest.raises(DeviceError, match="its clock stands still: 1000000 inferences took 0 µs by it"):
        hold(HostBoard(small_conv_model(), lambda: 7), bench=Bench("virtual", warm_up=0))


def test_a_firmware_without_print_and_sha(board: HostBoard, expected: tuple[float, ...]) -> None:
    """An older firmware: no `db print`, no help."""

    def older(data: bytes) -> bytes:
        return b"e-[Unknown command: x]\r\nm-ready\r\n" if data in (b"db print%", b"help%") else board.receive(data)

    session, windows = hold(Script(older, board.start()))
    assert session.identity.sha256 is None and windows[0].results == expected


def test_a_board_whose_buffer_is_faulty(board: HostBoard) -> None:
    def faulty(data: bytes) -> bytes:
        return board.receive(data).replace(b"m-buffer-", b"m-buffer-00-", 1)

    with pytest.raises(DeviceError, match=f"other bytes than were sent .*{ATTEMPTS} attempts"):
        hold(Script(faulty, board.start()))


def random_faults(rng: random.Random) -> tuple[Faults, bool]:
    """Faults of every kind, one to three at once, and whether they pass."""
    lasting = rng.random() < 0.3
    position = [rng.randrange(4000) for _ in range(6)]
    faults: dict[str, object] = {"echo": rng.random() < 0.2, "boot_s": rng.choice([0.0, 0.5, 2.0])}
    if rng.random() < 0.5:
        faults["stale"] = rng.randbytes(rng.randrange(200))
    passing: list[dict[str, object]] = [
        {"lost_to_board": frozenset(position[:1])},
        {"lost_to_host": frozenset(position[1:2])},
        {"noise_to_board": {position[2]: b"\xff" * rng.randrange(1, 100)}},
        {"noise_to_host": {position[3]: b"\xff" * rng.randrange(1, 100)}},
        {"cut": frozenset(position[4:5])},
        {"resets": frozenset(position[5:])},
    ]
    for fault in rng.sample(passing, rng.randrange(3)):
        faults |= fault
    if lasting:
        faults |= rng.choice([{"silent_from": rng.randrange(600)}, {"resets": every(300)}, {"cut": every(300)}])
    return Faults(**faults), not lasting  # type: ignore[arg-type]


def test_a_thousand_sessions_end_in_a_right_result_or_a_right_message(
    firmware: BoardFirmware, expected: tuple[float, ...]
) -> None:
    ended = {"result": 0, "message": 0}
    for seed in range(1000):
        rng = random.Random(seed)
        faults, passes = random_faults(rng)
        try:
            session, windows = hold(firmware, faults, rng.choice([None, *BAUDS]))
        except DeviceError as error:
            assert not passes, f"seed {seed}: {error}"
            assert str(error).startswith("the board on virtual: ") and "\n" not in str(error)
            ended["message"] += 1
        else:
            ended["result"] += 1
            assert session.identity.sha256 in (None, small_conv_model().sha256), seed
            assert [window.results for window in windows] == [expected] * BENCH.windows, seed
            assert sorted(window.latency_us for window in windows)[1] == TICK_US / 10, seed
    assert ended["result"] > 600 and ended["message"] > 100, ended


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_sessions_over_a_real_terminal_end_too(firmware: BoardFirmware, expected: tuple[float, ...]) -> None:
    """The same with pyserial, a pty and real time. A machine that is busy may make a board look slow, never wrong."""
    for seed in range(60):
        rng = random.Random(seed)
        faults = replace(random_faults(rng)[0], boot_s=0.1)
        baud = rng.choice([None, *BAUDS])
        with BoardOnPty(Wire(firmware, faults, baud)) as port:
            bench = replace(BENCH, port=port, reply_s=0.3, infer_s=0.3, boot_s=0.5, knock_s=0.1, quiet_s=0.03)
            with Link.open(port, BAUDS[0], time.monotonic() + 30) as link:
                try:
                    windows = Session.begin(link, bench).measure(INPUT)
                except DeviceError as error:
                    assert "\n" not in str(error) and port in str(error), seed
                else:
                    assert [window.results for window in windows] == [expected] * bench.windows, seed
