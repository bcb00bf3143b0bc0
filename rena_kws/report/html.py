"""A run as one HTML page: no script, nothing fetched, readable on paper, in the dark and in twenty years.

Every value that comes from a run is escaped where it enters the page, in `_text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rena_kws.report import history, table
from rena_kws.report.arena import arena_picture
from rena_kws.report.svg import Point, scatter
from rena_kws.reward import Limit, over_limits, parse_limit
from rena_kws.run_folder import write_text
from rena_kws.spec.architecture import Architecture
from rena_kws.store import Trial

TOP = 20
PLOTS = (("latency", "latency_ms", "ms"), ("RAM", "ram_bytes", "bytes"), ("flash", "flash_bytes", "bytes"))

HOW = {
    "measured": "Measured: the device itself ran the network; latency is the median of the samples.",
    "emulated": (
        "Emulated: the firmware's own image ran in an emulator of the core, which computed every output. Cycles come "
        "from a model of the core's instruction timings, not from a clock; RAM and flash are those of the linked image."
    ),
    "estimated": "Estimated: a formula gave the figures; nothing was run.",
}

STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--soft:#5b6673;--line:#dde2e8;--back:#fff;--panel:#f5f7fa;--good:#0b6bcb}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b4;--line:#2c3541;--back:#0f141b;--panel:#151b23;
--good:#5aa9f5}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1160px;margin:2rem auto;
padding:0 1.2rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}p{max-width:75ch}.soft{color:var(--soft)}
.figures{display:flex;flex-wrap:wrap;gap:.7rem;padding:0;margin:1rem 0}
.figures div{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.6rem 1rem;min-width:7.5rem}
.figures dt{color:var(--soft);font-size:.82rem}.figures dd{margin:0;font-size:1.35rem;font-weight:600;
font-variant-numeric:tabular-nums}.figures small{font-size:.78rem;font-weight:400;color:var(--soft);display:block}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:1rem}
.plots figure{margin:0;border:1px solid var(--line);border-radius:8px;overflow:hidden}
.plots svg{display:block;width:100%}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.25rem .8rem;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}td.left,th.left{text-align:left;white-space:normal}
tr.winner td{color:var(--good);font-weight:600}
@media print{:root{--ink:#000;--soft:#444;--line:#ccc;--back:#fff;--panel:#fff}body{margin:0;max-width:none}
.plots{grid-template-columns:1fr 1fr}figure,tr,.figures div{break-inside:avoid}h2{break-after:avoid}}
"""


def write_html(
    path: Path, settings: Mapping[str, Any], trials: Sequence[Trial], winner: Mapping[str, Any] | None
) -> None:
    """Write the report of a run. Raises `RunFolderError` where the file cannot be written.

    `settings` is the run's run.json. `winner` may have `architecture` (its JSON), `accuracy` (int8, validation),
    `test_accuracy`, `labels`, `measurement` (`Measurement.as_json` of its trained model) and `arena` (its firmware's
    `ArenaBlock`s). What lacks is left out.
    """
    write_text(path, render_html(settings, trials, winner))


def render_html(settings: Mapping[str, Any], trials: Sequence[Trial], winner: Mapping[str, Any] | None) -> str:
    """The page that `write_html` writes."""
    limits = tuple(parse_limit(text) for text in settings.get("limits", ()))
    winner_id = _architecture_id(winner)
    sections = [
        _header(settings, limits),
        _winner(winner) if winner else '<p class="soft">This run has no winner yet.</p>',
        _plots(trials, limits, winner_id),
        _best(trials, limits, winner_id),
        _history(trials, limits),
        _family(trials, winner_id),
        _spent(trials),
        _network(winner),
        _layers(winner),
        _memory(winner),
        _how(winner),
        _settings(settings),
    ]
    title = _text(f"rena-kws: {settings.get('device', '')}, {settings.get('dataset', '')}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(filter(None, sections)) + "\n</body></html>\n"
    )


def _text(value: object) -> str:
    return escape(str(value))


def _header(settings: Mapping[str, Any], limits: Iterable[Limit]) -> str:
    kind = "soft limits" if settings.get("soft") else "limits"
    asked = ", ".join(map(str, limits)) or "none"
    device, dataset = _text(settings.get("device", "?")), _text(settings.get("dataset", "?"))
    return f'<h1>Keyword spotting on {device}</h1><p class="soft">dataset {dataset} · {kind}: {_text(asked)}</p>'


