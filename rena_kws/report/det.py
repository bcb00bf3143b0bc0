"""The DET curve of a detector: false rejects against false accepts an hour, as SVG in the style of `svg.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rena_kws.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, STYLE, TOP, WIDTH, Scale


@dataclass(frozen=True)
class Operating:
    """A threshold, what it misses in [0, 1], and how often it is wrong in an hour."""

    threshold: float
    false_reject_rate: float
    false_accepts_per_hour: float


def det_plot(curve: Sequence[Operating], chosen: Operating, hours: float, conditions: str) -> str:
    """`curve` in the order of its thresholds, `chosen` marked. Rates below one in `hours` cannot be seen: the axis of
    false accepts, which is logarithmic, begins below that, with what has none."""
    title = "False rejects against false accepts"
    most = max((point.false_accepts_per_hour for point in curve), default=1.0)
    x = LogScale(0.5 / hours, max(most, 10 / hours), LEFT, WIDTH - RIGHT)
    y = Scale(0.0, 100 * max((point.false_reject_rate for point in curve), default=1.0), HEIGHT - BOTTOM, TOP)
    places = [f"{x(point.false_accepts_per_hour)} {y(100 * point.false_reject_rate)}" for point in curve]
    name = escape(
        f"threshold {chosen.threshold:.3g}: {100 * chosen.false_reject_rate:.1f} % rejected falsely, "
        f"{chosen.false_accepts_per_hour:.3g} accepted falsely an hour"
    )
    at = f'cx="{x(chosen.false_accepts_per_hour)}" cy="{y(100 * chosen.false_reject_rate)}"'
    return "".join(
        [
            f'<svg class="kws-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(f"{title}; {name}")}"><style>{STYLE}</style>'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--back)"/>'
            f'<text class="title" x="{LEFT}" y="20">{title}</text>'
            f'<text x="{WIDTH - RIGHT}" y="20" text-anchor="end">{escape(conditions)}</text>',
            *_axes(x, y, hours),
            f'<path class="step" d="M{"L".join(places)}"/>' if places else "",
            f'<circle class="front" {at} r="4.5"><title>{name}</title></circle>'
            f'<circle class="winner" {at} r="9"><title>{name}</title></circle></svg>',
        ]
    )


class LogScale:
    """A logarithmic axis over powers of ten; what lies below its least value is drawn there."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.ticks = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
        self._low, self._high, self._start, self._end = math.log10(low), math.log10(high), start, end

    def __call__(self, value: float) -> float:
        power = math.log10(value) if value > 0 else self._low
        share = (max(power, self._low) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def _axes(x: LogScale, y: Scale, hours: float) -> list[str]:
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in y.ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4}" text-anchor="end">{y.text(tick)}</text>')
    for tick in x.ticks:
        parts.append(f'<path class="axis" d="M{x(tick)} {floor}v5"/>')
        parts.append(f'<text x="{x(tick)}" y="{floor + 19}" text-anchor="middle">{tick:g}</text>')
    names = f"false accepts an hour, in {hours:g} hours (none: at the left edge)", "false rejects [%]"
    return [
        *parts,
        f'<path class="axis" d="M{LEFT} {floor}H{right}"/>',
        f'<text class="name" x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{names[0]}</text>',
        f'<text class="name" transform="translate(14 {(TOP + floor) / 2}) rotate(-90)" text-anchor="middle">'
        f"{names[1]}</text>",
    ]
