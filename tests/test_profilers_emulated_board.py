"""The harness on an emulated chip behind a real terminal and a TCP port, driven by the serial profiler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rena_kws import api, model_file
from rena_kws.devices import catalogue
from rena_kws.profilers.cortex_m.emulated_board import EmulatedBoard

Reference = Callable[..., Path]
INPUTS = np.random.default_rng(0).integers(-128, 128, (3, 49, 10, 1), np.int8)


@pytest.fixture(scope="module")
def model(reference: Reference) -> Path:
    return reference("models", "kws_ref_model.tflite")


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The port that `rena-kws board` prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rena_kws", "board", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stdout.close()


@pytest.mark.parametrize("device", ["cortex-m4", "cortex-m0plus"])
def test_time_on_the_board_is_emulated_time(model: Path, device: str) -> None:
    board = EmulatedBoard(model_file.load(model), catalogue.get(device))
    try:
        assert board.start().decode().splitlines()[-2:] == ["m-init-done", "m-ready"]
        lines = board.receive(b"infer 3 1%").decode().splitlines()
    finally:
        board.close()
    begin, end = (int(line.split("-")[-1]) for line in lines if line.startswith("m-lap-us-"))
    expected_ms = api.profile(model, device).latency_ms
    assert (end - begin) / 3e3 == pytest.approx(expected_ms, rel=0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
def test_the_serial_profiler_measures_an_emulated_board_on_a_terminal(model: Path) -> None:
    emulated = api.profile(model, "cortex-m4", INPUTS)
    with served(str(model), "--device", "cortex-m4") as port:
        assert os.path.exists(port)
        measured = api.profile(model, f"serial:{port}?window_s=0.2", INPUTS)
    assert measured.how == "emulated"
    assert "all 36" in measured.environment["outputs"]
    np.testing.assert_array_equal(measured.outputs, emulated.outputs)
    assert measured.latency_ms == pytest.approx(emulated.latency_ms, rel=0.01)


@pytest.mark.slow
def test_the_same_over_tcp(model: Path) -> None:
    with served(str(model), "--device", "cortex-m7", "--tcp", "0") as port:
        measured = api.profile(model, f"serial:{port}?window_s=0.1", INPUTS[:1])
    assert measured.how == "emulated" and "all 12" in measured.environment["outputs"]
