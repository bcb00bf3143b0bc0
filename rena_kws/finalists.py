"""After the search: the best few networks are trained for longer, and the best of them within the limits wins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace

from rena_kws.artifacts import Evaluation, Trained
from rena_kws.errors import CandidateError, LimitError, WorkerLostError
from rena_kws.pipeline import Outcome, Task, evaluate
from rena_kws.store import Trial
from rena_kws.train.settings import FOR_LONG_TRAINING

LEAST_TRAINING_S = 10.0
REFIT_ROUNDS = 2
"""It is what is shipped; the training before only tells which network that is."""


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """The best trial of each network that kept the limits, the best network first."""
    order = sorted(
        (trial for trial in trials if trial.evaluation.status == "ok"),
        key=lambda trial: (-trial.evaluation.reward, trial.number),
    )
    first: dict[str, Trial] = {}
    for trial in order:
        first.setdefault(trial.proposal.architecture.id, trial)
    return list(first.values())


def finalists(trials: Iterable[Trial], count: int) -> list[list[Trial]]:
    """The best `count` networks, the next best, and so on. Raises `LimitError` where no trial kept the limits."""
    trials = list(trials)
    if not (best := ranked(trials)):
        raise LimitError(_why_none(trials))
    return [best[start : start + count] for start in range(0, len(best), count)]


def rounds(finalists: int, workers: int, refit: bool) -> int:
    """Into how many equal parts the time for long trainings is cut: `workers` finalists at a time take one, and the
    winner once more takes `REFIT_ROUNDS`."""
    return math.ceil(finalists / workers) + refit * REFIT_ROUNDS


def final_s(trial: Trial, times: float) -> float:
    """What a finalist takes that trains for `times` as long as its trial did."""
    return times * _train_s(trial) + 3 * _rest_s(trial)


def final_task(task: Task, trial: Trial, clips: int, remaining_s: float | None) -> Task:
    """A finalist takes the time that is left, but never less than its trial had: it would come out worse."""
    training = replace(task.training, augmentation=FOR_LONG_TRAINING)
    if remaining_s is not None:
        seconds = max(LEAST_TRAINING_S, _train_s(trial), remaining_s - 3 * _rest_s(trial))
        training = replace(training, max_seconds=seconds)
    return replace(task, training=training, train_clips=clips)


def _train_s(trial: Trial) -> float:
    return trial.evaluation.seconds.get("train", 0.0)


def _rest_s(trial: Trial) -> float:
    """Conversion and profiles, which come once more for a finalist, and twice, with ONNX thrice."""
    return sum(trial.evaluation.seconds.values()) - _train_s(trial)


def train_finalists(
    groups: Iterable[list[Trial]],
    task_of: Callable[[Trial], Task],
    pool: Executor,
    trained: Callable[[str], Trained | None],
) -> tuple[Trial, Outcome]:
    """Train a group in parallel, each network from what `trained` says it has learnt; the winner is the best on
    validation of those that keep every limit on their final profile. Where none does, the next group is trained."""
    reasons = []
    for group in groups:
        futures = [(trial, _training(trial, task_of(trial), pool, trained)) for trial in group]
        outcomes = [(trial, outcome_of(future)) for trial, future in futures]
        if good := [pair for pair in outcomes if pair[1].evaluation.status == "ok"]:
            return max(good, key=lambda pair: pair[1].evaluation.reward)
        reasons += [outcome.evaluation.reason for _, outcome in outcomes]
    raise LimitError(f"none of {len(reasons)} finalists kept the limits after training; the first: {reasons[0]}")


def refit(
    winner: Trial, chosen: Outcome, task: Task, pool: Executor, trained: Callable[[str], Trained | None]
) -> Outcome:
    """The winner trained once more, from what it had learnt before it was `chosen`, on the validation split too. Its
    accuracy stays the one that it was chosen by: the clips say nothing about it any more. Where it now breaks a limit
    or fails, the winner as it was."""
    again = outcome_of(_training(winner, replace(task, refit=True), pool, trained))
    if again.evaluation.status != "ok":
        return chosen
    accuracy, reward = chosen.evaluation.accuracy, chosen.evaluation.reward
    return replace(again, evaluation=replace(again.evaluation, accuracy=accuracy, reward=reward))


def _training(trial: Trial, task: Task, pool: Executor, trained: Callable[[str], Trained | None]) -> Future[Outcome]:
    network = trial.proposal.architecture
    return pool.submit(evaluate, network, task, True, trained(network.id))


def outcome_of(future: Future[Outcome]) -> Outcome:
    """What the worker says; one that was lost costs its candidate only. Whatever else goes wrong ends the search."""
    try:
        return future.result()
    except (WorkerLostError, CandidateError) as error:
        return Outcome(Evaluation("failed", 0.0, reason=str(error)))


def score_on_test(outcome: Outcome, task: Task) -> float:
    """int8 accuracy of the winner on the test split, looked at for the first time."""
    from rena_kws.convert.evaluate_int8 import accuracy

    assert outcome.model is not None
    return accuracy(outcome.model, task.features("test"))[0]


def _why_none(trials: list[Trial]) -> str:
    reasons = [trial.evaluation.reason for trial in trials if trial.evaluation.reason]
    last = f"; the last one: {reasons[-1]}" if reasons else ""
    return f"none of {len(trials)} candidates kept the limits{last}; give it more --minutes or wider limits"
