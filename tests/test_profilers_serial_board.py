"""A board on a real pseudo-terminal: MLPerf Tiny's runner drives it, our profiler measures on it.

The board is the harness that `export --harness` writes, with a real network, compiled for this computer.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import serial
from flatbuffer_models import ModelBuilder, small_conv_model
from serial.rfc2217 import PortManager

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.devices import catalogue
from rena_kws.errors import DeviceError, UnavailableError
from rena_kws.files import locked
from rena_kws.profilers.base import profiler_for
from rena_kws.profilers.cortex_m.emulated_board import EmulatedBoard
from rena_kws.testing.board_faults import Faults, Wire
from rena_kws.testing.board_on_pty import BoardOnPty
from rena_kws.testing.host_board import HostBoard, real_clock_us

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")

QUICK = "window_s=0.002&iterations=2&boot_s=1&knock_s=0.2&quiet_s=0.05"
INPUTS = np.random.default_rng(5).integers(-128, 128, (3, 8, 6, 1), dtype=np.int8)


@pytest.fixture(scope="module")
def model() -> ConvertedModel:
    return small_conv_model()


@pytest.fixture(scope="module")
def firmware(model: ConvertedModel) -> HostBoard:
    return HostBoard(model)


class PublicRunner:
    """The way in which MLPerf Tiny's runner talks: as serial_protocol.md tells it."""

    def __init__(self, port: str, baud: int) -> None:
        self.port = serial.Serial(port, baud, timeout=0.1)
        self.port.reset_input_buffer()

    def command(self, text: str) -> list[str]:
        """Lines, read a character at a time and strictly as UTF-8, up to the one that holds m-ready."""
        self.port.write(text.encode() + b"%")
        lines, line, until = [], "", time.monotonic() + 5.0
        while time.monotonic() < until:
            character = self.port.read(1).decode()
            if character == "\n":
                lines.append(line)
                if "m-ready" in line:
                    return lines
                line = ""
            elif character not in "\r\0":
                line += character
        raise AssertionError(f"no end of the reply to {text}: {lines} {line!r}")

    def load(self, data: bytes) -> list[str]:
        result = self.command(f"db load {len(data)}")
        for at in range(0, len(data), 31):
            result = self.command("db " + "".join(f"{byte:02x}" for byte in data[at : at + 31]))
        return result


def only(pattern: str, lines: list[str]) -> str:
    (found,) = (match[1] for line in lines if (match := re.match(pattern, line)))
    return found


@pytest.fixture(scope="module")
def emulated(model: ConvertedModel) -> Iterator[EmulatedBoard]:
    board = EmulatedBoard(model, catalogue.get("nucleo-l4r5zi"))
    yield board
    board.close()


@pytest.mark.parametrize("baud", [9600, 115200, 921600])
@pytest.mark.parametrize("which", ["on this computer", "emulated"])
def test_the_public_runner_can_drive_it(
    which: str, baud: int, firmware: HostBoard, emulated: EmulatedBoard, model: ConvertedModel
) -> None:
    outputs = api.profile(model, "cortex-m4", INPUTS).outputs
    board, name = (emulated, "emulated nucleo-l4r5zi") if which == "emulated" else (firmware, "rena-kws")
    with BoardOnPty(Wire(board, Faults(stale=b"m-rea"), baud)) as port:
        runner = PublicRunner(port, baud)
        with runner.port:
            assert only(r"^m-name-dut-\[([^]]+)]$", runner.command("name")) == name
            profile = runner.command("profile")
            assert only(r"^m-profile-\[([^]]+)]$", profile) == "ULPMark for tinyML Firmware V0.0.1"
            assert only(r"^m-model-\[([^]]+)]$", profile) == "kws01"
            assert re.match(r"^m-lap-us-([0-9]+)$", runner.command("timestamp")[0])
            for sample, output in zip(INPUTS, outputs, strict=True):
                assert runner.load(sample.tobytes())[0] == "m-load-done"
                lines = runner.command("infer 20 2")
                laps = [int(m[1]) for line in lines if (m := re.match(r"^m-lap-us-([0-9]+)$", line))]
                assert len(laps) == 2 and laps[1] > laps[0]
                results = [float(x) for x in only(r"^m-results-\[([^]]+)\]$", lines).split(",") if x.strip()]
                assert np.argmax(results) == np.argmax(output)
                np.testing.assert_allclose(results, (output.astype(float) + 128) / 256, atol=0.0005)


