"""The parts of a small recurrent network in NumPy, with their gradients written out: LSTM, masked softmax, Adam.

The policy reads sequences of about ten layers, where a framework would spend its time on overhead and would bring
TensorFlow into the searching process. Each backward function is checked against finite differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = dict[str, Array]


@dataclass(frozen=True)
class LstmTrace:
    """What `lstm_backward` needs of k LSTMs over n steps. `gates` is (k, n, 4, hidden): input, forget and output gate,
    candidate; `rows` (k, n, inputs + hidden) what each step read."""

    rows: Array
    gates: Array
    cells: Array


def lstm(x: Array, weights: Array, bias: Array) -> tuple[Array, LstmTrace]:
    """Run k LSTMs side by side, each over its own x (k, n, inputs) from a zero state. weights (k, inputs + hidden,
    4 · hidden), bias (k, 4 · hidden).

    Returns the hidden states (k, n, hidden) and the trace.
    """
    count, steps, inputs = x.shape
    hidden = bias.shape[1] // 4
    # σ(z) = (1 + tanh(z / 2)) / 2, so one tanh serves all four gates: most of the time here is calls of NumPy.
    halved = np.repeat((0.5, 0.5, 0.5, 1.0), hidden)
    driven = (x @ weights[:, :inputs] + bias[:, None]) * halved
    recurrent = weights[:, inputs:] * halved
    gates, cells = np.empty((count, steps, 4, hidden)), np.empty((count, steps, hidden))
    states = np.empty((count, steps, hidden))
    for t in range(steps):
        z = driven[:, t]
        if t:
            z = z + (states[:, t - 1, None] @ recurrent)[:, 0]
        now = np.tanh(z.reshape(count, 4, hidden), out=gates[:, t])
        now[:, :3] *= 0.5
        now[:, :3] += 0.5
        cells[:, t] = now[:, 0] * now[:, 3]
        if t:
            cells[:, t] += now[:, 1] * cells[:, t - 1]
        np.multiply(now[:, 2], np.tanh(cells[:, t]), out=states[:, t])
    return states, LstmTrace(np.concatenate((x, _before(states)), axis=2), gates, cells)


def lstm_backward(d_states: Array, trace: LstmTrace, weights: Array) -> tuple[Array, Array, Array]:
    """Gradients of x, weights and bias, given that of the hidden states (k, n, hidden)."""
    count, steps, hidden = d_states.shape
    inputs = trace.rows.shape[2] - hidden
    gate_in, forget, out, candidate = trace.gates.transpose(2, 0, 1, 3)
    squashed = np.tanh(trace.cells)
    d_cell_d_state = out * (1 - squashed**2)
    # What a gate's argument adds: to the cell, but that of the output gate to the state.
    slopes = np.stack(
        (
            candidate * gate_in * (1 - gate_in),
            _before(trace.cells) * forget * (1 - forget),
            squashed * out * (1 - out),
            gate_in * (1 - candidate**2),
        ),
        axis=2,
    )
    backwards = weights[:, inputs:].transpose(0, 2, 1)
    dz = np.empty((count, steps, 4, hidden))
    d_state, d_cell = np.zeros((count, hidden)), np.zeros((count, hidden))
    for t in reversed(range(steps)):
        d_state = d_state + d_states[:, t]
        d_cell = d_cell + d_state * d_cell_d_state[:, t]
        dz[:, t] = slopes[:, t] * d_cell[:, None]
        dz[:, t, 2] = slopes[:, t, 2] * d_state
        d_state = (dz[:, t].reshape(count, 1, -1) @ backwards)[:, 0]
        d_cell = d_cell * forget[:, t]
    flat = dz.reshape(count, steps, -1)
    dx = flat @ weights[:, :inputs].transpose(0, 2, 1)
    return dx, trace.rows.transpose(0, 2, 1) @ flat, flat.sum(axis=1)


def _before(values: Array) -> Array:
    """Of every step what it was a step before; zero before the first. (k, n, hidden)."""
    return np.concatenate((np.zeros_like(values[:, :1]), values[:, :-1]), axis=1)


def masked_softmax(logits: Array, allowed: Sequence[bool]) -> Array:
    """Probabilities over the allowed entries; the others are exactly 0. At least one is allowed."""
    masked = np.where(allowed, logits, -np.inf)
    weights = np.exp(masked - masked.max())
    return np.asarray(weights / weights.sum())


def sample(rng: np.random.Generator, probabilities: Array) -> int:
    """What `rng.choice(len(probabilities), p=probabilities)` draws, without the time it takes to check them."""
    cumulative = probabilities.cumsum()
    return int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))


def entropy(probabilities: Array) -> float:
    """Entropy in nats."""
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


def policy_gradient(probabilities: Array, choice: int, advantage: float, entropy_weight: float) -> Array:
    """Gradient of −advantage · log p(choice) − entropy_weight · entropy with respect to the logits."""
    gradient = advantage * probabilities
    gradient[choice] -= advantage
    log_p = np.log(np.where(probabilities > 0, probabilities, 1))
    return np.asarray(gradient + entropy_weight * probabilities * (log_p + entropy(probabilities)))


class Adam:
    """Adam (Kingma and Ba, arXiv 1412.6980) over named parameters, updated in place."""

    def __init__(self, parameters: Parameters, learning_rate: float) -> None:
        self._parameters = parameters
        self._learning_rate = learning_rate
        self._mean = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._square = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._steps = 0

    def step(self, gradients: Parameters, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        """Move against the gradients, which have the names and shapes of the parameters."""
        self._steps += 1
        for name, gradient in gradients.items():
            mean, square = self._mean[name], self._square[name]
            mean += (1 - beta1) * (gradient - mean)
            square += (1 - beta2) * (gradient**2 - square)
            corrected = mean / (1 - beta1**self._steps)
            scale = np.sqrt(square / (1 - beta2**self._steps)) + epsilon
            self._parameters[name] -= self._learning_rate * corrected / scale
