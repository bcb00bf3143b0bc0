"""The Pareto front: what nothing else beats in both value and cost."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, value) points that none dominates, by rising cost. Of equal points the first stands.

    A point dominates another if it costs no more, is worth no less, and differs in one of the two.
    """
    front: list[int] = []
    best = float("-inf")
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > best:
            front.append(index)
            best = points[index][1]
    return front