def _winner(winner: Mapping[str, Any]) -> str:
    measured = winner.get("measurement") or {}
    how = measured.get("how", "")
    chosen_by = "validation, before training on it too" if winner.get("refit") else "validation split, chosen by"
    figures = [
        ("accuracy", _percent(winner.get("test_accuracy")), "int8, test split, scored once"),
        ("accuracy", _percent(winner.get("accuracy")), f"int8, {chosen_by}"),
        ("latency", _number(measured.get("latency_ms"), "ms", 3), how),
        ("RAM", _number(measured.get("ram_bytes"), "bytes"), how),
        ("flash", _number(measured.get("flash_bytes"), "bytes"), how),
        ("energy", _number(measured.get("energy_uj"), "µJ", 1), "data-sheet current × time"),
    ]
    boxes = "".join(
        f"<div><dt>{name}</dt><dd>{figure}<small>{_text(note)}</small></dd></div>"
        for name, figure, note in figures
        if figure
    )
    labels = ", ".join(map(str, winner.get("labels", ())))
    words = f'<p class="soft">labels: {_text(labels)}</p>' if labels else ""
    return f'<h2>Winner</h2><dl class="figures">{boxes}</dl>{words}'


def _plots(trials: Sequence[Trial], limits: Sequence[Limit], winner_id: str | None) -> str:
    figures = []
    for quantity, key, unit in PLOTS:
        points = [
            Point(
                cost=trial.evaluation.resources[key],
                accuracy=trial.evaluation.accuracy,
                name=f"trial {trial.number}",
                within_limits=not over_limits(limits, trial.evaluation.resources),
                is_winner=trial.proposal.architecture.id == winner_id,
            )
            for trial in trials
            if trial.evaluation.accuracy is not None and key in trial.evaluation.resources
        ]
        limit = next((limit.value for limit in limits if limit.resource == key), None)
        if points:
            figures.append(f"<figure>{scatter(points, quantity, unit, limit)}</figure>")
    if not figures:
        return ""
    note = (
        "A dot is a candidate after the search's short training; blue ones are the Pareto front: nothing is both "
        "cheaper and better. Hollow ones break a limit. The ring is the winner's network, then trained for longer."
    )
    return f'<h2>What a budget buys</h2><div class="plots">{"".join(figures)}</div><p class="soft">{note}</p>'


def _best(trials: Sequence[Trial], limits: Sequence[Limit], winner_id: str | None) -> str:
    columns = table.columns_for(limits)
    best = table.best_within(trials, limits)[:TOP]
    if not best:
        return "<h2>Candidates</h2><p>No candidate kept the limits.</p>"
    marked = [trial.proposal.architecture.id == winner_id for trial in best]
    return "<h2>Best candidates within the limits</h2>" + _table(
        table.headings(columns), table.table_rows(best, columns), marked
    )


def _history(trials: Sequence[Trial], limits: Sequence[Limit]) -> str:
    figures = "".join(f"<figure>{picture}</figure>" for picture in history.pictures(trials, limits))
    return f'<h2>How the search went</h2><div class="plots">{figures}</div>' if figures else ""


def _family(trials: Sequence[Trial], winner_id: str | None) -> str:
    line = history.family(trials, winner_id)
    if len(line) < 2:
        return ""
    rows = [
        [
            str(step.trial.number),
            step.done,
            _percent(step.trial.evaluation.accuracy),
            *(_number(step.trial.evaluation.resources.get(key), unit, int(unit == "ms")) for _, key, unit in PLOTS),
        ]
        for step in line
    ]
    heads = ["trial", "edit", "accuracy", *(quantity for quantity, _, _ in PLOTS)]
    return "<h2>The winner's family</h2>" + _table(heads, rows, left=(1,))


def _spent(trials: Sequence[Trial]) -> str:
    counts = [[str(count), what] for what, count in _counts(trials)]
    seconds = [[f"{spent:,.1f}", stage] for stage, spent in table.stage_seconds(trials).items()]
    both = _table(["trials", "became of them"], counts, left=(1,))
    if seconds:
        both += "<p></p>" + _table(["seconds", "of all workers spent in"], seconds, left=(1,))
    return "<h2>Trials and time</h2>" + both


def _counts(trials: Sequence[Trial]) -> list[tuple[str, int]]:
    return [(table.STATUSES[status], count) for status, count in table.status_counts(trials).items()]


