"""One picture: accuracy against a cost, with the Pareto front and the limit, as SVG text written by hand.

The SVG carries its own style and follows the reader's light or dark setting, so it can stand in a page or in a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rena_kws.report.pareto import pareto_front

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 30, 40, 52
LIMIT_IN_VIEW = 2.0
"""A limit farther out than this many times the dearest point would squeeze the points: it is named, not drawn."""

LEAST_SPAN = 1e-9
"""Of an axis: less than this is no difference in any unit that is drawn."""

STYLE = """
.kws-plot{--ink:#1d2733;--soft:#66717e;--grid:#e3e7ec;--dot:#7b8fa6;--front:#0b6bcb;--limit:#c2410c;--back:#fff;
font:12px system-ui,sans-serif}
@media(prefers-color-scheme:dark){.kws-plot{--ink:#e6eaf0;--soft:#9aa6b4;--grid:#2c3541;--dot:#8296ad;--front:#5aa9f5;
--limit:#fb923c;--back:#151b23}}
@media print{.kws-plot{--ink:#000;--soft:#444;--grid:#ddd;--dot:#777;--front:#0b6bcb;--limit:#c2410c;--back:#fff}}
.kws-plot text{fill:var(--soft)}.kws-plot .name{fill:var(--ink)}.kws-plot .title{fill:var(--ink);font-weight:600;
font-size:14px}.kws-plot .grid{stroke:var(--grid)}.kws-plot .axis{stroke:var(--soft)}
.kws-plot .dot{fill:var(--dot);fill-opacity:.55}.kws-plot .over{fill:none;stroke:var(--dot)}
.kws-plot .front{fill:var(--front)}.kws-plot .step{fill:none;stroke:var(--front);stroke-width:1.5;stroke-opacity:.6}
.kws-plot .limit{stroke:var(--limit);stroke-width:1.5;stroke-dasharray:5 4}.kws-plot .limit-name{fill:var(--limit)}
.kws-plot .winner{fill:none;stroke:var(--ink);stroke-width:1.5}
"""


@dataclass(frozen=True)
class Point:
    """A candidate: its cost in the axis' unit, its accuracy in [0, 1], its name, and how it stands out."""

    cost: float
    accuracy: float
    name: str
    within_limits: bool = True
    is_winner: bool = False


def scatter(points: Sequence[Point], quantity: str, unit: str, limit: float | None = None) -> str:
    """Accuracy against `quantity` in `unit`. Points within the limits make the front; others are hollow.

    `limit` is the most that the quantity may be. Without points the picture says so.
    """
    title = f"Accuracy against {quantity}"
    label = f"{title} in {unit}, {len(points)} candidates"
    head = (
        f'<svg class="kws-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--back)"/>'
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>'
    )
    if not points:
        return f'{head}<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">no scored candidates</text></svg>'
    dearest = max(point.cost for point in points)
    limit_in_view = limit is not None and limit <= LIMIT_IN_VIEW * dearest
    x = Scale(0.0, max(dearest, limit or 0.0) if limit_in_view else dearest, LEFT, WIDTH - RIGHT)
    accuracies = [100 * point.accuracy for point in points]
    y = Scale(min(accuracies), max(accuracies), HEIGHT - BOTTOM, TOP)
    parts = [head, *axes(x, y, f"{quantity} [{unit}]", "accuracy, int8, validation [%]")]
    if limit is not None:
        parts += _limit(limit, unit, x, limit_in_view)
    return "".join([*parts, *_marks(points, x, y), "</svg>"])


class Scale:
    """A linear axis over round numbers: from data to picture coordinates."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        span = high - low or abs(high)
        span = span if span > LEAST_SPAN else 1.0
        rough = span / 5
        power = 10.0 ** math.floor(math.log10(rough))
        self.step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first = math.floor(low / self.step)
        last = math.ceil(high / self.step)
        if last == first:
            first, last = (first - 1, last) if first > 0 else (first, last + 1)
        self.ticks = [index * self.step for index in range(first, last + 1)]
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return round(self._start + (value - low) / (high - low) * (self._end - self._start), 1)

    def text(self, tick: float) -> str:
        decimals = max(0, -math.floor(math.log10(self.step)))
        return f"{tick:,.{decimals}f}"


def axes(x: Scale, y: Scale, x_name: str, y_name: str) -> list[str]:
    """Grid, ticks and names of both axes, as parts of an SVG."""
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in y.ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4}" text-anchor="end">{y.text(tick)}</text>')
    for tick in x.ticks:
        parts.append(f'<path class="axis" d="M{x(tick)} {floor}v5"/>')
        parts.append(f'<text x="{x(tick)}" y="{floor + 19}" text-anchor="middle">{x.text(tick)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {floor}H{right}"/>')
    middle = (TOP + floor) / 2
    parts.append(
        f'<text class="name" x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_name)}</text>'
        f'<text class="name" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_name)}</text>"
    )
    return parts


def _limit(limit: float, unit: str, x: Scale, in_view: bool) -> list[str]:
    name = escape(f"limit {limit:,.6g} {unit}")
    if not in_view:
        return [f'<text class="limit-name" x="{WIDTH - RIGHT}" y="20" text-anchor="end">{name} lies beyond →</text>']
    return [
        f'<path class="limit" d="M{x(limit)} {TOP - 8}V{HEIGHT - BOTTOM}"/>',
        f'<text class="limit-name" x="{WIDTH - RIGHT}" y="20" text-anchor="end">┆ {name}</text>',
    ]


def _marks(points: Sequence[Point], x: Scale, y: Scale) -> list[str]:
    """The front as a staircase (what a budget buys), then the points; the tooltip of each names it."""
    kept = [point for point in points if point.within_limits]
    front = [kept[index] for index in pareto_front([(point.cost, point.accuracy) for point in kept])]
    parts = []
    if front:
        stairs = [f"M{x(front[0].cost)} {y(100 * front[0].accuracy)}"]
        stairs += [f"H{x(point.cost)}V{y(100 * point.accuracy)}" for point in front[1:]]
        parts.append(f'<path class="step" d="{"".join(stairs)}H{x(max(point.cost for point in kept))}"/>')
    on_front = {id(point) for point in front}
    for point in sorted(points, key=lambda point: id(point) in on_front):
        kind = "front" if id(point) in on_front else "dot" if point.within_limits else "over"
        at = f'cx="{x(point.cost)}" cy="{y(100 * point.accuracy)}"'
        tooltip = escape(f"{point.name}: {100 * point.accuracy:.1f} % at {point.cost:,.6g}")
        parts.append(
            f'<circle class="{kind}" {at} r="{4.5 if kind == "front" else 3.5}"><title>{tooltip}</title></circle>'
        )
        if point.is_winner:
            parts.append(f'<circle class="winner" {at} r="9"><title>winner: {tooltip}</title></circle>')
    return parts
