"""The search loop: ask, evaluate in workers, tell, store. Then train the best few for longer and pick the winner.

The winner is chosen on the validation split among finalists that keep every limit on the profile of their trained
model. The test split is scored once, for the winner, and decides nothing.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rena_kws import registry
from rena_kws.artifacts import Trained
from rena_kws.cluster import ClusterExecutor
from rena_kws.controller.base import Controller, Proposal
from rena_kws.devices import catalogue
from rena_kws.errors import DatasetError, RenaError
from rena_kws.finalists import (
    final_s,
    final_task,
    finalists,
    outcome_of,
    ranked,
    refit,
    rounds,
    score_on_test,
    train_finalists,
)
from rena_kws.halving import Halving
from rena_kws.pipeline import Outcome, Task, evaluate, measure_untrained
from rena_kws.profilers.base import profiler_for
from rena_kws.reward.limit_filter import LimitFilter
from rena_kws.reward.time_filter import LONGEST_TRIAL_S, TimeFilter
from rena_kws.run_clock import RunClock
from rena_kws.run_folder import RunFolder
from rena_kws.search_settings import SearchSettings
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.search_space import SearchSpace
from rena_kws.starting_point import given_network, refuse_impossible_limits, search_space, starting_network
from rena_kws.store import Trial
from rena_kws.train.settings import TrainSettings
from rena_kws.workers import WorkerPool

HUNG_S = 2 * LONGEST_TRIAL_S
"""What no worker needs for a candidate, a finalist's training aside."""
FINAL_ATTEMPTS = 3
"""How many groups of finalists are trained, where training brings all of one over a limit."""


@dataclass(frozen=True)
class Progress:
    """Where a search stands, told to whoever watches after each step."""

    stage: str
    elapsed_s: float
    trial: Trial | None = None
    trials: int = 0
    within_limits: int = 0
    best_accuracy: float | None = None


Watcher = Callable[[Progress], None]


@dataclass(frozen=True)
class SearchResult:
    """The winner, its figures and all trials. `outcome.evaluation.accuracy` is on validation, `test_accuracy` not. With
    `refit` the former is that of the winner before it was trained on validation too."""

    architecture: Architecture
    outcome: Outcome
    test_accuracy: float
    labels: tuple[str, ...]
    trials: list[Trial]
    refit: bool = False


def run_search(
    settings: SearchSettings,
    folder: RunFolder,
    watch: Watcher = lambda progress: None,
    executor: Executor | None = None,
) -> SearchResult:
    """Search, and return the winner. Raises `LimitError` where no network can meet the limits, or none was found."""
    clock = RunClock(folder.store, settings.minutes)
    pool = executor
    if pool is None and settings.cluster:
        pool = ClusterExecutor(settings.cluster)
        settings = replace(settings, workers=pool.workers)
    task = _task(settings)
    watch(Progress("preparing features", clock.elapsed_s))

    def tell(split: str, done: int, clips: int) -> None:
        watch(Progress(f"preparing features of {split}: {done:,} of {clips:,} clips", clock.elapsed_s))

    labels = prepare(task, tell)
    pool = pool or WorkerPool(settings.workers, _timeout_s)
    try:
        return _Search(settings, task, labels, folder, pool, clock, watch).run()
    finally:
        if executor is None:
            pool.shutdown(cancel_futures=True)


def _timeout_s(fn: Callable[..., Any], *arguments: Any) -> float | None:
    """When a worker counts as hung. A finalist trains for the time that is left to the run; where that has no end, for
    as long as it takes."""
    if fn is not evaluate or not arguments[2]:
        return HUNG_S
    training = arguments[1].training.max_seconds
    return None if training is None else HUNG_S + training


