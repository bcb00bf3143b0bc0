"""How a search went: what was found when, how near to the limits it looked, and which edits led to the winner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rena_kws.report.curves import Curve, draw
from rena_kws.report.pareto import pareto_front
from rena_kws.reward import Limit, over_limits
from rena_kws.spec.architecture import FLAT
from rena_kws.spec.edits import Edit, Insert, Remove
from rena_kws.store import Trial

FRONTS = 4
"""Points in time at which the Pareto front is drawn, the end included."""


def pictures(trials: Sequence[Trial], limits: Sequence[Limit]) -> list[str]:
    """SVGs over the trials in the order they ended; without trials none."""
    if not trials:
        return []
    found = [_accuracy(trials, limits), _resources(trials, limits), _fronts(trials, limits), _entropy(trials)]
    return [picture for picture in found if picture]


def _accuracy(trials: Sequence[Trial], limits: Sequence[Limit]) -> str:
    """Of every candidate that was trained and keeps the limits, and the best so far."""
    kept = [
        (trial.number + 1, 100 * trial.evaluation.accuracy)
        for trial in trials
        if trial.evaluation.accuracy is not None and not over_limits(limits, trial.evaluation.resources)
    ]
    if not kept:
        return ""
    x, y = zip(*kept, strict=True)
    best = [max(y[: index + 1]) for index in range(len(y))]
    curves = [Curve("best so far", x, best), Curve("each candidate", x, y)]
    return draw(curves, "Accuracy over the trials", "trial", "accuracy, int8, validation [%]")


def _resources(trials: Sequence[Trial], limits: Sequence[Limit]) -> str:
    """Of every measured candidate, as a share of its limit: 100 % is all that there is."""
    curves = []
    for limit in limits:
        known = [trial for trial in trials if limit.resource in trial.evaluation.resources]
        shares = [100 * trial.evaluation.resources[limit.resource] / limit.value for trial in known]
        curves.append(Curve(limit.resource, [trial.number + 1 for trial in known], shares))
    if not any(curve.x for curve in curves):
        return ""
    return draw(curves, "Resources over the trials", "trial", "share of the limit [%]")


def _fronts(trials: Sequence[Trial], limits: Sequence[Limit]) -> str:
    """The Pareto front of accuracy and latency after each quarter of the trials."""
    trained = [
        trial
        for trial in trials
        if trial.evaluation.accuracy is not None
        and "latency_ms" in trial.evaluation.resources
        and not over_limits(limits, trial.evaluation.resources)
    ]
    if len(trained) < FRONTS:
        return ""
    curves = []
    for quarter in range(FRONTS, 0, -1):
        part = trained[: len(trained) * quarter // FRONTS]
        points = [(trial.evaluation.resources["latency_ms"], trial.evaluation.accuracy or 0.0) for trial in part]
        front = [points[index] for index in pareto_front(points)]
        curves.append(
            Curve(f"first {len(part)}", [cost for cost, _ in front], [100 * accuracy for _, accuracy in front])
        )
    return draw(curves, "Pareto front over time", "latency [ms]", "accuracy, int8, validation [%]")


def _entropy(trials: Sequence[Trial]) -> str:
    """How undecided the policy was: the mean entropy of its decisions for each proposal."""
    known = [(trial.number + 1, trial.proposal.log["entropy"]) for trial in trials if "entropy" in trial.proposal.log]
    if not known:
        return ""
    x, y = zip(*known, strict=True)
    return draw([Curve("entropy", x, y)], "The policy's indecision", "trial", "entropy of a decision [nats]")


@dataclass(frozen=True)
class Ancestor:
    """A step on the way to a network: what was done to the one before it, and the trial that evaluated it."""

    done: str
    trial: Trial


def family(trials: Sequence[Trial], network: str | None) -> list[Ancestor]:
    """The ancestors of a network, the first one first and itself last; empty where no trial evaluated it."""
    by_id: dict[str, Trial] = {}
    for trial in trials:
        by_id.setdefault(trial.proposal.architecture.id, trial)
    line: list[Ancestor] = []
    seen: set[str] = set()
    while network in by_id and network not in seen:
        seen.add(network)
        proposal = by_id[network].proposal
        done = ", ".join(map(describe, proposal.edits)) or ("first network" if proposal.number == 0 else "made anew")
        line.append(Ancestor(done, by_id[network]))
        network = proposal.parent
    return line[::-1]


def describe(edit: Edit) -> str:
    """An edit in words: `insert conv2d (3 × 3, stride 1 × 1, 24 channels) behind layer 2`."""
    if isinstance(edit, Remove):
        return f"remove layer {edit.layer}"
    if isinstance(edit, Insert):
        layer = edit.layer
        behind, *skips = layer.sources
        where = f"behind layer {behind}" if behind else "behind the input"
        with_skips = "".join(f" with layer {skip}" if skip else " with the input" for skip in skips)
        return f"insert {layer.kind}{_values(layer.as_json())} {where}{with_skips}"
    value = " × ".join(map(str, edit.value)) if isinstance(edit.value, tuple) else edit.value
    return f"{edit.name} of layer {edit.layer} becomes {value}"


def _values(layer: Mapping[str, object]) -> str:
    parts = []
    if "kernel_h" in layer:
        parts.append(f"{layer['kernel_h']} × {layer['kernel_w']}")
    if isinstance(stride := layer.get("stride"), list) and stride != [1, 1]:
        parts.append("stride " + " × ".join(map(str, stride)))
    if "dilation" in layer:
        parts.append(f"dilation {layer['dilation']}")
    if "channels" in layer:
        parts.append(f"{layer['channels']} {'units' if layer['kind'] in FLAT else 'channels'}")
    return f" ({', '.join(parts)})" if parts else ""
