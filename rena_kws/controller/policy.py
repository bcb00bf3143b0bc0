"""RENA's policy network: it reads a network and decides an edit of it.

Each layer is embedded (kind, hyperparameters, how far back its skip source lies); a bidirectional LSTM reads the
sequence; the mean of its states is the network embedding, from which the context of the first decision is made. A head
answers from the context: a softmax over its list, or over the tensors of the network for the heads that point. Each
answer is added to the context, so every decision knows those before it. (RENA, arXiv 1806.07912: embeddings, BiLSTM and
one softmax a decision are recalled from the paper; how the context is carried is our choice.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rena_kws.controller.decisions import POINTERS, Mask, heads
from rena_kws.controller.neural import (
    Array,
    Parameters,
    entropy,
    lstm,
    lstm_backward,
    masked_softmax,
    policy_gradient,
)
from rena_kws.spec.architecture import HYPERPARAMETERS, Architecture
from rena_kws.spec.search_space import SearchSpace

EMBEDDING = 16
HIDDEN = 16
CONTEXT = 32
SKIP_DISTANCES = 8
"""Skip connections that reach further back than this share an embedding."""

Feature = tuple[str, int]
"""A row of an embedding table."""


@dataclass(frozen=True)
class _Step:
    """One decision: the activations its gradient needs. `hidden` is (CONTEXT,), for a pointer (tensors, CONTEXT)."""

    head: str
    choice: int
    probabilities: Array
    hidden: Array


class Policy:
    """The parameters, by name, and what depends on the search space. Heads start out uniform."""

    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        self._space = space
        self.parameters: Parameters = {}

        def make(name: str, *shape: int, scale: float | None = None) -> None:
            deviation = shape[0] ** -0.5 if scale is None else scale
            self.parameters[name] = rng.normal(0, 1, shape) * deviation

        make("embed_kind", len(space.kinds) + 1, EMBEDDING, scale=0.5)  # the last row stands for the input
        make("embed_skip", SKIP_DISTANCES + 1, EMBEDDING, scale=0.5)
        for name, values in space.vocabulary.items():
            make(f"embed_{name}", len(values), EMBEDDING, scale=0.5)
        for direction in ("forward", "backward"):
            make(f"{direction}_weights", EMBEDDING + HIDDEN, 4 * HIDDEN)
            make(f"{direction}_bias", 4 * HIDDEN, scale=0)
            self.parameters[f"{direction}_bias"][HIDDEN : 2 * HIDDEN] = 1  # remember at first
        make("context_weights", 2 * HIDDEN, CONTEXT)
        make("context_bias", CONTEXT, scale=0)
        for head, choices in heads(space).items():
            make(f"{head}_logits", CONTEXT, len(choices), scale=0)
            make(f"{head}_bias", len(choices), scale=0)
            make(f"{head}_chosen", len(choices), CONTEXT, scale=0.5)
        for head in POINTERS:
            make(f"{head}_key", 2 * HIDDEN, CONTEXT)
            make(f"{head}_logits", CONTEXT, scale=0)
            make(f"{head}_chosen", 2 * HIDDEN, CONTEXT)

    def features(self, architecture: Architecture) -> list[list[Feature]]:
        """For every tensor the embedding rows that describe it. A value outside the space takes the nearest inside; a
        kind outside has no row."""
        kinds = self._space.kinds
        described: list[list[Feature]] = [[("embed_kind", len(kinds))]]
        for number, layer in enumerate(architecture.layers, start=1):
            rows = [("embed_kind", kinds.index(layer.kind))] if layer.kind in kinds else []
            rows += [("embed_skip", min(number - source, SKIP_DISTANCES)) for source in layer.sources[1:]]
            for name in HYPERPARAMETERS[layer.kind]:
                vocabulary = self._space.vocabulary.get(name)
                if vocabulary:
                    rows.append((f"embed_{name}", _nearest(vocabulary, getattr(layer, name))))
            described.append(rows)
        return described


def _nearest(vocabulary: tuple[Any, ...], value: Any) -> int:
    if value in vocabulary:
        return vocabulary.index(value)
    distances = [np.abs(np.subtract(value, known)).sum() for known in vocabulary]
    return int(np.argmin(distances))


class Episode:
    """One edit of one network being decided: a `Chooser` that remembers what its gradient needs.

    `select` gets the probabilities and returns a choice: it samples, or repeats what was recorded.
    """

    def __init__(self, policy: Policy, architecture: Architecture, select: Callable[[Array], int]) -> None:
        self._parameters = p = policy.parameters
        self._select = select
        self._features = policy.features(architecture)
        x = np.stack([sum((p[table][row] for table, row in rows), np.zeros(EMBEDDING)) for rows in self._features])
        self._weights = np.stack((p["forward_weights"], p["backward_weights"]))
        bias = np.stack((p["forward_bias"], p["backward_bias"]))
        (forward, backward), self._trace = lstm(np.stack((x, x[::-1])), self._weights, bias)
        self._states = np.concatenate((forward, backward[::-1]), axis=1)
        self._context = self._states.mean(axis=0) @ p["context_weights"] + p["context_bias"]
        self._steps: list[_Step] = []

    @property
    def choices(self) -> list[int]:
        """What was decided so far."""
        return [step.choice for step in self._steps]

    @property
    def entropy(self) -> float:
        """Mean entropy of the decisions so far, in nats."""
        return float(np.mean([entropy(step.probabilities) for step in self._steps]))

    def pick(self, head: str, allowed: Mask) -> int:
        hidden = np.tanh(self._context)
        logits = hidden @ self._parameters[f"{head}_logits"] + self._parameters[f"{head}_bias"]
        choice = self._decide(head, logits, allowed, hidden)
        self._context = self._context + self._parameters[f"{head}_chosen"][choice]
        return choice

    def point(self, head: str, allowed: Mask) -> int:
        hidden = np.tanh(self._context + self._states @ self._parameters[f"{head}_key"])
        choice = self._decide(head, hidden @ self._parameters[f"{head}_logits"], allowed, hidden)
        self._context = self._context + self._states[choice] @ self._parameters[f"{head}_chosen"]
        return choice

    def _decide(self, head: str, logits: Array, allowed: Mask, hidden: Array) -> int:
        probabilities = masked_softmax(logits, allowed)
        choice = self._select(probabilities)
        self._steps.append(_Step(head, choice, probabilities, hidden))
        return choice

    def loss(self, advantage: float, entropy_weight: float) -> float:
        """−advantage · log-probability of the decisions − entropy_weight · their entropy: what REINFORCE descends."""
        log_p = sum(float(np.log(step.probabilities[step.choice])) for step in self._steps)
        return -advantage * log_p - entropy_weight * sum(entropy(step.probabilities) for step in self._steps)

    def add_gradients(self, gradients: Parameters, advantage: float, entropy_weight: float) -> None:
        """Add the gradient of `loss` to `gradients`, which holds an array for every parameter."""
        p = self._parameters
        d_states = np.zeros_like(self._states)
        d_context = np.zeros(CONTEXT)
        for step in reversed(self._steps):
            d_logits = policy_gradient(step.probabilities, step.choice, advantage, entropy_weight)
            backward = self._point_backward if step.head in POINTERS else self._pick_backward
            d_context = backward(step, d_logits, d_context, gradients, d_states)
        mean = self._states.mean(axis=0)
        gradients["context_weights"] += np.outer(mean, d_context)
        gradients["context_bias"] += d_context
        d_states += (p["context_weights"] @ d_context) / len(d_states)
        self._encoder_backward(d_states, gradients)

    def _pick_backward(
        self, step: _Step, d_logits: Array, d_context: Array, gradients: Parameters, d_states: Array
    ) -> Array:
        """Gradient of the context before the step, given that of the context after it."""
        gradients[f"{step.head}_chosen"][step.choice] += d_context
        gradients[f"{step.head}_logits"] += np.outer(step.hidden, d_logits)
        gradients[f"{step.head}_bias"] += d_logits
        d_hidden = self._parameters[f"{step.head}_logits"] @ d_logits
        return np.asarray(d_context + d_hidden * (1 - step.hidden**2))

    def _point_backward(
        self, step: _Step, d_logits: Array, d_context: Array, gradients: Parameters, d_states: Array
    ) -> Array:
        """As `_pick_backward`; adds the gradient of the states to `d_states`."""
        p, head = self._parameters, step.head
        gradients[f"{head}_chosen"] += np.outer(self._states[step.choice], d_context)
        d_states[step.choice] += p[f"{head}_chosen"] @ d_context
        gradients[f"{head}_logits"] += step.hidden.T @ d_logits
        d_sum = np.outer(d_logits, p[f"{head}_logits"]) * (1 - step.hidden**2)
        gradients[f"{head}_key"] += self._states.T @ d_sum
        d_states += d_sum @ p[f"{head}_key"].T
        return np.asarray(d_context + d_sum.sum(axis=0))

    def _encoder_backward(self, d_states: Array, gradients: Parameters) -> None:
        by_direction = np.stack((d_states[:, :HIDDEN], d_states[::-1, HIDDEN:]))
        dx, d_weights, d_bias = lstm_backward(by_direction, self._trace, self._weights)
        for number, direction in enumerate(("forward", "backward")):
            gradients[f"{direction}_weights"] += d_weights[number]
            gradients[f"{direction}_bias"] += d_bias[number]
        for rows, d_row in zip(self._features, dx[0] + dx[1, ::-1], strict=True):
            for table, row in rows:
                gradients[table][row] += d_row