def _network(winner: Mapping[str, Any] | None) -> str:
    layers = ((winner or {}).get("architecture") or {}).get("layers")
    if not layers:
        return ""
    rows = [
        [
            str(number),
            layer["kind"],
            ", ".join(map(str, layer["sources"])),
            ", ".join(f"{key} {_plain(value)}" for key, value in layer.items() if key not in ("kind", "sources")),
        ]
        for number, layer in enumerate(layers, start=1)
    ]
    note = '<p class="soft">Source 0 is the input. After the last layer: global average pool, dense, softmax.</p>'
    return "<h2>The winner's network</h2>" + _table(["layer", "kind", "reads", "with"], rows, left=(1, 3)) + note


def _layers(winner: Mapping[str, Any] | None) -> str:
    """What each step of the winner's inference costs."""
    layers = ((winner or {}).get("measurement") or {}).get("layers")
    if not layers:
        return ""
    in_cycles = all(layer.get("cycles") is not None for layer in layers)
    key, unit, decimals = ("cycles", "cycles", 0) if in_cycles else ("latency_ms", "ms", 4)
    total = sum(layer.get(key) or 0 for layer in layers) or 1
    rows = [
        [
            layer["name"],
            layer["op"],
            f"{layer['macs']:,}",
            _number(layer.get(key), "", decimals) or "–",
            f"{100 * (layer.get(key) or 0) / total:.1f} %",
        ]
        for layer in layers
    ]
    return "<h2>Where an inference spends its time</h2>" + _table(
        ["step", "op", "MACs", unit, "share"], rows, left=(0, 1)
    )


def _memory(winner: Mapping[str, Any] | None) -> str:
    """What the winner's arena holds while each layer runs."""
    blocks = (winner or {}).get("arena")
    layers = ((winner or {}).get("measurement") or {}).get("layers")
    if not blocks or not layers:
        return ""
    note = (
        "A block is a tensor, from the layer that writes it to the last that reads it; layers that write over their "
        "input share one. Dashed: scratch memory. Point at a block for its name. The stack comes on top."
    )
    picture = f'<div class="plots"><figure>{arena_picture(blocks, len(layers))}</figure></div>'
    return f'<h2>What the arena holds</h2>{picture}<p class="soft">{note}</p>'


def _how(winner: Mapping[str, Any] | None) -> str:
    measured = (winner or {}).get("measurement") or {}
    how = measured.get("how")
    said = [HOW[how]] if how in HOW else list(HOW.values())
    said.append(
        "Accuracy is that of the int8 model. The winner was chosen on validation; the test split was scored once."
    )
    said.append("RAM and flash count the runtime too: every section, the arena with input and output, and the stack.")
    environment = ", ".join(f"{key} {value}" for key, value in (measured.get("environment") or {}).items())
    lines = "".join(f"<li>{_text(line)}</li>" for line in said)
    made_with = f'<p class="soft">{_text(environment)}</p>' if environment else ""
    return f"<h2>How the figures were obtained</h2><ul>{lines}</ul>{made_with}"


def _settings(settings: Mapping[str, Any]) -> str:
    rows = [[key, _plain(value)] for key, value in sorted(settings.items()) if value not in (None, {}, [], "")]
    return "<h2>What was asked for</h2>" + _table(["setting", "value"], rows, left=(0, 1))


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[bool] = (), left: Sequence[int] = ()
) -> str:
    """Rows of plain texts as a table; the columns `left` are flush left, rows `marked` are the winner's."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        sides = [' class="left"' if index in left else "" for index in range(len(texts))]
        return "".join(f"<{tag}{side}>{_text(text)}</{tag}>" for side, text in zip(sides, texts, strict=True))

    body = "".join(
        ('<tr class="winner">' if index < len(marked) and marked[index] else "<tr>") + cells("td", row) + "</tr>"
        for index, row in enumerate(rows)
    )
    return f'<div class="wide"><table><thead><tr>{cells("th", heads)}</tr></thead><tbody>{body}</tbody></table></div>'


def _plain(value: object) -> str:
    """A JSON value as a person writes it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value)) if all(isinstance(n, int) for n in value) else ", ".join(map(_plain, value))
    return str(value)


def _number(value: float | None, unit: str, decimals: int = 0) -> str:
    return "" if value is None else f"{value:,.{decimals}f} {unit}".strip()


def _percent(share: float | None) -> str:
    return "" if share is None else table.percent(share)


def _architecture_id(winner: Mapping[str, Any] | None) -> str | None:
    data = (winner or {}).get("architecture")
    return Architecture.from_json(data).id if data else None
