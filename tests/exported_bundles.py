"""Bundles of the detector of tones in several layouts, and what their programs do on this computer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import beeps
import numpy as np
from numpy.typing import NDArray

from rena_kws import api
from rena_kws.streaming.host_stream import Event
from rena_kws.streaming.listening import open_ear

NAME = "ear"
FULL_SCORE = beeps.DECISIONS.full_score
COMMANDS = b"name%profile%db load 4%db 01020304%db print%infer 2 1%results%nonsense%"
"""What a host says to a board that answers MLPerf Tiny's protocol."""


def export(layout: str, folder: Path, harness: bool = True) -> Path:
    """The bundle, in a folder of its layout's name."""
    model = beeps.write_model(folder / "model", beeps.DECISIONS)
    return api.export(model, layout, folder / layout, NAME, harness=harness)


def heard(bundle: Path, sound: NDArray[np.int16]) -> list[Event]:
    """What a bundle's own sources hear when Python pushes the sound."""
    events: list[Event] = []
    open_ear(bundle).stream.listen(events.append).push(sound)
    assert len(events) == 5
    return events


def run(
    command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None, said: bytes = b""
) -> str:
    """What a command that has to succeed prints."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(environment or {})}, input=said, capture_output=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def without_times(replies: str) -> list[str]:
    """A board's replies, but for its clock."""
    return [line for line in replies.splitlines() if not line.startswith("m-lap-us-")]


def answers_of_c(bundle: Path, make: str) -> list[str]:
    """What the harness of the C bundle answers to `COMMANDS`."""
    run([make, "board"], bundle)
    return without_times(run([bundle / "board_host"], bundle, said=COMMANDS))
