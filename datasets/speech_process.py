"""Synthesisers in processes of their own: a small program gets a job as JSON and answers with sounds.

stdin   JSON
stdout  one line of JSON, {"rate_hz": …, "samples": [count, …]} where it spoke, then all samples as 16-bit
        little-endian integers
stderr  the reason, one line, with exit status 1
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.datasets.utterance import Utterance, in_order
from rena_kws.errors import UnavailableError

FloatArray = NDArray[np.float32]


def work(program: str, job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The program's line of JSON, and what follows. Raises `UnavailableError` with its reason."""
    # The packages that this process sees, and no others: `-I` hides them, and without it this folder comes first.
    start = f"import runpy, sys; sys.path[:] = {sys.path!r}; runpy.run_path({program!r}, run_name='__main__')"
    command = [sys.executable, "-I", "-c", start]
    done = subprocess.run(command, input=json.dumps(job).encode(), capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise UnavailableError(f"speech synthesis failed: {lines[-1]}")
    header, _, rest = done.stdout.partition(b"\n")
    return json.loads(header), rest


def sounds(answer: tuple[dict[str, Any], bytes]) -> list[FloatArray]:
    """What a program spoke, each utterance at the rate that it was made with."""
    about, sound = answer
    samples = np.frombuffer(sound, "<i2").astype(np.float32) / np.float32(32768)
    return np.split(samples, np.cumsum(about["samples"])[:-1])


def in_batches(
    speak: Callable[[Sequence[Utterance]], list[FloatArray]], utterances: Sequence[Utterance], size: int, workers: int
) -> Iterator[FloatArray]:
    """`speak` of `size` utterances at a time, by so many workers: the sounds in order."""
    batches = [utterances[start : start + size] for start in range(0, len(utterances), size)]
    with closing(in_order(speak, batches, workers)) as spoken:
        for batch in spoken:
            yield from batch
