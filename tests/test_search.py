"""The search loop against faults: kill -9 and resume, a worker killed in its trial, limits nobody can meet."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rena_kws.artifacts import ConvertedModel, Evaluation, Measurement, Trained
from rena_kws.controller.base import Proposal
from rena_kws.errors import DatasetError, LimitError, ModelError, RenaError, RunFolderError, WorkerLostError
from rena_kws.finalists import final_s, finalists, ranked, rounds, score_on_test
from rena_kws.frontend.settings import UNSEEN_VOICES_IN_STREAMS
from rena_kws.pipeline import Outcome, Task, evaluate, measure_untrained
from rena_kws.reward import parse_limit
from rena_kws.run_clock import RunClock
from rena_kws.run_folder import RunFolder
from rena_kws.search import HUNG_S, _timeout_s, run_search
from rena_kws.search_settings import SearchSettings
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.search_space import seed_architecture
from rena_kws.store import JournalStore, MemoryStore, Trial
from rena_kws.train.settings import TrainSettings


class Answers(Executor):
    """Stands for the workers: answers each task at once, from a table of what networks of a size would do."""

    def __init__(
        self,
        lost: frozenset[int] = frozenset(),
        kill_after: int | None = None,
        refit_fails: bool = False,
        finals_over: int = 0,
    ) -> None:
        self.evaluated: list[str] = []
        self.inherited: dict[str, str] = {}
        self.bars: list[float] = []
        self.refits: list[str] = []
        self.finals: list[str] = []
        self._lost, self._kill_after, self._refit_fails, self._finals_over = lost, kill_after, refit_fails, finals_over

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if fn is score_on_test:
            future.set_result(0.5)
            return future
        if fn is evaluate and not args[2]:  # no finalist
            if len(self.evaluated) == self._kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            self.evaluated.append(args[0].id)
            self.bars.append(args[1].bar)
            if args[3]:
                self.inherited[args[0].id] = args[3].architecture.id
            if len(self.evaluated) - 1 in self._lost:
                future.set_exception(WorkerLostError("the worker process died"))
                return future
        outcome = self._outcome(fn, args[0])
        if fn is evaluate and args[2] and not args[1].refit:
            self.finals.append(args[0].id)
            if len(self.finals) <= self._finals_over:
                outcome = Outcome(Evaluation("over_limit", 0.0, reason="latency_ms=2 (is 2.1)"))
        if fn is evaluate and args[1].refit:
            self.refits.append(args[0].id)
            status = "over_limit" if self._refit_fails else "ok"
            outcome = replace(outcome, evaluation=replace(outcome.evaluation, status=status, accuracy=1.0))
        future.set_result(outcome)
        return future

    @staticmethod
    def _outcome(fn: Any, architecture: Any) -> Outcome:
        resources = {"latency_ms": 1.0 + len(architecture.layers), "ram_bytes": 4_000.0, "flash_bytes": 9_000.0}
        accuracy = None if fn is measure_untrained else 0.5 + 0.01 * len(architecture.layers)
        measurement = Measurement("cortex-m4", "emulated", resources["latency_ms"], np.zeros((1, 10), np.int8))
        early = accuracy and accuracy - 0.2
        evaluation = Evaluation("ok", accuracy or 0.0, accuracy, resources, early_reward=early)
        trained = Trained(architecture, {"head_softmax": (np.zeros(2, np.float32),)})
        return Outcome(evaluation, ConvertedModel("tflite", b""), measurement, trained=trained)


def settings(**changes: Any) -> SearchSettings:
    """Of a controller that learns, and takes no time."""
    given = {"dataset": f"arrays:{os.environ['TINY_DATASET']}", "trials": 8, "minutes": None, "workers": 2}
    return SearchSettings(**{**given, "controller": "evolution", **changes})


@pytest.fixture(autouse=True)
def tiny_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    path = tmp_path / "noise.npz"
    np.savez(
        path,
        x=rng.standard_normal((12, 16_000)).astype(np.float32) / 10,
        y=y,
        labels=np.array(["yes", "no"]),
        split=np.repeat(["train", "validation", "test"], 4),
    )
    monkeypatch.setenv("TINY_DATASET", str(path))
    yield
    for folder in opened:
        folder.close()
    opened.clear()


opened: list[RunFolder] = []


def open_run(path: Path, resume: bool = False, **changes: Any) -> RunFolder:
    opened.append(RunFolder(path, settings(**changes).identity(), resume))
    return opened[-1]


def test_a_lost_worker_costs_its_trial_only(tmp_path: Path) -> None:
    folder = open_run(tmp_path / "run")
    result = run_search(settings(), folder, executor=Answers(lost=frozenset({2, 5})))
    statuses = [trial.evaluation.status for trial in result.trials]
    assert statuses.count("failed") == 2
    assert statuses.count("ok") == 6
    assert result.outcome.evaluation.status == "ok"


def test_the_winner_is_the_best_on_validation(tmp_path: Path) -> None:
    result = run_search(settings(), open_run(tmp_path / "run"), executor=Answers())
    accuracies = [trial.evaluation.accuracy or 0.0 for trial in result.trials]
    assert result.outcome.evaluation.accuracy == max(accuracies)


def test_finalists_are_left_the_time_that_they_need() -> None:
    def trial(number: int, channels: int, reward: float, train_s: float) -> Trial:
        evaluation = Evaluation("ok", reward, reward, seconds={"convert": 2.0, "train": train_s})
        return Trial(number, Proposal(number, seed_architecture(2, channels=channels)), evaluation, 10.0)

    trials = [trial(0, 8, 0.9, 10.0), trial(1, 16, 0.95, 20.0), trial(2, 8, 0.8, 1.0), trial(3, 24, 0.7, 99.0)]
    assert [each.number for each in ranked(trials)] == [1, 0, 3]
    assert [[final_s(each, 12.5) for each in group] for group in finalists(trials, 2)] == [[256.0, 131.0], [1243.5]]
    assert [rounds(2, 1, False), rounds(2, 1, True), rounds(2, 2, False), rounds(2, 2, True)] == [2, 4, 1, 3]
    clock = RunClock(MemoryStore(), minutes=20)
    assert clock.explore_until_s(256.0) == 944.0
    assert clock.explore_until_s(float("inf")) == clock.explore_until_s(700.0) == 600.0
    assert RunClock(MemoryStore(), None).explore_until_s(256.0) == float("inf")


@pytest.mark.parametrize("fails", [False, True])
def test_the_winner_alone_is_trained_on_validation_too(tmp_path: Path, fails: bool) -> None:
    """It keeps the accuracy that it was chosen by; where the second training fails it stays what it was."""
    workers = Answers(refit_fails=fails)
    result = run_search(settings(refit=True), open_run(tmp_path / "run", refit=True), executor=workers)
    assert workers.refits == [result.architecture.id]
    assert result.refit is not fails
    assert result.outcome.evaluation.status == "ok"
    assert result.outcome.evaluation.accuracy == max(trial.evaluation.accuracy or 0.0 for trial in result.trials)


def test_where_training_brings_the_finalists_over_a_limit_the_next_are_trained(tmp_path: Path) -> None:
    def best(trials: list[Trial], count: int) -> list[str]:
        return [trial.proposal.architecture.id for trial in ranked(trials)[:count]]

    workers = Answers(finals_over=3)
    result = run_search(settings(), open_run(tmp_path / "run"), executor=workers)
    assert workers.finals == best(result.trials, 4)
    assert result.architecture.id == workers.finals[3]
    with pytest.raises(
        LimitError, match=r"none of 6 finalists kept the limits after training; the first: latency_ms=2"
    ):
        run_search(settings(), open_run(tmp_path / "none"), executor=Answers(finals_over=8))


def test_later_networks_meet_a_bar_that_a_resumed_run_remembers(tmp_path: Path) -> None:
    workers = Answers()
    result = run_search(settings(trials=12), open_run(tmp_path / "run", trials=12), executor=workers)
    early = [trial.evaluation.early_reward or 0.0 for trial in result.trials]
    assert workers.bars[:8] == [0.0] * 8 and workers.bars[-1] == statistics.median(early[:10])  # two at a time
    opened.pop().close()
    more = Answers()
    run_search(settings(trials=13), open_run(tmp_path / "run", resume=True), executor=more)
    assert more.bars == [statistics.median(early)]
    free = Answers()
    run_search(settings(trials=12, halving=False), open_run(tmp_path / "free", halving=False), executor=free)
    assert free.bars == [0.0] * 12


def test_killed_and_resumed_loses_and_repeats_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(tests=str(Path(__file__).parent), run=str(run))],
        capture_output=True,
        text=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    kept = JournalStore(run / "trials.jsonl").replay()
    assert 0 < len(kept) < 8

    workers = Answers()
    result = run_search(settings(), open_run(run, resume=True), executor=workers)
    assert [trial.number for trial in result.trials] == list(range(8))
    assert result.trials[: len(kept)] == kept
    assert len(workers.evaluated) == 8 - len(kept)
    ids = [trial.proposal.architecture.id for trial in result.trials]
    assert len(set(ids)) == len(ids)


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_search as t
t.run_search(t.settings(), t.open_run(Path({run!r})), executor=t.Answers(kill_after=5))
"""


