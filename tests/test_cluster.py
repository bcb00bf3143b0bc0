"""A search on a real Dask cluster of worker processes, one of which is killed in the middle."""

from __future__ import annotations

import operator
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tones import write_tones

from rena_kws.api import search
from rena_kws.cluster import ClusterExecutor
from rena_kws.errors import UnavailableError, WorkerLostError
from rena_kws.search import Progress
from rena_kws.search_settings import SearchSettings

distributed = pytest.importorskip("distributed")

WORKERS = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Worker processes that their nannies start again; a task that kills two of them is given up."""
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as running,
    ):
        yield running


@pytest.fixture
def executor(cluster: Any) -> Iterator[ClusterExecutor]:
    cluster.get_client().wait_for_workers(WORKERS)
    connected = ClusterExecutor(cluster.scheduler_address)
    yield connected
    connected.shutdown(cancel_futures=True)


def worker_after(seconds: float, path: Path) -> tuple[Any, ...]:
    """A task of the standard library's, which every worker can import: the worker's number, told in a file as well."""
    return subprocess.check_output, [
        "sh",
        "-c",
        f"echo $PPID > {path}.new; mv {path}.new {path}; sleep {seconds}; echo $PPID",
    ]


def test_tasks_keep_all_workers_busy_and_exceptions_come_back(executor: ClusterExecutor, tmp_path: Path) -> None:
    assert executor.workers == WORKERS
    futures = [executor.submit(*worker_after(0.5, tmp_path / str(number))) for number in range(WORKERS)]
    assert len({future.result(timeout=60) for future in futures}) == WORKERS
    with pytest.raises(ZeroDivisionError):
        executor.submit(operator.truediv, 1, 0).result(timeout=60)


def test_equal_tasks_run_each_time(executor: ClusterExecutor) -> None:
    """Dask would answer a call that it knows from memory."""
    first, second = (executor.submit(time.monotonic_ns).result(timeout=60) for _ in range(2))
    assert first != second


def test_a_task_of_a_killed_worker_is_done_by_another(executor: ClusterExecutor, tmp_path: Path) -> None:
    path = tmp_path / "worker"
    future = executor.submit(*worker_after(2, path))
    while not path.exists():
        time.sleep(0.05)
    victim = int(path.read_text())
    os.kill(victim, signal.SIGKILL)
    assert int(future.result(timeout=60)) != victim


def test_a_task_that_kills_its_workers_is_given_up(executor: ClusterExecutor) -> None:
    with pytest.raises(WorkerLostError):
        executor.submit(os._exit, 1).result(timeout=60)
    assert executor.submit(operator.truediv, 4, 2).result(timeout=60) == 2


def test_workers_with_another_version_are_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rena_kws.cluster.__version__", "99.0")
    with pytest.raises(UnavailableError, match=r"needs rena-kws 99\.0 on its workers; they have 0\."):
        ClusterExecutor(cluster.scheduler_address)


def test_what_is_no_usable_cluster_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rena_kws.cluster.CONNECT_S", 1.0)
        with pytest.raises(UnavailableError, match=re.escape(f"no Dask scheduler answers at {address}")):
            ClusterExecutor(address)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as threads,
        pytest.raises(UnavailableError, match=r"--nthreads 1.* 1 workers with up to 2 threads"),
    ):
        ClusterExecutor(threads.scheduler_address)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("foo", "missing port number in address 'foo'"),
        ("tls://127.0.0.1:1", "Dask is not set up for TLS (distributed.comm.tls in its configuration)"),
    ],
)
def test_nothing_follows_the_line_that_names_an_address_of_no_use(address: str, why: str) -> None:
    code = f"from rena_kws.cluster import *\ntry: ClusterExecutor({address!r})\nexcept UnavailableError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"no Dask scheduler answers at {address}: {why}\n"
    assert done.stderr == ""


@pytest.mark.slow
def test_a_search_survives_a_killed_worker(cluster: Any, tmp_path: Path) -> None:
    """The tiny search on real networks: a worker is killed while it evaluates, and no trial is missing at the end."""
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.trials == 2 and not killed:
            pids = cluster.get_client().run(os.getpid).values()
            killed.append(next(iter(pids)))
            os.kill(killed[0], signal.SIGKILL)

    settings = SearchSettings(
        dataset=write_tones(tmp_path / "tones.npz"),
        trials=8,
        minutes=None,
        trial_clips=500,
        final_clips=1000,
        cluster=cluster.scheduler_address,
    )
    result, run = search(settings, tmp_path / "run", watch=watch)
    assert killed
    assert [trial.number for trial in result.trials] == list(range(8))
    assert sum(trial.evaluation.status == "ok" for trial in result.trials) >= 6
    assert (run / "firmware").is_dir()
