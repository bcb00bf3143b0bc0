"""The store's seam: append a finished trial, replay them all in the order they finished."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Proposal


@dataclass(frozen=True)
class Trial:
    """One proposal and what came of it. `elapsed_s` is the run's own clock when it finished, over all its sessions."""

    number: int
    proposal: Proposal
    evaluation: Evaluation
    elapsed_s: float

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "elapsed_s": round(self.elapsed_s, 3),
            "proposal": self.proposal.as_json(),
            "evaluation": asdict(self.evaluation),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Trial:
        return Trial(
            number=data["number"],
            proposal=Proposal.from_json(data["proposal"]),
            evaluation=Evaluation(**data["evaluation"]),
            elapsed_s=data["elapsed_s"],
        )


class Store(ABC):
    """Append-only. What `append` returned from is never lost; `replay` gives exactly that, oldest first."""

    @abstractmethod
    def append(self, trial: Trial) -> None: ...

    @abstractmethod
    def replay(self) -> list[Trial]: ...