def test_another_runs_folder_is_refused(tmp_path: Path) -> None:
    run_search(settings(trials=1), open_run(tmp_path / "run"), executor=Answers())
    opened.pop().close()
    with pytest.raises(RunFolderError, match="another run's: its seed is 0, this one's 1"):
        open_run(tmp_path / "run", resume=True, seed=1)
    with pytest.raises(RunFolderError, match="--resume"):
        open_run(tmp_path / "run")
    with np.load(os.environ["TINY_DATASET"]) as stored:
        changed = {**stored, "labels": np.array(["yes", "stop"])}
    np.savez(os.environ["TINY_DATASET"], **changed)
    with pytest.raises(RunFolderError, match=r"its labels is \['yes', 'no'\], this one's \['yes', 'stop'\]"):
        open_run(tmp_path / "run", resume=True)


def test_a_class_that_nothing_is_trained_on_is_refused(tmp_path: Path) -> None:
    with np.load(os.environ["TINY_DATASET"]) as stored:
        split = np.where(stored["y"] == 1, "validation", stored["split"])
        np.savez(os.environ["TINY_DATASET"], **{**stored, "split": split})
    with pytest.raises(DatasetError, match=r"has none of no in its training split"):
        run_search(settings(), open_run(tmp_path / "run"), executor=Answers())


