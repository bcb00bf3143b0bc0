"""The arena over time as a picture: which bytes hold what while each layer runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rena_kws.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, STYLE, TOP, WIDTH, Scale

ARENA_STYLE = """
.kws-plot .block{fill:var(--front);fill-opacity:.35;stroke:var(--front)}
.kws-plot .scratch{fill:var(--dot);fill-opacity:.25;stroke:var(--dot);stroke-dasharray:3 3}
"""


def arena_picture(blocks: Sequence[Mapping[str, Any]], layers: int) -> str:
    """SVG text. `blocks`: `ArenaBlock`s as JSON; `layers`: how many the network has. Empty without blocks."""
    if not blocks:
        return ""
    top = max(block["offset"] + block["size_bytes"] for block in blocks)
    x = Scale(0.0, float(layers), LEFT, WIDTH - RIGHT)
    y = Scale(0.0, float(top), HEIGHT - BOTTOM, TOP)
    title = f"The arena's {top:,} bytes, layer by layer"
    parts = [
        f'<svg class="kws-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}{ARENA_STYLE}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--back)"/>'
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>'
    ]
    for tick in y.ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4}" text-anchor="end">{y.text(tick)}</text>')
    parts += [_block(block, layers, x, y) for block in blocks]
    parts.append(
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">'
        f"layers, in the order in which they run ({layers})</text></svg>"
    )
    return "".join(parts)


def _block(block: Mapping[str, Any], layers: int, x: Scale, y: Scale) -> str:
    """A rectangle from a block's first layer to the end of its last; what is there before or after reaches the edge."""
    left, right = x(max(0, block["first"])), x(min(layers, block["last"] + 1))
    high, low = y(block["offset"] + block["size_bytes"]), y(block["offset"])
    text = escape(f"{block['name']}: {block['size_bytes']:,} bytes from {block['offset']:,} on")
    kind = "scratch" if block["scratch"] else "block"
    return (
        f'<rect class="{kind}" x="{left}" y="{high}" width="{max(1.0, round(right - left, 1))}" '
        f'height="{max(1.0, round(low - high, 1))}"><title>{text}</title></rect>'
    )
