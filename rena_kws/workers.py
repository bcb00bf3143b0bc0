"""A process pool whose workers may die or hang: that costs the task at hand, not the pool.

`ProcessPoolExecutor` gives up as a whole when one of its processes dies. So every worker here is a pool of one, driven
by a thread that rebuilds it. It is a plain `concurrent.futures.Executor`, as a cluster's is.

A worker leads a process group of its own: what it started (a compiler, an emulator) is killed with it.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from rena_kws.errors import WorkerLostError


@dataclass(frozen=True)
class _Task:
    future: Future[Any]
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class WorkerPool(Executor):
    """`workers` processes, started fresh (spawn). A task that runs for longer than `timeout_s` says is killed; that is
    asked with the task's function and arguments, and None lets it take as long as it likes.

    A lost task raises `WorkerLostError` from its future.
    """

    def __init__(self, workers: int, timeout_s: Callable[..., float | None]) -> None:
        """Raises `ValueError` for fewer than one worker: what is submitted would wait for ever."""
        if workers < 1:
            raise ValueError(f"a pool has at least one worker, not {workers}")
        self._timeout_s = timeout_s
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._stopping = False
        self._workers: set[_Worker] = set()
        self._threads = [threading.Thread(target=self._drive, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Raises `RuntimeError` after `shutdown`."""
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit to a pool that was shut down")
            self._tasks.put(_Task(future, fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop. With `cancel_futures` what runs is killed and what waits is cancelled."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._tasks.put(None)
            if cancel_futures:
                self._stopping = True
                for worker in self._workers:
                    worker.kill()
        if wait:
            for thread in self._threads:
                thread.join()

    def _drive(self) -> None:
        """One worker's life: take a task, run it in the process, start another process where that one was lost."""
        worker: _Worker | None = None
        while (task := self._tasks.get()) is not None:
            if self._stopping:
                task.future.cancel()
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                worker = worker or self._start()
                task.future.set_result(worker.run(task, self._timeout_s(task.fn, *task.args)))
            except (BrokenProcessPool, WorkerLostError) as error:
                self._end(worker)
                worker = None
                lost = "the worker process died (it crashed, or was killed for its memory)"
                task.future.set_exception(error if isinstance(error, WorkerLostError) else WorkerLostError(lost))
            except BaseException as error:
                task.future.set_exception(error)
        self._end(worker)

    def _start(self) -> _Worker:
        worker = _Worker()
        with self._lock:
            self._workers.add(worker)
            if self._stopping:
                worker.kill()
        return worker

    def _end(self, worker: _Worker | None) -> None:
        if worker is not None:
            with self._lock:
                self._workers.discard(worker)
            worker.end()


class _Worker:
    """One process, behind an executor of its own."""

    def __init__(self) -> None:
        """Raises `BrokenProcessPool` where the process does not come up."""
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_lead_group_and_die_with_parent)
        try:
            self._pid: int = self._pool.submit(os.getpid).result()
        except BaseException:
            self._pool.shutdown(wait=False)
            raise

    def run(self, task: _Task, timeout_s: float | None) -> Any:
        """The task's result, or what it raised. Raises `WorkerLostError` when the time is up."""
        future = self._pool.submit(task.fn, *task.args, **task.kwargs)
        if not wait([future], timeout_s).done:
            raise WorkerLostError(f"the worker was stopped after {timeout_s:g} s")
        return future.result()

    def kill(self) -> None:
        """End the process and what it started, now."""
        try:
            if hasattr(os, "killpg"):
                os.killpg(self._pid, signal.SIGKILL)
            else:
                os.kill(self._pid, signal.SIGTERM)  # Windows: TerminateProcess
        except (ProcessLookupError, PermissionError):
            pass  # gone already

    def end(self) -> None:
        self.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _lead_group_and_die_with_parent() -> None:
    """A worker of a run that was killed ends too, in the middle of its task, with all that it started.

    In a session of its own it gets no Ctrl-C from the terminal: the run decides what becomes of its workers.
    """
    if hasattr(os, "setsid"):
        os.setsid()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
