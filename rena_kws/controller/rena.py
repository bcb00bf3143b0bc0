"""RENA: a policy network edits good networks and learns by REINFORCE (Zhou et al., arXiv 1806.07912).

    elites ──policy──► drafts ──critic──► the most promising ──► a proposal ──evaluated──► reward
      ▲                                                                                     │
      └── policy and critic learn ◄─────────────────────────────────────────────────────────┘

An episode takes the seed network or one of the best so far and lets the policy decide a few edits in a row. The paper
evaluates each episode's network; with a few hundred evaluations instead of its thousands that teaches a policy little.
So a critic (see `critic`) learns to predict how a network would rank, and does two things: of the drafts for a
proposal the one that it finds most promising is evaluated, and after every evaluation the policy also learns from
episodes that were only dreamt, by the critic's opinion of them. The README tells what helped how much, and
`rena-kws compare` with a controller's options tells it again.

Rewards become advantages in units of their running deviation: rewards of a good run differ by hundredths, and the
entropy bonus should not drown them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Controller, Draft, Proposal
from rena_kws.controller.critic import Critic
from rena_kws.controller.decisions import decide
from rena_kws.controller.neural import Adam, Array, Parameters, sample
from rena_kws.controller.policy import Episode, Policy
from rena_kws.controller.random_search import random_walk
from rena_kws.errors import InvalidArchitectureError
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.edits import Edit, apply
from rena_kws.spec.search_space import SearchSpace

BASELINE_DECAY = 0.9
LAST_EDIT = 0.3
"""The probability that an edit is an episode's last: three edits on average."""
REFERENCE_NETWORKS = 64
"""Random walks that tell the critic how far apart networks are."""


@dataclass(frozen=True)
class _Imagined:
    """A network that the policy made of `start`, with the episodes that decided it."""

    start: Architecture
    architecture: Architecture
    edits: tuple[Edit, ...]
    episodes: tuple[Episode, ...]


