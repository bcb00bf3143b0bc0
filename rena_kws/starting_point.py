"""Before the search: what networks there are, limits that none of them can meet, and the network to begin with.

Edits are small, and a search has time for a few dozen networks: where it begins matters. It is the largest of a ladder
of DS-CNNs that keeps the hard limits on the device, as measured before any training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rena_kws.devices import catalogue
from rena_kws.errors import CandidateError, DoesNotFitError, LimitError, ModelError
from rena_kws.pipeline import Outcome, Task
from rena_kws.profilers.base import profiler_for
from rena_kws.reward import over_limits
from rena_kws.spec.architecture import KINDS, Architecture
from rena_kws.spec.search_space import SearchSpace, ladder, smallest

Measure = Callable[[Architecture], Outcome]
"""What a network costs on the device, untrained."""


def search_space(task: Task) -> SearchSpace:
    """The networks that every device runs which the task names."""
    devices = {task.device} | {limit.device for limit in task.limits if limit.device}
    known = [profiler_for(catalogue.get(name)).kinds for name in devices]
    return SearchSpace(kinds=tuple(kind for kind in KINDS if all(kind in runs for runs in known)))


def refuse_impossible_limits(space: SearchSpace, classes: int, task: Task, measure: Measure) -> None:
    """Measure the least network of the space; what breaks a hard limit there breaks it everywhere: `LimitError`."""
    hard = [] if task.soft else [limit for limit in task.limits if not limit.at_least]
    if not hard:
        return
    resources = measure(smallest(space, classes, task.front_end.shape)).evaluation.resources
    for limit in hard:
        if limit.violation(resources) > 0:
            raise LimitError(
                f"no network of the search space meets {limit}: the least possible on "
                f"{limit.device or task.device} is {resources[limit.resource]:.6g}"
            )


def given_network(network: Architecture, space: SearchSpace, classes: int, task: Task) -> Architecture:
    """The user's network for so many classes. Raises `ModelError` for one that the search could not go on from."""
    if network.input_shape != task.front_end.shape:
        raise ModelError(
            f"a network to start from reads the front end's {task.front_end.shape}; it reads {network.input_shape}"
        )
    if network.time_padding != space.time_padding:
        raise ModelError(
            f'this search has networks of time padding "{space.time_padding}", those for streams "valid"; '
            f'the one to start from has "{network.time_padding}"'
        )
    if not space.min_layers <= (layers := len(network.layers)) <= space.max_layers:
        raise ModelError(
            f"this search has networks of {space.min_layers} to {space.max_layers} layers; "
            f"the one to start from has {layers}"
        )
    if missing := sorted({layer.kind for layer in network.layers} - set(space.kinds)):
        raise ModelError(
            f"this search has layers of {', '.join(space.kinds)}; the network to start from has {missing[0]}"
        )
    return replace(network, classes=classes)


def starting_network(
    space: SearchSpace, classes: int, task: Task, measure: Measure, may_fit: Callable[[Architecture], bool]
) -> Architecture:
    """The first of the ladder that keeps the hard limits; its last where none does."""
    rungs = ladder(classes, task.front_end.shape, space.time_padding)
    if task.soft or not task.limits:
        return rungs[0]
    for network in rungs:
        if not may_fit(network):
            continue
        try:
            resources = measure(network).evaluation.resources
        except (CandidateError, DoesNotFitError):
            continue
        if not over_limits(task.limits, resources):
            return network
    return rungs[-1]
