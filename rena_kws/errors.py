"""Every exception rena-kws raises on purpose.

    RenaError                    the base; the command line prints its one line and exits with 2
    ├── UnknownNameError         a device, dataset, limit … that does not exist ("did you mean …?")
    ├── ModelError               a model file that cannot be read or holds what is not supported
    ├── DatasetError             recordings that cannot be used
    ├── LimitError               a limit that is malformed or that nothing in the space can meet
    ├── RunFolderError           a run folder that is another run's, or cannot be written
    ├── UnavailableError         a tool or device that this machine lacks; says what to install
    ├── DeviceError              a device that stopped answering or misbehaved
    └── CandidateError           a network that does not work out: a result of a search, not the end of it
        ├── InvalidArchitectureError   an edit or a specification that is no valid network
        ├── DoesNotFitError            does not fit the device's memory
        └── WorkerLostError            the process that evaluated it crashed, hung or was killed

A message gives the rule, then the value, then what is allowed, on one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RenaError(Exception):
    """Something the user can mend."""


class UnknownNameError(RenaError):
    """A name that nothing answers to."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}{hint} (known: {', '.join(names)})")


class ModelError(RenaError):
    """A model file that cannot be read, or that holds something unsupported."""


class DatasetError(RenaError):
    """Recordings or features that cannot be used."""


class LimitError(RenaError):
    """A limit that is malformed, or that no network in the search space meets."""


class RunFolderError(RenaError):
    """A run folder that belongs to another run, or cannot be read or written."""


class UnavailableError(RenaError):
    """Something this machine lacks."""


class DeviceError(RenaError):
    """A device that stopped answering or answered nonsense."""


class CandidateError(RenaError):
    """A network that does not work out; in a search it costs its trial only."""


class InvalidArchitectureError(CandidateError):
    """An edit or a specification that gives no valid network."""


class DoesNotFitError(CandidateError):
    """A network that does not fit the device's memory."""


class WorkerLostError(CandidateError):
    """The process that evaluated a candidate crashed, hung or was killed."""