def prepare(task: Task, tell: Callable[[str, int, int], None] = lambda split, done, clips: None) -> tuple[str, ...]:
    """Fill the feature cache before workers start, so that they read it and none computes it twice → the labels.

    The test split's too, so that a run ends in its time; nobody reads them before the winner is chosen. `tell` is told
    the split, how many of its clips are done, and how many there are. Raises `DatasetError`, also for a label that
    nothing is trained on.
    """
    training = task.features("train", partial(tell, "train"))
    if missing := [label for y, label in enumerate(training.labels) if y not in training.y]:
        raise DatasetError(
            f"every class needs clips to train on; {task.dataset} has none of {', '.join(missing)} in its training "
            f"split: add some, leave it out with --keywords, or see `rena-kws data describe {task.dataset}`"
        )
    task.features("test", partial(tell, "test"))
    return tuple(task.features("validation", partial(tell, "validation")).labels)


class _Search:
    def __init__(
        self,
        settings: SearchSettings,
        task: Task,
        labels: tuple[str, ...],
        folder: RunFolder,
        pool: Executor,
        clock: RunClock,
        watch: Watcher,
    ) -> None:
        self.settings, self.task, self.labels = settings, task, labels
        self.store, self.weights = folder.store, folder.weights
        self.pool, self.clock, self.watch = pool, clock, watch
        self.space = SearchSpace.streaming() if settings.for_streams else search_space(task)
        self.may_fit = LimitFilter(() if settings.soft else settings.limits)
        self.halving = Halving()
        self.trials: list[Trial] = []

    def run(self) -> SearchResult:
        earlier = self.store.replay()
        if not earlier:
            refuse_impossible_limits(self.space, len(self.labels), self.task, self._measure)
        controller = self._controller(earlier)
        for trial in earlier:
            self._learn(controller, trial)
        self._explore(controller)
        return self._finish()

    def _controller(self, earlier: list[Trial]) -> Controller:
        """A controller begins with its seed, so a resumed run finds it in the store."""
        make = registry.load("controllers", self.settings.controller)
        first = [trial.proposal.architecture for trial in earlier if trial.proposal.number == 0]
        seed = first[0] if first else self._starting_network()
        search_s = self.clock.explore_until_s(finals_s=float("inf"))  # however long the finalists take
        self.in_time = TimeFilter(search_s, self.settings.workers, self.settings.trial_clips, seed)
        controller: Controller = make(self.space, seed, self.settings.seed, prefilter=self._is_worth_it)
        return controller

    def _starting_network(self) -> Architecture:
        if start := self.settings.start:
            network = start.architecture if isinstance(start, Trained) else start
            return given_network(network, self.space, len(self.labels), self.task)
        return starting_network(self.space, len(self.labels), self.task, self._measure, self.may_fit)

    def _is_worth_it(self, architecture: Architecture) -> bool:
        return self.may_fit(architecture) and self.in_time(architecture)

    def _measure(self, architecture: Architecture) -> Outcome:
        outcome: Outcome = self.pool.submit(measure_untrained, architecture, self.task).result()
        return outcome

    def _explore(self, controller: Controller) -> None:
        """Keep every worker busy until the time or the trials are used up."""
        running: dict[Future[Outcome], Proposal] = {}
        started = len(self.trials)
        while True:
            while len(running) < self.settings.workers and self._may_start(started):
                proposal = controller.ask()
                parent = self._trained_ancestor(proposal)
                task = replace(self.task, bar=self.halving.bar) if self.settings.halving else self.task
                running[self.pool.submit(evaluate, proposal.architecture, task, False, parent)] = proposal
                started += 1
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in [future for future in running if future in done]:  # in the order in which they began
                self._record(controller, running.pop(future), outcome_of(future))

    def _may_start(self, started: int) -> bool:
        """Whether one more trial is asked for, and ends before the finalists' time begins."""
        within_trials = self.settings.trials is None or started < self.settings.trials
        ends_s = self.clock.elapsed_s + self._trial_s()
        return within_trials and ends_s < self.clock.explore_until_s(self._finals_s())

    def _trial_s(self) -> float:
        """What a trained trial took so far: the median, since one large network says little about the next."""
        trained = [t.evaluation.seconds for t in self.trials if t.evaluation.status in ("ok", "stopped")]
        return statistics.median(sum(seconds.values()) for seconds in trained) if trained else 0.0

    def _finals_s(self) -> float:
        """What the finalists will take, had the search found them by now."""
        longest = self.settings.final_clips / self.settings.trial_clips
        best = ranked(self.trials)[: self._finalists]
        return self._final_rounds * max((final_s(trial, longest) for trial in best), default=float("inf"))

    @property
    def _finalists(self) -> int:
        return max(2, self.settings.workers)

    @property
    def _final_rounds(self) -> int:
        return rounds(self._finalists, self.settings.workers, self.settings.refit)

    def _trained_ancestor(self, proposal: Proposal) -> Trained | None:
        """What the proposal can inherit: of its parent, or, where that was not trained, of the one before, and in the
        end of the network that the search was started from."""
        start = self.settings.start if isinstance(self.settings.start, Trained) else None
        if proposal.number == 0:
            return start
        parents = {trial.proposal.architecture.id: trial.proposal.parent for trial in self.trials}
        ancestor = proposal.parent
        while ancestor:
            if trained := self._trained(ancestor):
                return trained
            ancestor = parents.get(ancestor)
        return start if proposal.parent and self.settings.inherit else None

    def _trained(self, architecture_id: str) -> Trained | None:
        return self.weights.load(architecture_id) if self.settings.inherit else None

    def _record(self, controller: Controller, proposal: Proposal, outcome: Outcome) -> None:
        if outcome.trained:
            self.weights.save(outcome.trained)
        evaluation = self.halving.judged(outcome.evaluation)
        trial = Trial(len(self.trials), proposal, evaluation, self.clock.elapsed_s)
        self.store.append(trial)
        self._learn(controller, trial)
        good = [t.evaluation.accuracy or 0.0 for t in self.trials if t.evaluation.status == "ok"]
        best = max(good, default=None)
        self.watch(Progress("searching", self.clock.elapsed_s, trial, len(self.trials), len(good), best))

    def _learn(self, controller: Controller, trial: Trial) -> None:
        self.trials.append(trial)
        self.halving.learn(trial.evaluation)
        self.may_fit.learn(trial.proposal.architecture, trial.evaluation.resources)
        if trial.evaluation.status == "ok" and (train_s := trial.evaluation.seconds.get("train")):
            self.in_time.learn(trial.proposal.architecture, train_s)
        controller.tell(trial.proposal, trial.evaluation)

    def _finish(self) -> SearchResult:
        self.watch(Progress("training finalists", self.clock.elapsed_s, None, len(self.trials)))
        groups = finalists(self.trials, self._finalists)[:FINAL_ATTEMPTS]
        task_of = partial(self._final_task, rounds=self._final_rounds)
        winner, chosen = train_finalists(groups, task_of, self.pool, self._trained)
        outcome = chosen
        if self.settings.refit:
            self.watch(Progress("training the winner on validation too", self.clock.elapsed_s, None, len(self.trials)))
            outcome = refit(winner, chosen, self._final_task(winner, 1), self.pool, self._trained)
        test_accuracy = self.pool.submit(score_on_test, outcome, self.task).result()
        self.watch(Progress("done", self.clock.elapsed_s, None, len(self.trials)))
        network = winner.proposal.architecture
        return SearchResult(network, outcome, test_accuracy, self.labels, self.trials, outcome is not chosen)

    def _final_task(self, trial: Trial, rounds: int) -> Task:
        """For a training that takes the first of `rounds` equal parts of the time that is left."""
        remaining_s = self.clock.remaining_s
        share_s = None if remaining_s is None else remaining_s / rounds
        return final_task(self.task, trial, self.settings.final_clips, share_s)


def _task(settings: SearchSettings) -> Task:
    device = catalogue.get(settings.device)
    for name in {device.name} | {limit.device for limit in settings.limits if limit.device}:
        catalogue.get(name)
    if reason := profiler_for(device).unavailable():
        raise RenaError(reason)
    return Task(
        device=settings.device,
        dataset=settings.dataset,
        dataset_options=dict(settings.dataset_options),
        limits=settings.limits,
        soft=settings.soft,
        front_end=settings.front_end,
        training=TrainSettings(seed=settings.seed),
        train_clips=settings.trial_clips,
        seed=settings.seed,
        threads=1 if settings.cluster else max(1, (os.cpu_count() or 1) // settings.workers),
    )