class RenaController(Controller):
    """The policy-gradient controller.

    `max_edits`: an episode has at most this many. `elites`: how many of the best networks episodes start from; the seed
    is one more. `drafts`: how many networks the critic chooses a proposal from; 1 does without it. `optimism`: how many
    standard deviations of the critic count for a draft. `dreams`: imagined episodes after each evaluation.
    """

    max_drafts = 4  # each is the best of `drafts` already

    def __init__(
        self,
        space: SearchSpace,
        seed_architecture: Architecture,
        seed: int,
        prefilter: Callable[[Architecture], bool] | None = None,
        *,
        learning_rate: float = 1e-3,
        entropy_weight: float = 0.01,
        max_edits: int = 8,
        elites: int = 20,
        drafts: int = 64,
        optimism: float = 0.5,
        dreams: int = 16,
    ) -> None:
        super().__init__(space, seed_architecture, seed, prefilter)
        rng = np.random.default_rng([seed, 0])
        self.policy = Policy(space, rng)
        self._adam = Adam(self.policy.parameters, learning_rate)
        self._critic = Critic(_reference(seed_architecture, space, rng))
        self._entropy_weight, self._max_edits, self._elite_count = entropy_weight, max_edits, elites
        self._drafts, self._optimism, self._dreams = drafts, optimism, dreams
        self._elites: list[tuple[float, Architecture]] = []
        self._pending: dict[int, Architecture] = {}
        self._baseline: float | None = None
        self._variance = 0.0

    def ask(self) -> Proposal:
        proposal = super().ask()
        self._pending[proposal.number] = proposal.architecture
        return proposal

    def _draft(self, rng: np.random.Generator) -> Draft:
        """The most promising of some drafts that are new and may keep the limits, or any where there is none such."""
        drafts = [draft for _ in range(self._drafts) if (draft := self._imagine(rng)) is not None]
        if not drafts:
            raise InvalidArchitectureError(f"{self._drafts} episodes of the policy made no network")
        good = [draft for draft in drafts if self.is_welcome(draft.architecture)] or drafts
        best = good[int(np.argmax(self._promise(good)))]
        log = {
            "start": best.start.as_json(),
            "choices": [episode.choices for episode in best.episodes],
            "entropy": round(float(np.mean([episode.entropy for episode in best.episodes])), 4),
        }
        return Draft(best.architecture, best.start.id, best.edits, log)

    def _imagine(self, rng: np.random.Generator) -> _Imagined | None:
        """What the policy makes of one of the elites; None where its edits lead to no network."""
        start = architecture = self._start(rng)
        edits, episodes = [], []
        try:
            for _ in range(min(int(rng.geometric(LAST_EDIT)), self._max_edits)):
                episodes.append(Episode(self.policy, architecture, lambda p: sample(rng, p)))
                edits.append(decide(architecture, self.space, episodes[-1]))
                architecture = apply(architecture, edits[-1], self.space)
        except InvalidArchitectureError:
            return None
        return _Imagined(start, architecture, tuple(edits), tuple(episodes))

    def _start(self, rng: np.random.Generator) -> Architecture:
        """One of the best networks or the seed; that of rank r in proportion to 1/r."""
        # Networks that earned nothing serve until one earns something: a search that begins over its limits wanders.
        elites = [network for reward, network in self._elites if reward > 0] or [network for _, network in self._elites]
        starts = [*elites, self.seed_architecture]
        weights = 1 / np.arange(1, len(starts) + 1)
        return starts[sample(rng, weights / weights.sum())]

    def _promise(self, imagined: list[_Imagined]) -> Array:
        networks = [draft.architecture for draft in imagined]
        mean, deviation = self._critic.predict(networks, list(self._pending.values()))
        return mean + self._optimism * deviation

    def _learn(self, proposal: Proposal, evaluation: Evaluation) -> None:
        self._pending.pop(proposal.number, None)
        reward = evaluation.reward
        if evaluation.status != "over_limit":  # limits are the filter's to know: a cliff would mislead the critic
            self._critic.learn(proposal.architecture, reward)
        if evaluation.status != "failed":
            ranked = sorted([(reward, proposal.architecture), *self._elites], key=lambda elite: -elite[0])
            self._elites = ranked[: self._elite_count]
        gradients = {name: np.zeros_like(value) for name, value in self.policy.parameters.items()}
        self._reinforce(proposal, reward, gradients)
        self._dream(np.random.default_rng([self._seed, 1, proposal.number]), gradients)
        self._adam.step(gradients)

    def _reinforce(self, proposal: Proposal, reward: float, gradients: Parameters) -> None:
        """Add the policy gradient of an evaluated proposal: its recorded decisions under the present parameters."""
        if self._baseline is None:
            self._baseline = reward
        error = reward - self._baseline
        self._variance = BASELINE_DECAY * self._variance + (1 - BASELINE_DECAY) * error**2
        self._baseline += (1 - BASELINE_DECAY) * error
        if not proposal.edits or self._variance == 0:
            return
        architecture = Architecture.from_json(proposal.log["start"])
        for choices in proposal.log["choices"]:
            episode = Episode(self.policy, architecture, _repeat(choices))
            architecture = apply(architecture, decide(architecture, self.space, episode), self.space)
            episode.add_gradients(gradients, error / self._variance**0.5, self._entropy_weight)

    def _dream(self, rng: np.random.Generator, gradients: Parameters) -> None:
        """Add the mean policy gradient of imagined episodes. What the filter refuses, or is known, ranks below all."""
        dreams = [dream for _ in range(self._dreams) if (dream := self._imagine(rng)) is not None]
        if len(dreams) < 2:
            return
        before, _ = self._critic.predict([dream.start for dream in dreams])
        gain = self._promise(dreams) - before
        welcome = np.array([self.is_welcome(dream.architecture) for dream in dreams])
        values = np.where(welcome, gain, gain.min())
        advantages = (values - values.mean()) / max(float(values.std()), 1e-9)
        share = 1 / len(dreams)
        for dream, advantage in zip(dreams, advantages, strict=True):
            for episode in dream.episodes:
                episode.add_gradients(gradients, share * float(advantage), share * self._entropy_weight)


def _reference(seed: Architecture, space: SearchSpace, rng: np.random.Generator) -> list[Architecture]:
    """The seed and random walks from it, as many as a space that may hold few networks gives."""
    networks = [seed]
    for _ in range(REFERENCE_NETWORKS):
        try:
            networks.append(random_walk(seed, space, rng).architecture)
        except InvalidArchitectureError:
            continue
    return networks


def _repeat(choices: Iterable[int]) -> Callable[[Array], int]:
    recorded = iter(choices)
    return lambda _: next(recorded)
