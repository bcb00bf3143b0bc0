"""Which words are taken for which, as SVG in the style of `svg.py`: a row for each that was said."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from rena_kws.report.svg import STYLE

_CELL, _MARGIN, _TOP, _LETTER = 34, 16, 44, 7
_NUMBERS_UP_TO = 40
"""Classes: beyond that the cells are too many to read numbers in."""


def confusion_plot(confusion: NDArray[np.int64], labels: Sequence[str]) -> str:
    """`confusion[i][j]`: clips of label i that were taken for label j. A cell is the darker the larger its share of
    its row; its tooltip says it in words."""
    longest = max(map(len, labels)) * _LETTER
    left, top = _MARGIN + longest + 28, _TOP + longest + 12
    side = _CELL * len(labels)
    width, height = max(left + side + _MARGIN, 300), top + side + _MARGIN
    right = sum(int(confusion[i, i]) for i in range(len(labels)))
    total = int(confusion.sum())
    title = f"{right:,} of {total:,} clips told correctly ({100 * right / max(total, 1):.1f} %)"
    parts = [
        f'<svg class="kws-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="var(--back)"/>'
        f'<text class="title" x="{_MARGIN}" y="24">{escape(title)}</text>'
        f'<text class="name" x="{left}" y="{_TOP}">taken for</text>'
        f'<text class="name" transform="translate({_MARGIN + 4} {top + side / 2}) rotate(-90)" text-anchor="middle">'
        "said</text>"
    ]
    for index, label in enumerate(labels):
        middle = _CELL * index + _CELL / 2
        parts.append(
            f'<text x="{left - 8}" y="{top + middle + 4}" text-anchor="end">{escape(label)}</text>'
            f'<text transform="translate({left + middle + 4} {top - 8}) rotate(-90)">{escape(label)}</text>'
        )
    return "".join([*parts, *_cells(confusion, labels, left, top), "</svg>"])


def _cells(confusion: NDArray[np.int64], labels: Sequence[str], left: int, top: int) -> list[str]:
    parts = []
    for i, row in enumerate(confusion.tolist()):
        said = sum(row)
        for j, count in enumerate(row):
            if not count:
                continue
            x, y = left + _CELL * j, top + _CELL * i
            tip = escape(f"{labels[i]} taken for {labels[j]}: {count} of {said}")
            colour = "--front" if i == j else "--limit"
            parts.append(
                f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_CELL - 2}" fill="var({colour})" '
                f'fill-opacity="{0.12 + 0.5 * count / said:.2f}"><title>{tip}</title></rect>'
            )
            if len(labels) <= _NUMBERS_UP_TO:
                at = f'x="{x + _CELL / 2}" y="{y + _CELL / 2 + 4}"'
                parts.append(f'<text class="name" {at} text-anchor="middle">{count}</text>')
    return parts
