"""A bench file: every model is built, put on the board, measured over the line; a search does so for each candidate.

The board is a pty behind which runs what the bench's flash command left there.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flatbuffer_models import ModelBuilder, small_conv_model

from rena_kws import api
from rena_kws.artifacts import ConvertedModel
from rena_kws.devices import catalogue
from rena_kws.errors import DeviceError, DoesNotFitError
from rena_kws.profilers.cortex_m.emulated_board import EmulatedBoard
from rena_kws.reward import parse_limit
from rena_kws.search import Progress
from rena_kws.search_settings import SearchSettings
from rena_kws.testing.board_faults import Wire
from rena_kws.testing.board_on_pty import BoardOnPty
from rena_kws.testing.host_board import BoardFirmware, HostBoard

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


@pytest.fixture
def model() -> ConvertedModel:
    return small_conv_model()


BENCH = """
[desk]
port = "{port}"
baud = 115200
board = "nucleo-l4r5zi"
window_s = 0.002
iterations = 2
boot_s = 15
reply_s = 10
knock_s = 1
quiet_s = 0.05
build_command = "tar -cf {{elf}} -C {{bundle}} ."
flash_command = "cp {{elf}} image && mv image flashing && while [ -e flashing ]; do sleep 0.02; done"
"""
"""Patient: the board shares its cores with the search, and perhaps with more."""


class Programmed:
    """A board, and the probe that puts onto it what the bench's commands leave in the file `flashing`."""

    def __init__(self, folder: Path, chip: str | None = None) -> None:
        """`chip`: the device that is emulated, None for a board that runs on this computer."""
        self._image, self.chip = folder / "flashing", chip
        self._board: BoardFirmware = HostBoard(small_conv_model())
        self._unplugged = threading.Event()
        self._probe = threading.Thread(target=self._programme, daemon=True)
        self.dead = False

    def __enter__(self) -> Programmed:
        self._probe.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._unplugged.set()
        self._probe.join()

    def start(self) -> bytes:
        return self._board.start()

    def receive(self, data: bytes) -> bytes:
        return b"" if self.dead else self._board.receive(data)

    def _programme(self) -> None:
        while not self._unplugged.wait(0.01):
            if self._image.exists():
                with tempfile.TemporaryDirectory() as folder:
                    subprocess.run(["tar", "-xf", self._image, "-C", folder], check=True)
                    board = self._board_of(Path(folder))
                board.start()
                self._board = board
                self._image.unlink()

    def _board_of(self, bundle: Path) -> BoardFirmware:
        if self.chip:
            return EmulatedBoard.of_bundle(bundle, "kws_model", catalogue.get(self.chip))
        return HostBoard.of_bundle(bundle, "kws_model")


@pytest.fixture
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Programmed]:
    with Programmed(tmp_path, getattr(request, "param", None)) as board:
        yield board


@pytest.fixture
def bench(board: Programmed, tmp_path: Path) -> Iterator[Path]:
    """A bench file, with its board on a pty."""
    with BoardOnPty(Wire(board)) as port:
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
@pytest.mark.parametrize("board", [None, "nucleo-l4r5zi"], ids=["on this computer", "emulated"], indirect=True)
def test_a_search_on_a_port_outlives_its_board(bench: Path, board: Programmed, tmp_path: Path) -> None:
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
        board.dead = progress.trials >= 1

    with pytest.raises(DeviceError, match=r"silent|stopped answering"):
        api.search(settings, tmp_path / "run", watch=kill_the_board)
    board.dead = False
    result, folder = api.search(settings, tmp_path / "run", resume=True)
    measurement = result.outcome.measurement
    assert measurement is not None and measurement.how == ("emulated" if board.chip else "measured")
    assert measurement.environment["outputs"].startswith("all ")
    assert len(result.trials) == 3 and all(trial.evaluation.status == "ok" for trial in result.trials)
    assert (folder / "report.html").exists()