def test_a_board_is_measured(firmware: HostBoard, model: ConvertedModel) -> None:
    with BoardOnPty(Wire(firmware)) as port:
        measurement = api.profile(model, f"serial:{port}?{QUICK}&windows=5&board=nucleo-l4r5zi", INPUTS)
    np.testing.assert_array_equal(measurement.outputs, api.profile(model, "cortex-m4", INPUTS).outputs)
    assert measurement.how == "measured" and len(measurement.samples_ms) == 5
    assert measurement.latency_ms == sorted(measurement.samples_ms)[2]
    notes = measurement.environment
    assert notes["outputs"].startswith("all 15 as the same C on this computer") and notes["board"] == "rena-kws"
    assert (notes["baud"], notes["device"]) == ("115200", "nucleo-l4r5zi")


FAULTS = {
    "echo and stale bytes": Faults(echo=True, stale=b"\xffm-ready\r\nm-resu"),
    "a byte lost each way": Faults(lost_to_board=frozenset([60]), lost_to_host=frozenset([1200])),
    "half a line": Faults(cut=frozenset([1300])),
    "a reset and noise": Faults(resets=frozenset([1300]), boot_s=0.3, noise_to_host={1000: b"\xff" * 9}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_on_a_real_terminal_are_lived_with(fault: str, firmware: HostBoard, model: ConvertedModel) -> None:
    with BoardOnPty(Wire(firmware, FAULTS[fault], 115200)) as port:
        measurement = api.profile(model, f"serial:{port}?{QUICK}&reply_s=1&infer_s=1", INPUTS)
    assert measurement.environment["outputs"].startswith("all 15 as")
    assert ("echo" in measurement.environment) == ("echo" in fault)
    assert ("troubles" in measurement.environment) == ("echo" not in fault)


def test_outputs_that_differ_are_told(firmware: HostBoard, model: ConvertedModel) -> None:
    class Wrong:
        start = firmware.start

        def receive(self, data: bytes) -> bytes:
            return re.sub(rb"m-results-\[[0-9.]+", b"m-results-[0.500", firmware.receive(data))

    with BoardOnPty(Wire(Wrong())) as port:
        measurement = api.profile(model, f"serial:{port}?{QUICK}", INPUTS)
    reference = api.profile(model, "cortex-m4", INPUTS).outputs
    furthest = np.abs((reference[:, 0].astype(float) + 128) / 256 - 0.5).max()
    differ = (
        f"3 of 15 differ from the same C on this computer, by at most {furthest:.3f} (a step of the output is 0.0039"
    )
    assert measurement.environment["outputs"].startswith(differ)


def test_a_clock_that_is_too_fast_is_told(model: ConvertedModel) -> None:
    """A wrong prescaler, on a real board: then its latency is as wrong."""
    with BoardOnPty(Wire(HostBoard(model, lambda: 20 * real_clock_us()))) as port:
        notes = api.profile(model, f"serial:{port}?{QUICK}&window_s=2&windows=1").environment
    assert "times as fast as this computer's" in notes["clock"]


def test_an_emulated_board_is_no_measurement(firmware: HostBoard, model: ConvertedModel) -> None:
    """It says so in its name, and its clock may be as fast as it likes."""

    class Emulated:
        start = firmware.start

        def receive(self, data: bytes) -> bytes:
            return firmware.receive(data).replace(b"[rena-kws]", b"[emulated cortex-m4]")

    with BoardOnPty(Wire(Emulated())) as port:
        measurement = api.profile(model, f"serial:{port}?{QUICK}")
    assert measurement.how == "emulated" and measurement.environment["board"] == "emulated cortex-m4"


def test_a_fine_output_is_compared_by_its_decimals() -> None:
    """Where a thousandth is many steps of the output, printed results cannot tell neighbours apart."""
    builder = ModelBuilder()
    x, y = builder.tensor((1, 16), scale=1e-5), builder.tensor((1, 16), scale=1e-5)
    builder.op("RELU", [x], [y])
    fine = ConvertedModel("tflite", builder.build([x], [y]))
    inputs = np.random.default_rng(0).integers(-128, 128, (2, 16), dtype=np.int8)
    with BoardOnPty(Wire(HostBoard(fine))) as port:
        notes = api.profile(fine, f"serial:{port}?{QUICK}", inputs).environment
    assert notes["outputs"].startswith("all 32 as the same C")


def test_another_model_on_the_board_is_refused(firmware: HostBoard) -> None:
    other = ConvertedModel("tflite", small_conv_model().data + b"\0", "other")
    with (
        BoardOnPty(Wire(firmware)) as port,
        pytest.raises(DeviceError, match=r"runs another model than other .* wanted .* --harness"),
    ):
        api.profile(other, f"serial:{port}?{QUICK}")


def test_a_port_in_use_is_told(firmware: HostBoard, model: ConvertedModel) -> None:
    with (
        BoardOnPty(Wire(firmware)) as port,
        serial.Serial(port, exclusive=True),
        pytest.raises(DeviceError, match=f"serial port {port} is in use by another program: close it there"),
    ):
        api.profile(model, f"serial:{port}")


def test_processes_of_ours_wait_for_each_other(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "lock", 10, "the board"):
            order.append("second")

    with locked(tmp_path / "lock", 10, "the board"):
        thread = threading.Thread(target=second)
        thread.start()
        with (
            pytest.raises(UnavailableError, match="the board is in use by another process"),
            locked(tmp_path / "lock", 0, "the board"),
        ):
            pass
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_board_that_is_unplugged_is_told(firmware: HostBoard, model: ConvertedModel) -> None:
    board = BoardOnPty(Wire(firmware, Faults(silent_from=100)))
    port = board.__enter__()
    timer = threading.Timer(1.0, board.__exit__, (None, None, None))
    timer.start()
    with pytest.raises(DeviceError, match="went away in the middle"):
        api.profile(model, f"serial:{port}?{QUICK}&infer_s=3&reply_s=3")
    timer.join()


def test_ports_that_cannot_be_opened(model: ConvertedModel) -> None:
    for port, message in {
        "/dev/nothing-here": "does not exist; ports here: ",
        "socket://127.0.0.1:1": "cannot be opened",
        "nonsense://x": "cannot be opened: invalid URL",
    }.items():
        with pytest.raises(DeviceError, match=f"serial port {port} {message}") as caught:
            api.profile(model, f"serial:{port}")
        assert "\n" not in str(caught.value)


@pytest.fixture
def tcp_board(firmware: HostBoard) -> Iterator[str]:
    """The board behind a TCP port, as a terminal server or an emulator offers it."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30)
    wire = Wire(firmware)

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(wire.power_on())
            while data := connection.recv(4096):
                connection.sendall(wire.exchange(data))

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    thread.join()
    server.close()


def test_a_board_behind_a_socket(tcp_board: str, model: ConvertedModel) -> None:
    measurement = api.profile(model, f"serial:{tcp_board}?{QUICK}", INPUTS[:1])
    assert measurement.environment["baud"] == "none" and measurement.latency_ms > 0


class Terminal(serial.Serial):
    """A pty as a local port: it lacks the modem's lines, which RFC 2217 reports and sets."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None:
        pass

    _update_rts_state = _update_dtr_state


@pytest.fixture
def remote_port(firmware: HostBoard) -> Iterator[str]:
    """The board's terminal behind a server that speaks RFC 2217: the rate is set over the network."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30)
    stop = threading.Event()

    def serve(port: str) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("wb", buffering=0) as back, Terminal(port, timeout=0) as local:
            manager = PortManager(local, back)
            connection.settimeout(0.005)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    local.write(b"".join(manager.filter(connection.recv(4096))))
                back.write(b"".join(manager.escape(local.read(4096))))

    with BoardOnPty(Wire(firmware, baud=921600)) as port:
        thread = threading.Thread(target=serve, args=(port,))
        thread.start()
        yield f"rfc2217://127.0.0.1:{server.getsockname()[1]}"
        stop.set()
        thread.join()
    server.close()


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # in pyserial 3.5 itself
def test_a_board_behind_rfc2217(remote_port: str, model: ConvertedModel) -> None:
    measurement = api.profile(model, f"serial:{remote_port}?{QUICK}", INPUTS[:1])
    assert measurement.environment["baud"] == "921600"
    assert measurement.environment["outputs"].startswith("all 5 as")


def test_without_pyserial_it_says_what_to_install(model: ConvertedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pip install pyserial"):
        api.profile(model, "serial:COM3")


def test_there_is_a_profiler_for_it() -> None:
    device = catalogue.get("serial:COM3?board=nucleo-l4r5zi")
    assert type(profiler_for(device)).__name__ == "SerialBoardProfiler"
    assert (device.kind, device.clock_hz) == ("serial", 120_000_000)


def test_the_help_is_true(firmware: HostBoard) -> None:
    """Every command that the help names is one."""
    firmware.start()
    lines = firmware.receive(b"help%").decode().splitlines()
    for word in {line.split()[0] for line in lines if not line.startswith("m-")}:
        assert b"Unknown" not in firmware.receive(f"{word}%".encode()), word