def test_a_search_may_begin_with_a_trained_network_for_other_words(tmp_path: Path) -> None:
    """Of three classes; the dataset has two. Another network, or other weights, are another run."""
    network = replace(seed_architecture(3), layers=seed_architecture(3).layers[:2])
    weights = {"head_softmax": (np.zeros(3, np.float32),)}
    workers = Answers()
    result = run_search(
        settings(start=Trained(network, weights)), open_run(tmp_path / "run", start=network), executor=workers
    )
    first = result.trials[0].proposal.architecture
    assert first == replace(network, classes=2)
    assert workers.inherited[first.id] == network.id
    # Two are asked for at a time: the second begins before the first is trained, and inherits nevertheless.
    proposals = [trial.proposal for trial in result.trials[1:]]
    assert [workers.inherited[proposal.architecture.id] for proposal in proposals if proposal.parent == first.id]
    assert len(workers.inherited) == len(result.trials)
    lost, scratch = Answers(lost=frozenset({0})), Answers()
    run_search(settings(start=Trained(network, weights)), open_run(tmp_path / "lost", start=network), executor=lost)
    assert list(lost.inherited.values())[:3] == [network.id] * 3
    asked = settings(start=Trained(network, weights), inherit=False)
    run_search(asked, open_run(tmp_path / "scratch", start=network, inherit=False), executor=scratch)
    assert list(scratch.inherited) == [first.id]
    one, other = (settings(start=Trained(network, {"head_softmax": (np.full(3, x, np.float32),)})) for x in (0.0, 1.0))
    assert one.identity() != other.identity() != settings(start=network).identity()
    with pytest.raises(ModelError, match=r"reads the front end's \(49, 10, 1\); it reads \(49, 40, 1\)"):
        wide = seed_architecture(2, (49, 40, 1))
        run_search(settings(start=wide), open_run(tmp_path / "wide", start=wide), executor=Answers())
    with pytest.raises(ModelError, match="networks of 1 to 12 layers; the one to start from has 13"):
        deep = seed_architecture(2, blocks=12)
        run_search(settings(start=deep), open_run(tmp_path / "deep", start=deep), executor=Answers())


def test_a_search_for_streams_has_networks_without_padding_in_time(tmp_path: Path) -> None:
    streams = {"streaming": True, "front_end": UNSEEN_VOICES_IN_STREAMS}
    result = run_search(settings(**streams), open_run(tmp_path / "run", **streams), executor=Answers())
    assert {trial.proposal.architecture.time_padding for trial in result.trials} == {"valid"}
    assert "streaming" not in settings().identity()  # runs from before there were any can be resumed
    padded = seed_architecture(2)
    with pytest.raises(ModelError, match=r'networks of time padding "valid", .* to start from has "same"'):
        run_search(settings(**streams, start=padded), open_run(tmp_path / "padded", **streams), executor=Answers())
    with pytest.raises(RenaError, match="loudness \"none\", not 'clip_peak'"):
        settings(streaming=True)


def test_an_impossible_limit_names_the_least_possible(tmp_path: Path) -> None:
    limits = (parse_limit("ram_bytes=3999"),)
    folder = open_run(tmp_path / "run", limits=limits)
    with pytest.raises(LimitError, match=r"no network .* meets ram_bytes=3999: the least possible on cortex-m is 4000"):
        run_search(settings(limits=limits), folder, executor=Answers())


