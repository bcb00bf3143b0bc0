"""Lines over a common axis, each with a band where one is known, as SVG text in the style of the other pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from rena_kws.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, STYLE, TOP, WIDTH, Scale, axes

COLOURS = ("#0b6bcb", "#c2410c", "#2f855a", "#8b5cf6", "#6b7280")
"""Told apart by lightness too, and read on light and on dark."""
LETTER_WIDTH = 7


@dataclass(frozen=True)
class Curve:
    """`y` over `x`, and for each point the (low, high) of its band where there is one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    band: Sequence[tuple[float, float]] = field(default=())


def draw(curves: Sequence[Curve], title: str, x_name: str, y_name: str) -> str:
    """All curves in one picture, with a legend. Without points the picture says so."""
    head = (
        f'<svg class="kws-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--back)"/>'
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>'
    )
    curves = [curve for curve in curves if len(curve.x)]
    if not curves:
        return f'{head}<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">nothing to draw</text></svg>'
    x_values = [value for curve in curves for value in curve.x]
    y_values = [value for curve in curves for value in (*curve.y, *(edge for pair in curve.band for edge in pair))]
    x = Scale(min(0.0, min(x_values)), max(x_values), LEFT, WIDTH - RIGHT)
    y = Scale(min(y_values), max(y_values), HEIGHT - BOTTOM, TOP)
    parts = [head, *axes(x, y, x_name, y_name)]
    names = WIDTH - RIGHT - LETTER_WIDTH * max(len(curve.name) for curve in curves)
    for number, curve in enumerate(curves):
        parts += _curve(curve, COLOURS[number % len(COLOURS)], x, y)
        parts += _legend(curve.name, COLOURS[number % len(COLOURS)], max(LEFT, names), number)
    return "".join([*parts, "</svg>"])


def _curve(curve: Curve, colour: str, x: Scale, y: Scale) -> list[str]:
    parts = []
    if curve.band:
        upper = [f"{x(at)} {y(high)}" for at, (_, high) in zip(curve.x, curve.band, strict=True)]
        lower = [f"{x(at)} {y(low)}" for at, (low, _) in zip(curve.x, curve.band, strict=True)]
        outline = "L".join([*upper, *reversed(lower)])
        parts.append(f'<path d="M{outline}Z" fill="{colour}" fill-opacity=".15"/>')
    line = "L".join(f"{x(at)} {y(value)}" for at, value in zip(curve.x, curve.y, strict=True))
    tooltip = escape(f"{curve.name}: {curve.y[-1]:.6g} at {curve.x[-1]:.6g}")
    parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="1.8"><title>{tooltip}</title></path>')
    return parts


def _legend(name: str, colour: str, left: int, number: int) -> list[str]:
    top = HEIGHT - BOTTOM - 14 - 16 * number
    return [
        f'<path d="M{left - 22} {top}h16" stroke="{colour}" stroke-width="3"/>',
        f'<text class="name" x="{left}" y="{top + 4}">{escape(name)}</text>',
    ]
