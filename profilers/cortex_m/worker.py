"""The process that emulates, and the profiler's end of the pipe to it: one line of JSON there, one back.

The worker stays warm between jobs. It may hang or die with an image: the time-out kills it, the caller gets a
`DeviceError`, and the next job starts a new one. Endless loops end earlier, at the job's instruction budget.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rena_kws.errors import DeviceError
from rena_kws.profilers.child import python_command
from rena_kws.profilers.cortex_m.job import Job, JobResult


@dataclass(eq=False)
class EmulatorProcess:
    """A worker, started at the first job. Safe to share between threads; a forked copy starts its own.

    `timeout_s` is for a job's first input, which is counted (and for starting up); each further one adds
    `further_input_s`.
    """

    timeout_s: float = 120.0
    further_input_s: float = 5.0
    _process: subprocess.Popen[str] | None = None
    _owner_pid: int = 0
    _end: Callable[[], object] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, job: Job) -> JobResult:
        """Emulate a job. Raises `DeviceError` where the worker dies or takes too long."""
        timeout_s = self.timeout_s + self.further_input_s * (len(job.inputs) - 1)
        with self._lock:
            process = self._started()
            expired = threading.Event()

            def expire() -> None:
                expired.set()
                process.kill()

            timer = threading.Timer(timeout_s, expire)
            timer.daemon = True
            timer.start()
            try:
                answer = _exchange(process, job.to_json())
            except BaseException:
                self._discard()  # an answer that nobody read would be taken for the next job's
                raise
            finally:
                timer.cancel()
            if answer:
                return JobResult.from_json(answer)
            status = process.wait()
            self._discard()
            if expired.is_set():
                raise DeviceError(f"the emulation took longer than its {timeout_s:g} s and was stopped")
            raise DeviceError(f"the emulator's process ended with status {status} in the middle of a job")

    def _discard(self) -> None:
        if self._end is not None:
            self._end()
        self._process = None

    def _started(self) -> subprocess.Popen[str]:
        alive = self._process is not None and self._owner_pid == os.getpid() and self._process.poll() is None
        if self._process is None or not alive:
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


def _exchange(process: subprocess.Popen[str], request: str) -> str:
    """One line to the worker and its answer; empty where it is gone."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(request + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except (BrokenPipeError, OSError):
        return ""


def _stop(process: subprocess.Popen[str], owner_pid: int) -> None:
    if owner_pid != os.getpid():
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # an unsent request to a process that is gone
                pipe.close()


def main(arguments: Sequence[str]) -> None:
    """The worker: jobs from standard input until it closes."""
    from rena_kws.profilers.cortex_m.emulator import execute, load_tracer

    # Ctrl-C reaches the whole group; this process ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    library = load_tracer()
    for line in sys.stdin:
        answers.write(execute(Job.from_json(line), library).to_json() + "\n")
        answers.flush()
