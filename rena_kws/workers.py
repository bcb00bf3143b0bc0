"""A process pool whose workers may die or hang: that costs the task at hand, not the pool.

`ProcessPoolExecutor` gives up as a whole when one of its processes dies. So every worker here is a pool of one, driven
by a thread that rebuilds it. It is a plain `concurrent.futures.Executor`, as a cluster's is.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from rena_kws.errors import WorkerLostError


class WorkerPool(Executor):
    """`workers` processes, started fresh (spawn). A task that runs over `timeout_s` is killed.

    A lost task raises `WorkerLostError` from its future.
    """

    def __init__(self, workers: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._drive, daemon=True) for _ in range(workers)]
        self._stopping = threading.Event()
        self._pids: set[int] = set()
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.put((future, _Call(fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop. With `cancel_futures` what runs is killed and what waits is cancelled."""
        if cancel_futures:
            self._stopping.set()
            for pid in tuple(self._pids):
                _kill(pid)
        for _ in self._threads:
            self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _drive(self) -> None:
        """One worker's life: take a task, run it in the process, start another process where that one was lost."""
        pool: ProcessPoolExecutor | None = None
        pid = 0
        while (task := self._tasks.get()) is not None:
            future, call = task
            if self._stopping.is_set() or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            try:
                if pool is None:
                    context = multiprocessing.get_context("spawn")
                    pool = ProcessPoolExecutor(1, mp_context=context, initializer=_die_with_parent)
                    pid = pool.submit(os.getpid).result()
                    self._pids.add(pid)
                future.set_result(pool.submit(call).result(self._timeout_s))
            except BrokenProcessPool:
                pool = self._discard(pool, pid)
                future.set_exception(WorkerLostError("the worker process died (crashed, or was killed for memory)"))
            except FutureTimeoutError:
                pool = self._discard(pool, pid)
                future.set_exception(WorkerLostError(f"the worker was stopped after {self._timeout_s:g} s"))
            except BaseException as error:
                future.set_exception(error)
        self._discard(pool, pid)

    def _discard(self, pool: ProcessPoolExecutor | None, pid: int) -> None:
        if pool is not None:
            _kill(pid)
            self._pids.discard(pid)
            pool.shutdown(wait=True, cancel_futures=True)


class _Call:
    """A picklable call without arguments."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs

    def __call__(self) -> Any:
        return self.fn(*self.args, **self.kwargs)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    except (ProcessLookupError, PermissionError):
        pass


def _die_with_parent() -> None:
    """A worker of a run that was killed ends too, in the middle of its task, instead of waiting for ever.

    Ctrl-C at the terminal reaches the whole process group; the run decides what becomes of its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
