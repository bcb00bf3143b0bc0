"""The process that emulates, and the other end of the pipe to it: one line of JSON there, one back.

    {"chip": 3, "do": "read", "with": [536870912, 4]}   →   {"gives": {"bytes": "AAECAw=="}}  or  {"fails": "…"}

While a machine runs it may ask back: {"asks": 0, "of": "read", "with": [8, 4]} wants the answer of a device that the
caller attached. The worker stays warm and holds any number of chips. It may hang or die with an image: the time-out
kills it, the caller gets a `DeviceError`, and what comes next starts a new one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rena_kws.errors import CandidateError, DeviceError
from rena_kws.profilers.child import python_command

Hook = tuple[Callable[[int, int], int], Callable[[int, int, int], None]]
"""Read and write of a device that lives on this side."""


@dataclass(eq=False)
class EmulatorProcess:
    """A worker, started when first asked. Safe to share between threads; a forked copy starts its own."""

    _process: subprocess.Popen[str] | None = None
    _owner_pid: int = 0
    _end: Callable[[], object] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def ask(
        self, chip: int, method: str, arguments: Sequence[Any], hooks: Sequence[Hook] = (), timeout_s: float = 60.0
    ) -> Any:
        """Call a method of a chip. Raises what the method raised, and `DeviceError` where the worker dies or takes
        longer than `timeout_s`; its chips are gone then."""
        with self._lock:
            process = self._started(method)
            expired = threading.Event()

            def expire() -> None:
                expired.set()
                process.kill()

            timer = threading.Timer(timeout_s, expire)
            timer.daemon = True
            timer.start()
            try:
                answer = _converse(process, {"chip": chip, "do": method, "with": arguments}, hooks)
            except BaseException:
                self._discard()  # an answer that nobody read would be taken for the next one's
                raise
            finally:
                timer.cancel()
            if answer is None:
                status = process.wait()
                self._discard()
                if expired.is_set():
                    raise DeviceError(f"the emulation took longer than its {timeout_s:g} s and was stopped")
                raise DeviceError(f"the emulator's process ended with status {status} in the middle of its work")
        if "fails" in answer:
            raise CandidateError(answer["fails"])
        return answer["gives"]

    def close(self) -> None:
        """End the worker; the next question starts a new one."""
        with self._lock:
            self._discard()

    def _discard(self) -> None:
        if self._end is not None:
            self._end()
        self._process = None

    def _started(self, method: str) -> subprocess.Popen[str]:
        alive = self._process is not None and self._owner_pid == os.getpid() and self._process.poll() is None
        if self._process is not None and alive:
            return self._process
        if method != "open":
            raise DeviceError("the emulator's process ended, and with it the chip that is asked for")
        self._process = subprocess.Popen(
            python_command(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._owner_pid = os.getpid()
        self._end = weakref.finalize(self, _stop, self._process, self._owner_pid)
        return self._process


def _converse(process: subprocess.Popen[str], request: Any, hooks: Sequence[Hook]) -> Any:
    """One request, the questions that come back in between, and the answer; None where the worker is gone."""
    assert process.stdin is not None and process.stdout is not None
    try:
        _write(process.stdin, request)
        while line := process.stdout.readline():
            message = json.loads(line, object_hook=_decode)
            if "asks" not in message:
                return message
            read, write = hooks[message["asks"]]
            _write(process.stdin, (read if message["of"] == "read" else write)(*message["with"]))
    except (BrokenPipeError, ConnectionResetError):
        pass
    return None


def _stop(process: subprocess.Popen[str], owner_pid: int) -> None:
    if owner_pid != os.getpid():
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # an unsent request to a process that is gone
                pipe.close()


def _write(stream: Any, message: Any) -> None:
    stream.write(json.dumps(message, default=_encode) + "\n")
    stream.flush()


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"no JSON for {type(value).__name__}")


def _decode(table: dict[str, Any]) -> Any:
    return base64.b64decode(table["bytes"]) if table.keys() == {"bytes"} else table


def main(arguments: Sequence[str]) -> None:
    """The worker: requests from standard input until it closes."""
    from rena_kws.profilers.cortex_m.chip import Chip

    # Ctrl-C reaches the whole group; this process ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def ask_back(hook: int, what: str, with_: Sequence[int]) -> Any:
        _write(answers, {"asks": hook, "of": what, "with": with_})
        return json.loads(sys.stdin.readline())

    chips: dict[int, Chip] = {}
    for line in sys.stdin:
        request = json.loads(line, object_hook=_decode)
        number, method, given = request["chip"], request["do"], request["with"]
        try:
            if method == "open":
                chips[number] = Chip(ask_back, *given)
                answer = None
            elif method == "close":
                answer = bool(chips.pop(number, None))
            else:
                answer = getattr(chips[number], method)(*given)
        except CandidateError as error:
            _write(answers, {"fails": str(error)})
            continue
        _write(answers, {"gives": answer})
