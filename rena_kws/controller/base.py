"""A controller proposes networks and is told how they did: ask and tell, with no knowledge of training or devices.

What every controller shares lives here: numbering, a random stream for each proposal, no network twice, and the free
resource filter. A controller writes `_draft` and, if it learns, `_learn`.

A search resumes by telling a fresh controller the stored (proposal, evaluation) pairs in their order: a proposal holds
all that `tell` needs, and randomness depends only on the seed and the proposal's number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rena_kws.artifacts import Evaluation
from rena_kws.errors import InvalidArchitectureError, ModelError
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.edits import Edit, edit_from_json
from rena_kws.spec.search_space import SearchSpace


@dataclass(frozen=True)
class Proposal:
    """A network to evaluate. `edits` lead to it from the network with id `parent`; the first proposal, and what was not
    made by edits, has neither.

    `log` is the controller's own (plain JSON types): what it has to know again when it is told the result.
    """

    number: int
    architecture: Architecture
    parent: str | None = None
    edits: tuple[Edit, ...] = ()
    log: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "architecture": self.architecture.as_json(),
            "parent": self.parent,
            "edits": [edit.as_json() for edit in self.edits],
            "log": dict(self.log),
        }

    @classmethod
    def from_json(cls, data: Any) -> Proposal:
        """The inverse of `as_json`. Raises `ModelError` or `InvalidArchitectureError`."""
        keys = {"number", "architecture", "parent", "edits", "log"}
        if not isinstance(data, Mapping) or set(data) != keys or type(data["number"]) is not int:
            raise ModelError(f"a proposal has the keys {', '.join(sorted(keys))}; got {data!r:.80}")
        return cls(
            number=data["number"],
            architecture=Architecture.from_json(data["architecture"]),
            parent=data["parent"],
            edits=tuple(edit_from_json(edit) for edit in data["edits"]),
            log=data["log"],
        )


@dataclass(frozen=True)
class Draft:
    """What a controller would propose; fields as in `Proposal`. Without a parent it was not made by edits."""

    architecture: Architecture
    parent: str | None
    edits: tuple[Edit, ...]
    log: Mapping[str, Any] = field(default_factory=dict)


class Controller(ABC):
    """Proposes networks of a space, starting from a seed network.

    `prefilter` says, at no cost worth counting, whether a network could keep the limits; None accepts all. The first
    proposal is the seed network itself. Several proposals may be outstanding, and told in any order. Equal arguments
    and equal calls give equal proposals.
    """

    max_drafts: ClassVar[int] = 50
    """Drafts an `ask` makes before it settles for one that the filter refuses or that was proposed before."""

    def __init__(
        self,
        space: SearchSpace,
        seed_architecture: Architecture,
        seed: int,
        prefilter: Callable[[Architecture], bool] | None = None,
    ) -> None:
        self.space = space
        self.seed_architecture = seed_architecture
        self._seed = seed
        self._prefilter = prefilter
        self._next_number = 0
        self._proposed: set[str] = set()

    def ask(self) -> Proposal:
        """A network to evaluate: new and through the filter, unless `max_drafts` drafts found none such."""
        number = self._next_number
        rng = np.random.default_rng([self._seed, number])
        if self.seed_architecture.id in self._proposed:
            proposal = self._first_good_draft(number, rng)
        else:  # in a replay too: of a search that was killed while it was at its first network
            proposal = Proposal(0, self.seed_architecture)
        self._note(proposal)
        return proposal

    def tell(self, proposal: Proposal, evaluation: Evaluation) -> None:
        """How a proposal did: one this controller made, or in a replay one that an equal controller made before."""
        self._note(proposal)
        self._learn(proposal, evaluation)

    def is_welcome(self, architecture: Architecture) -> bool:
        """Whether a network is new and may keep the limits."""
        return architecture.id not in self._proposed and (self._prefilter is None or self._prefilter(architecture))

    @abstractmethod
    def _draft(self, rng: np.random.Generator) -> Draft:
        """Some network to propose. May raise `InvalidArchitectureError`, which costs one of the `max_drafts`."""

    def _learn(self, proposal: Proposal, evaluation: Evaluation) -> None:  # noqa: B027 (learning is optional)
        """Take a result into account."""

    def _first_good_draft(self, number: int, rng: np.random.Generator) -> Proposal:
        fallback: Draft | None = None
        fallback_is_new = False
        for _ in range(self.max_drafts):
            try:
                draft = self._draft(rng)
            except InvalidArchitectureError:
                continue
            if self.is_welcome(draft.architecture):
                return Proposal(number, draft.architecture, draft.parent, draft.edits, draft.log)
            is_new = draft.architecture.id not in self._proposed
            # A new network that the filter refuses tells the search more than one it knows.
            if fallback is None or (is_new and not fallback_is_new):
                fallback, fallback_is_new = draft, is_new
        if fallback is None:
            raise InvalidArchitectureError(
                f"a search space must hold networks near {self.seed_architecture.id}; "
                f"{self.max_drafts} drafts gave none"
            )
        return Proposal(number, fallback.architecture, fallback.parent, fallback.edits, fallback.log)

    def _note(self, proposal: Proposal) -> None:
        self._next_number = max(self._next_number, proposal.number + 1)
        self._proposed.add(proposal.architecture.id)
