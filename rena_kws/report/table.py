"""Trials as figures: which columns a report has, which candidates keep the limits, and both as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rena_kws.reward import Limit, over_limits
from rena_kws.store import Trial

STATUSES = {
    "ok": "trained and scored",
    "over_limit": "over a limit (not trained)",
    "stopped": "stopped early (the worse half)",
    "failed": "failed",
}


@dataclass(frozen=True)
class Column:
    """A resource as a column: its key in a trial's resources, its heading with the unit, its decimal places."""

    key: str
    heading: str
    decimals: int = 0

    def show(self, trial: Trial) -> str:
        """The figure with thousands separators; a dash where the device does not tell it."""
        value = trial.evaluation.resources.get(self.key)
        return "–" if value is None else f"{value:,.{self.decimals}f}"


RESOURCES = (
    Column("latency_ms", "latency ms", 3),
    Column("ram_bytes", "RAM bytes"),
    Column("flash_bytes", "flash bytes"),
    Column("params", "params"),
)


def columns_for(limits: Iterable[Limit]) -> tuple[Column, ...]:
    """The four usual resources, and whatever else a limit speaks of."""
    known = {column.key for column in RESOURCES}
    others = {limit.resource: Column(limit.resource, limit.resource, 3) for limit in limits}
    return (*RESOURCES, *(column for key, column in others.items() if key not in known))


def best_within(trials: Iterable[Trial], limits: Sequence[Limit]) -> list[Trial]:
    """The scored trials that keep every limit, the most accurate first; of equals the earlier one."""
    kept = [t for t in trials if t.evaluation.status == "ok" and not over_limits(limits, t.evaluation.resources)]
    return sorted(kept, key=lambda trial: (-(trial.evaluation.accuracy or 0.0), trial.number))


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def table_rows(trials: Iterable[Trial], columns: Sequence[Column]) -> list[list[str]]:
    """A row of texts a trial: number, accuracy, the columns."""
    return [
        [str(trial.number), percent(trial.evaluation.accuracy), *(column.show(trial) for column in columns)]
        for trial in trials
    ]


def headings(columns: Sequence[Column]) -> list[str]:
    return ["trial", "accuracy", *(column.heading for column in columns)]


def status_counts(trials: Iterable[Trial]) -> dict[str, int]:
    """Status → how many trials ended so; every status is there."""
    counts = Counter(trial.evaluation.status for trial in trials)
    return {status: counts.get(status, 0) for status in STATUSES}  # type: ignore[call-overload]


def stage_seconds(trials: Iterable[Trial]) -> dict[str, float]:
    """Stage → worker seconds spent in it over all trials, the longest first."""
    total: Counter[str] = Counter()
    for trial in trials:
        total.update(trial.evaluation.seconds)  # type: ignore[arg-type]  # a Counter adds up any number
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def render_table(trials: Sequence[Trial], limits: Sequence[Limit], top: int = 10) -> str:
    """The best `top` candidates within the limits, what became of the others, and where the time went."""
    columns = columns_for(limits)
    best = best_within(trials, limits)
    lines = _aligned([headings(columns), *table_rows(best[:top], columns)])
    if not best:
        lines = ["no candidate within the limits yet"]
    elif len(best) > top:
        lines.append(f"… and {len(best) - top} more within the limits")
    lines += ["", "limits:  " + (", ".join(map(str, limits)) or "none")]
    lines.append("trials:  " + ", ".join(f"{count} {STATUSES[key]}" for key, count in status_counts(trials).items()))
    if seconds := stage_seconds(trials):
        lines.append("seconds: " + ", ".join(f"{stage} {spent:,.1f}" for stage, spent in seconds.items()))
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, every column flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
