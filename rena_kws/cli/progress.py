"""One live line on a terminal while a search runs; nothing at all where stderr is no terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rena_kws.search import Progress


def status(text: str) -> None:
    """What goes on at the moment, over what stood there; an empty text clears the line."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K" + text[:110])
        sys.stderr.flush()


class ProgressLine:
    def __init__(self, minutes: float | None) -> None:
        self._minutes = minutes
        self._live = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        status(self.text(progress))

    def close(self) -> None:
        """End the line, so that what is printed next has one of its own."""
        if self._live:
            sys.stderr.write("\n")

    def text(self, progress: Progress) -> str:
        minutes, seconds = divmod(int(progress.elapsed_s), 60)
        clock = f"{minutes}:{seconds:02d}" + (f"/{self._minutes:g} min" if self._minutes else "")
        text = f"[{clock}] {progress.stage}"
        if progress.trials:
            text += f" · trial {progress.trials}, {progress.within_limits} within limits"
        if progress.best_accuracy is not None:
            text += f", best {100 * progress.best_accuracy:.1f} % on validation"
        if progress.trial is not None and progress.trial.evaluation.status != "ok":
            text += f" · last: {progress.trial.evaluation.reason}"
        return text
