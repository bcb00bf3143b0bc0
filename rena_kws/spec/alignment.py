"""Which layers of one network are those of another: the longest common thread through both.

Edits say it too, but only one at a time, and not every controller makes them; two networks say it of themselves.
"""

from __future__ import annotations

from rena_kws.spec.architecture import HYPERPARAMETERS, Architecture, Layer


def align(old: Architecture, new: Architecture) -> dict[int, int]:
    """Layers of `new` → the layers of `old` they continue, by number, in the same order in both.

    Only layers of one kind belong together; of the ways to pair them, the one in which most hyperparameters stay the
    same. It is the alignment of two sequences (Needleman and Wunsch, J. Mol. Biol. 48, 1970, recalled), in
    O(layers²).
    """
    rows, columns = len(new.layers), len(old.layers)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            together = _likeness(new.layers[i], old.layers[j])
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + together if together else 0.0)
    pairs: dict[int, int] = {}
    i = j = 0
    while i < rows and j < columns:
        together = _likeness(new.layers[i], old.layers[j])
        if together and best[i][j] == best[i + 1][j + 1] + together:
            pairs[i + 1] = j + 1
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _likeness(new: Layer, old: Layer) -> float:
    """0 for layers of two kinds, 1 for layers of one kind, and up to 1 more for what they have in common."""
    if new.kind != old.kind:
        return 0.0
    names = HYPERPARAMETERS[new.kind]
    same = sum(bool(getattr(new, name) == getattr(old, name)) for name in names)
    return 1.0 + (same + 1) / (len(names) + 1)
