"""A board on a real pseudo-terminal: MLPerf Tiny's runner drives it, our profiler measures on it, a bench flashes it.

The board is the harness that `export --harness` writes, with a real network, compiled for this computer.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import serial
from flatbuffer_models import ModelBuilder, small_conv_model

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.devices import catalogue
from rena_kws.errors import DeviceError, DoesNotFitError, UnavailableError
from rena_kws.files import locked
from rena_kws.profilers.base import profiler_for
from rena_kws.reward import parse_limit
from rena_kws.search import Progress, SearchSettings
from rena_kws.testing.board_faults import Faults, Wire
from rena_kws.testing.board_on_pty import BoardOnPty
from rena_kws.testing.host_board import HostBoard

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


@pytest.mark.parametrize("baud", [9600, 115200, 921600])
def test_the_public_runner_can_drive_it(baud: int, firmware: HostBoard, model: ConvertedModel) -> None:
    outputs = api.profile(model, "cortex-m4", INPUTS).outputs
    with BoardOnPty(Wire(firmware, Faults(stale=b"m-rea"), baud)) as port:
        runner = PublicRunner(port, baud)
        with runner.port:
            assert only(r"^m-name-dut-\[([^]]+)]$", runner.command("name")) == "rena-kws"
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


BENCH = """
[desk]
port = "{port}"
board = "nucleo-l4r5zi"
window_s = 0.002
iterations = 2
boot_s = 2
knock_s = 0.2
quiet_s = 0.05
build_command = "tar -cf {{elf}} -C {{bundle}} ."
flash_command = "cp {{elf}} flashing && mv flashing flashed"
"""


class Reflashed:
    """A board that starts anew with what the bench's commands left in the file `flashed`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.running, self.board = folder, b"", HostBoard(small_conv_model())
        self.dead = False

    def start(self) -> bytes:
        return self.board.start()

    def receive(self, data: bytes) -> bytes:
        if self.dead:
            return b""
        flashed = (self.folder / "flashed").read_bytes()
        if flashed == self.running:
            return self.board.receive(data)
        self.running = flashed
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["tar", "-xf", self.folder / "flashed", "-C", folder], check=True)
            self.board = HostBoard.of_bundle(Path(folder), "kws_model")
        return self.start()


@pytest.fixture
def flashed(tmp_path: Path) -> Reflashed:
    return Reflashed(tmp_path)


@pytest.fixture
def bench(flashed: Reflashed, tmp_path: Path) -> Iterator[Path]:
    """A bench file, with its board on a pty."""
    with BoardOnPty(Wire(flashed)) as port:
        path = tmp_path / "bench.toml"
        path.write_text(BENCH.format(port=port))
        yield path


def test_a_bench_puts_each_model_on_the_board(model: ConvertedModel, bench: Path) -> None:
    builder = ModelBuilder()
    x, y = builder.tensor((1, 16), scale=0.1), builder.tensor((1, 16), scale=0.1)
    builder.op("RELU", [x], [y])
    other = ConvertedModel("tflite", builder.build([x], [y]), "relu")
    for each, values in ((model, 5), (other, 16), (model, 5)):
        measurement = api.profile(each, f"serial:{bench}#desk")
        assert measurement.environment["outputs"].startswith(f"all {values} as")
        assert measurement.device == f"serial:{bench}#desk"


@pytest.mark.parametrize(
    ("step", "command", "error", "message"),
    [
        ("build_command", "false", DeviceError, "the bench's build_command failed with status 1: no message"),
        ("build_command", "true", DeviceError, "the bench's build_command succeeded and made no {elf}"),
        ("build_command", "echo region FLASH overflowed by 9 bytes; false", DoesNotFitError, "small does not fit the"),
        ("flash_command", "echo Error: no probe >&2; exit 3", DeviceError, "failed with status 3: Error: no probe"),
        ("flash_command", "sleep 9", DeviceError, "the bench's flash_command took longer than flash_s = 1 s"),
    ],
)
def test_what_goes_wrong_on_a_bench_is_one_line(
    step: str, command: str, error: type[Exception], message: str, model: ConvertedModel, bench: Path
) -> None:
    text = re.sub(rf"{step} = .*", f'{step} = "{command} # {{elf}}"', bench.read_text())
    bench.write_text(text + ("flash_s = 1\n" if "sleep" in command else ""))
    with pytest.raises(error, match=re.escape(message)) as caught:
        api.profile(model, f"serial:{bench}")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_search_on_a_port_outlives_its_board(bench: Path, flashed: Reflashed, tmp_path: Path) -> None:
    """Every candidate is built, flashed, measured over the line and compared; two workers take turns at the board.

    When the board dies the search ends with its message, and goes on where it was once the board is back.
    """
    rng = np.random.default_rng(0)
    split = np.repeat(["train", "validation", "test"], [40, 16, 16])
    labels = np.arange(len(split)) % 2
    audio = rng.uniform(-1, 1, (len(split), 16_000)).astype(np.float32) * (0.1 + 0.5 * labels[:, None])
    np.savez(tmp_path / "noise.npz", x=audio, y=labels, labels=np.array(["faint", "loud"]), split=split)
    settings = SearchSettings(
        device=f"serial:{bench}", dataset=f"arrays:{tmp_path / 'noise.npz'}", trials=3, minutes=None, workers=2, seed=1,
        limits=(parse_limit("latency_ms=1000"),), trial_clips=300, final_clips=600,
    )  # fmt: skip

    def kill_the_board(progress: Progress) -> None:
        flashed.dead = progress.trials >= 1

    with pytest.raises(DeviceError, match=r"silent|stopped answering"):
        api.search(settings, tmp_path / "run", watch=kill_the_board)
    flashed.dead = False
    result, folder = api.search(settings, tmp_path / "run", resume=True)
    measurement = result.outcome.measurement
    assert measurement is not None and measurement.how == "measured"
    assert measurement.environment["outputs"].startswith("all ")
    assert len(result.trials) == 3 and all(trial.evaluation.status == "ok" for trial in result.trials)
    assert (folder / "report.html").exists()


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
