"""The pool survives what its tasks do, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from rena_kws.errors import WorkerLostError
from rena_kws.workers import WorkerPool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="looks at POSIX process ids")

PATIENCE_S = 30.0
"""What nothing here should need: past it something hangs."""


def patience(*_: object) -> float:
    return PATIENCE_S


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(1, patience)
    yield made
    made.shutdown(cancel_futures=True)


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts as ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return Path("/proc/self").exists()  # ended between the two looks; without /proc it still runs


def test_tasks_return_raise_and_share_a_process(pool: WorkerPool) -> None:
    first, second = pool.submit(os.getpid), pool.submit(os.getpid)
    assert first.result(PATIENCE_S) == second.result(PATIENCE_S) != os.getpid()
    with pytest.raises(ValueError, match="invalid literal"):
        pool.submit(int, "no number").result(PATIENCE_S)
    with pytest.raises(TimeoutError, match="the task's own"):  # not to be taken for the pool's time-out
        pool.submit(exec, 'raise TimeoutError("the task\'s own")').result(PATIENCE_S)
    assert pool.submit(os.getpid).result(PATIENCE_S) == first.result()


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_without_workers_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match=f"at least one worker, not {workers}"):
        WorkerPool(workers, patience)


def test_keyword_arguments_reach_the_task(pool: WorkerPool) -> None:
    assert pool.submit(int, "ff", base=16).result(PATIENCE_S) == 255


def test_what_cannot_be_sent_costs_its_task_only(pool: WorkerPool) -> None:
    with pytest.raises(Exception, match="pickle"):
        pool.submit(lambda: 1).result(PATIENCE_S)
    assert pool.submit(abs, -2).result(PATIENCE_S) == 2


@pytest.mark.parametrize("death", ["os._exit(3)", "import signal; os.kill(os.getpid(), signal.SIGSEGV)"])
def test_a_worker_that_dies_of_its_task_costs_that_task(pool: WorkerPool, death: str) -> None:
    with pytest.raises(WorkerLostError, match="died"):
        pool.submit(exec, f"import os; {death}").result(PATIENCE_S)
    assert pool.submit(abs, -1).result(PATIENCE_S) == 1


def test_a_worker_killed_in_the_middle_of_a_task_costs_that_task(pool: WorkerPool) -> None:
    pid = pool.submit(os.getpid).result(PATIENCE_S)
    running, waiting = pool.submit(time.sleep, 600), pool.submit(abs, -1)
    wait_until(running.running)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError):
        running.result(PATIENCE_S)
    assert waiting.result(PATIENCE_S) == 1
    assert pool.submit(os.getpid).result(PATIENCE_S) != pid


def test_a_task_over_its_time_is_killed_with_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    hang = f"import subprocess; open({str(note)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    with WorkerPool(1, lambda *_: 2.0) as pool:
        assert pool.submit(exec, hang).result(PATIENCE_S) is None
        with pytest.raises(WorkerLostError, match="stopped after 2 s"):
            pool.submit(time.sleep, 600).result(PATIENCE_S)
        assert pool.submit(abs, -1).result(PATIENCE_S) == 1
    wait_until(lambda: is_gone(int(note.read_text())))


def test_cancelling_shutdown_ends_what_runs_and_what_waits() -> None:
    pool = WorkerPool(1, patience)
    pid = pool.submit(os.getpid).result(PATIENCE_S)
    running, waiting = pool.submit(time.sleep, 600), pool.submit(abs, -1)
    wait_until(running.running)
    pool.shutdown(cancel_futures=True)
    with pytest.raises(WorkerLostError):
        running.result(0)
    with pytest.raises(CancelledError):
        waiting.result(0)
    assert is_gone(pid)
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(abs, -1)


def test_plain_shutdown_finishes_what_was_submitted() -> None:
    with WorkerPool(2, patience) as pool:
        futures = [pool.submit(abs, -number) for number in range(5)]
    assert [future.result(0) for future in futures] == list(range(5))


def test_ctrl_c_of_the_terminal_does_not_reach_a_worker(pool: WorkerPool) -> None:
    pid = pool.submit(os.getpid).result(PATIENCE_S)
    assert os.getpgid(pid) == pid != os.getpgid(0)


def test_a_killed_parent_leaves_no_worker_and_nothing_a_worker_started(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import os, subprocess, sys, time
        from rena_kws.workers import WorkerPool

        def start_child_and_hang(note):
            child = subprocess.Popen(["sleep", "600"])
            with open(note + ".aside", "w") as file:
                file.write(f"{os.getpid()} {child.pid}")
            os.rename(note + ".aside", note)
            time.sleep(600)

        if __name__ == "__main__":
            pool = WorkerPool(1, lambda *_: 600)
            pool.submit(start_child_and_hang, sys.argv[1])
            time.sleep(600)
        """)
    )
    note = tmp_path / "pids"
    with subprocess.Popen([sys.executable, str(script), str(note)]) as parent:
        wait_until(note.exists)
        parent.kill()
    worker, child = map(int, note.read_text().split())
    wait_until(lambda: is_gone(worker) and is_gone(child))
