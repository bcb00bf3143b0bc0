"""The converter seam: a trained network into a model file in memory.

TensorFlow and its exporters write to file descriptors 1 and 2 behind Python's back; `quiet` keeps that out of a user's
terminal and turns whatever they raise into one `CandidateError`.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel
from rena_kws.errors import CandidateError, RenaError


class Converter(ABC):
    """Makes a model file of a network. A new one passes `rena_kws.testing.converter_contract`."""

    @abstractmethod
    def convert(self, built: BuiltModel, calibration: NDArray[np.float32]) -> ConvertedModel:
        """The network with its present weights, batch 1, as a file in memory. `built` is left as it is.

        `calibration`: features of clips, (n, *input_shape), n ≥ 1, of the training split only; they set the ranges of
        quantised tensors, and a float converter ignores them. Raises `CandidateError` where it does not convert.
        """


def check_calibration(built: BuiltModel, calibration: NDArray[np.float32]) -> NDArray[np.float32]:
    """The calibration clips as float32. Raises `CandidateError` for none, for another shape, not finite."""
    shape = tuple(built.architecture.input_shape)
    if calibration.ndim != 4 or len(calibration) == 0 or calibration.shape[1:] != shape:
        raise CandidateError(f"calibration is one or more clips of shape {shape}; got an array of {calibration.shape}")
    if not np.isfinite(calibration).all():
        raise CandidateError("calibration features must be finite; some are not")
    return np.ascontiguousarray(calibration, np.float32)


@contextmanager
def quiet(what: str) -> Iterator[None]:
    """Silence a converter, Python's streams and the process's descriptors alike; its failure is one `CandidateError`.

    Not for concurrent threads: descriptors belong to the process.
    """
    with silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except RenaError:
            raise
        except Exception as error:
            text = str(error) or type(error).__name__
            raise CandidateError(f"{what} failed: {_first_line(text)}") from error


@contextmanager
def silenced() -> Iterator[None]:
    """Descriptors 1 and 2 and `print` go nowhere, logging is off.

    `sys.stderr` itself stays: a logger that is set up meanwhile keeps the stream that it finds there for good.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        sys.stderr.flush()
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        logging.disable(level)


def _first_line(text: str) -> str:
    """The first line that says something, at most 200 characters of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else text)[:200]
