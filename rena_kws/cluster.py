"""The workers of a Dask cluster behind the same seam as local ones: a plain `concurrent.futures.Executor`.

    dask scheduler                                   on one machine
    dask worker tcp://SCHEDULER:8786 --nthreads 1    on each, once for every candidate that it is to evaluate at a time

What a worker needs is what a search here needs: rena-kws with its extra `search`, and the dataset at the same path.
A task of a lost worker is given to another; one that loses several workers raises `WorkerLostError` from its future.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rena_kws import __version__
from rena_kws.errors import UnavailableError, WorkerLostError

CONNECT_S = 10.0


class ClusterExecutor(Executor):
    """Connected to the scheduler at `address`. `workers`: how many there are at first; more may join and are used.

    Raises `UnavailableError` without Dask, without an answer, without workers, for workers with another version of this
    package, and for workers with several threads: TensorFlow's random state and a profiler's clock are a process's, so
    a process evaluates one candidate at a time.
    """

    def __init__(self, address: str) -> None:
        try:
            dask: Any = importlib.import_module("distributed")
        except ImportError:
            raise UnavailableError("--cluster needs Dask: pip install 'rena-kws[cluster]'") from None
        try:
            # Of an address of no use Dask leaves a client behind that nobody can close.
            dask.comm.resolve_address(address)
            if address.startswith("tls:") and not dask.Security().get_connection_args("client").get("ssl_context"):
                raise ValueError("Dask is not set up for TLS (distributed.comm.tls in its configuration)")
            self._client: Any = dask.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UnavailableError(f"no Dask scheduler answers at {address}: {error}") from None
        self._lost: type[Exception] = dask.scheduler.KilledWorker
        self._executor = self._client.get_executor(pure=False)
        threads = self._client.nthreads()
        if not threads or set(threads.values()) != {1}:
            self.shutdown()
            found = f"{len(threads)} workers with up to {max(threads.values())} threads" if threads else "no workers"
            raise UnavailableError(
                f"a cluster needs workers with one thread each (dask worker {address} --nthreads 1); it has {found}"
            )
        self._check_version()
        self.workers = len(threads)

    def _check_version(self) -> None:
        """A worker dies of a task that it cannot import, and so would one worker after the other."""
        try:
            found = sorted(set(self._client.run(version, "rena-kws").values()))
        except PackageNotFoundError:
            found = ["none"]
        if found != [__version__]:
            self.shutdown()
            raise UnavailableError(
                f"a cluster needs rena-kws {__version__} on its workers; they have {', '.join(found)}"
            )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        self._executor.submit(fn, *args, **kwargs).add_done_callback(lambda done: self._hand_on(done, answer))
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of the cluster; it goes on. What was submitted is waited for, or with `cancel_futures` given up."""
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()

    def _hand_on(self, done: Future[Any], answer: Future[Any]) -> None:
        if done.cancelled():
            answer.cancel()
            answer.set_running_or_notify_cancel()
        elif isinstance(error := done.exception(), self._lost):
            answer.set_exception(WorkerLostError("every worker that took the task died"))
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())