@pytest.mark.slow
def test_a_real_search_survives_kill_9_of_a_worker_and_of_itself(tmp_path: Path) -> None:
    """Real processes: a worker is killed in its trial, then the run itself, then it is resumed to the end."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "rena_kws", "search", "--dataset", settings().dataset]
    command += ["--trials", "4", "--workers", "1", "--run", str(run), "--json"]
    search = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        worker = wait_for(lambda: next(iter(worker_pids(search.pid)), None))
        time.sleep(5)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: len(JournalStore(run / "trials.jsonl").replay()) >= 2 or None)
    finally:
        search.kill()
        search.wait()
    kept = JournalStore(run / "trials.jsonl").replay()
    assert [trial.evaluation.status for trial in kept].count("failed") <= 1
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = JournalStore(run / "trials.jsonl").replay()
    assert trials[: len(kept)] == kept
    assert [trial.number for trial in trials] == [0, 1, 2, 3]


def worker_pids(parent: int) -> list[int]:
    """The spawned workers of a process, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(int(stat.parent.name))
    return found


def wait_for(condition: Any, timeout_s: float = 240.0) -> Any:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if (found := condition()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError("nothing happened in time")


def test_a_network_begins_with_what_its_parent_learnt(tmp_path: Path) -> None:
    workers = Answers()
    result = run_search(settings(workers=1), open_run(tmp_path / "run"), executor=workers)
    proposals = [trial.proposal for trial in result.trials]
    assert workers.inherited == {proposal.architecture.id: proposal.parent for proposal in proposals if proposal.parent}
    assert workers.inherited
    workers = Answers()
    run_search(settings(inherit=False), open_run(tmp_path / "scratch", inherit=False), executor=workers)
    assert not workers.inherited


class Timed(Answers):
    """Training takes as long as networks have MACs: a minute for three million of them."""

    @staticmethod
    def _outcome(fn: Any, architecture: Any) -> Outcome:
        outcome = Answers._outcome(fn, architecture)
        seconds = {"train": 2e-5 * cost(architecture).macs}
        return replace(outcome, evaluation=replace(outcome.evaluation, seconds=seconds))


def test_no_network_is_tried_that_takes_much_of_the_search(tmp_path: Path) -> None:
    def longest_s(minutes: float | None) -> float:
        asked = settings(minutes=minutes, trials=16, workers=1)
        result = run_search(asked, open_run(tmp_path / f"run {minutes}"), executor=Timed())
        assert len(result.trials) == 16
        first, *others = (trial.evaluation.seconds["train"] for trial in result.trials)
        return max(others) / first

    assert longest_s(minutes=10) < 1.05  # a twentieth of the search's time is less than the first network took
    assert longest_s(minutes=None) > 2


def test_where_the_parent_was_not_trained_its_own_parent_is_asked(tmp_path: Path) -> None:
    workers = Answers(lost=frozenset({2, 3, 4}))
    result = run_search(settings(workers=1, trials=12), open_run(tmp_path / "run"), executor=workers)
    by_id = {trial.proposal.architecture.id: trial for trial in result.trials}
    for trial in result.trials[1:]:
        ancestor = by_id[trial.proposal.parent]
        while ancestor.evaluation.status != "ok":
            ancestor = by_id[ancestor.proposal.parent]
        found = workers.inherited.get(trial.proposal.architecture.id)
        assert found == ancestor.proposal.architecture.id


def test_a_search_killed_at_its_first_network_begins_with_it_again(tmp_path: Path) -> None:
    result = run_search(settings(), open_run(tmp_path / "run"), executor=Answers())
    opened.pop().close()
    trials = JournalStore(tmp_path / "run" / "trials.jsonl")
    lines = (tmp_path / "run" / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "trials.jsonl").write_text("".join(lines[1:3]))  # the second ended first
    first = result.trials[0].proposal
    run_search(settings(), open_run(tmp_path / "run", resume=True), executor=Answers())
    again = [trial.proposal for trial in trials.replay()]
    assert again[2] == first and first.number == 0
    assert [proposal.architecture.id for proposal in again].count(first.architecture.id) == 1


def test_a_finalist_is_given_its_time_before_it_counts_as_hung() -> None:
    network = seed_architecture(2)
    task = Task("cortex-m", "synthetic")
    for_an_hour = replace(task, training=TrainSettings(max_seconds=3600.0))
    assert _timeout_s(measure_untrained, network, task) == _timeout_s(evaluate, network, task, False, None) == HUNG_S
    assert _timeout_s(evaluate, network, for_an_hour, True, None) == HUNG_S + 3600.0
    assert _timeout_s(evaluate, network, task, True, None) is None
