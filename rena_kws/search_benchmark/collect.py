"""Train and measure networks of the space for the table: a spread over all sizes, and the neighbours of good ones.

A search looks hardest near its best, and a controller on the surrogate wherever that is too kind. So of three networks
one is a random walk from a rung of the ladder, one an edit of one of the best under a limit set, and one the best that
evolution finds on the surrogate of the rows so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import replace
from pathlib import Path

import numpy as np

from rena_kws.controller.decisions import UniformChooser, decide
from rena_kws.datasets.base import SPLITS
from rena_kws.errors import InvalidArchitectureError
from rena_kws.pipeline import Outcome, Task, evaluate
from rena_kws.reward import Limit, over_limits
from rena_kws.search_benchmark import table
from rena_kws.search_benchmark.surrogate import Surrogate
from rena_kws.search_benchmark.table import Row
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import cost
from rena_kws.spec.edits import apply
from rena_kws.spec.search_space import SearchSpace, ladder

LIMIT_SETS: dict[str, tuple[Limit, ...]] = {
    "loose": (Limit("latency_ms", 30), Limit("ram_bytes", 32_000), Limit("flash_bytes", 80_000)),
    "10 ms": (Limit("latency_ms", 10),),
    "16 kB and 48 kB": (Limit("ram_bytes", 16_000), Limit("flash_bytes", 48_000)),
}
"""The settings in which controllers are compared."""
BOUNDS = (Limit("latency_ms", 45), Limit("ram_bytes", 64_000), Limit("flash_bytes", 128_000))
"""Larger networks are not trained: no setting allows them, and they take long."""
ELITES = 12
GENERATIONS = 8


def score(outcome: Outcome, task: Task) -> float:
    """int8 accuracy over the clips of all unheard voices, those of validation and of test."""
    from rena_kws.convert.evaluate_int8 import accuracy

    assert outcome.model is not None and outcome.evaluation.accuracy is not None
    test, validation = task.features("test"), task.features("validation")
    share = len(test.y) / (len(test.y) + len(validation.y))
    return share * accuracy(outcome.model, test)[0] + (1 - share) * outcome.evaluation.accuracy


def measure_row(architecture: Architecture, task: Task) -> Row | None:
    """A row of the table; None for a network that breaks the bounds or cannot be built."""
    outcome = evaluate(architecture, replace(task, limits=BOUNDS))
    if outcome.evaluation.status != "ok":
        return None
    return Row(architecture, score(outcome, task), outcome.evaluation.resources, outcome.evaluation.seconds["train"])


def collect(path: Path, task: Task, count: int, seed: int, pool: Executor, workers: int) -> Iterator[Sequence[Row]]:
    """Bring the table at `path` to `count` rows, each kept as it comes, and tell the rows after each.

    What the table holds already counts.
    """
    rows = table.read(path) if path.exists() else table.begin(path, task.device)
    for split in SPLITS:
        task.features(split)  # once, before the workers start
    tried = {row.architecture.id for row in rows}
    running: dict[Future[Row | None], Architecture] = {}
    number = len(rows)
    while len(rows) < count:
        while len(running) < workers:
            rng = np.random.default_rng([seed, number])
            number += 1
            architecture = _sample(rows, number, len(task.features("validation").labels), task, rng)
            if architecture is not None and architecture.id not in tried:
                tried.add(architecture.id)
                running[pool.submit(measure_row, architecture, task)] = architecture
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            del running[future]
            if row := future.result():
                table.append(path, row)
                rows.append(row)
                yield rows


def _sample(
    rows: Sequence[Row], number: int, classes: int, task: Task, rng: np.random.Generator
) -> Architecture | None:
    """A walk, a neighbour of a good one or a find on the surrogate, in turn; walks only until there is a choice."""
    rungs = ladder(classes, task.front_end.shape)
    limits = list(LIMIT_SETS.values())[number // 3 % len(LIMIT_SETS)]
    within = sorted((row for row in rows if not over_limits(limits, row.resources)), key=lambda row: -row.accuracy)
    elites = [row.architecture for row in within[:ELITES]]
    if number % 3 == 0 or len(elites) < ELITES:
        return _walk(rungs[int(rng.integers(len(rungs)))], int(rng.integers(1, 9)), rng)
    if number % 3 == 1:
        return _walk(elites[int(rng.integers(ELITES))], int(rng.integers(1, 4)), rng)
    return _find(Surrogate(rows), elites, max(cost(row.architecture).macs for row in within), rng)


def _find(
    surrogate: Surrogate, elites: Sequence[Architecture], most_macs: int, rng: np.random.Generator
) -> Architecture:
    """The best of `GENERATIONS` generations of edits, none with more MACs than what was seen to keep the limits."""
    parents = list(elites)
    for _ in range(GENERATIONS):
        children = [_walk(parents[int(rng.integers(len(parents)))], 1, rng) for _ in range(4 * ELITES)]
        allowed = [child for child in children if child is not None and cost(child).macs <= most_macs]
        family = list({member.id: member for member in (*parents, *allowed)}.values())
        order = np.argsort(-surrogate.accuracies(family))
        parents = [family[index] for index in order[:ELITES]]
    return parents[int(rng.integers(ELITES))]


def _walk(architecture: Architecture, edits: int, rng: np.random.Generator) -> Architecture | None:
    space, chooser = SearchSpace(), UniformChooser(rng)
    try:
        for _ in range(edits):
            architecture = apply(architecture, decide(architecture, space, chooser), space)
    except InvalidArchitectureError:
        return None
    return architecture
