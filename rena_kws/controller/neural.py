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
    """What `lstm_backward` needs of n steps. `gates` is (n, 4, hidden): input, forget, output gate and candidate."""

    rows: Array
    gates: Array
    cells: Array


def lstm(x: Array, weights: Array, bias: Array) -> tuple[Array, LstmTrace]:
    """Run an LSTM over x (n, inputs) from a zero state. weights (inputs + hidden, 4 · hidden), bias (4 · hidden).

    Returns the hidden states (n, hidden) and the trace.
    """
    steps, hidden = len(x), bias.size // 4
    rows = np.zeros((steps, x.shape[1] + hidden))
    rows[:, : x.shape[1]] = x
    gates, cells, states = np.empty((steps, 4, hidden)), np.empty((steps, hidden)), np.zeros((steps, hidden))
    cell = np.zeros(hidden)
    for t in range(steps):
        if t:
            rows[t, x.shape[1] :] = states[t - 1]
        z = (rows[t] @ weights + bias).reshape(4, hidden)
        gates[t, :3] = 1 / (1 + np.exp(-z[:3]))
        gates[t, 3] = np.tanh(z[3])
        cell = cells[t] = gates[t, 1] * cell + gates[t, 0] * gates[t, 3]
        states[t] = gates[t, 2] * np.tanh(cell)
    return states, LstmTrace(rows, gates, cells)


def lstm_backward(d_states: Array, trace: LstmTrace, weights: Array) -> tuple[Array, Array, Array]:
    """Gradients of x, weights and bias, given that of the hidden states (n, hidden)."""
    steps, hidden = d_states.shape
    inputs = trace.rows.shape[1] - hidden
    dz = np.empty((steps, 4 * hidden))
    dx = np.empty((steps, inputs))
    d_state, d_cell = np.zeros(hidden), np.zeros(hidden)
    for t in reversed(range(steps)):
        gate_in, forget, out, candidate = trace.gates[t]
        squashed = np.tanh(trace.cells[t])
        before = trace.cells[t - 1] if t else np.zeros(hidden)
        d_state = d_state + d_states[t]
        d_cell = d_cell + d_state * out * (1 - squashed**2)
        dz[t] = np.concatenate(
            (
                d_cell * candidate * gate_in * (1 - gate_in),
                d_cell * before * forget * (1 - forget),
                d_state * squashed * out * (1 - out),
                d_cell * gate_in * (1 - candidate**2),
            )
        )
        d_row = weights @ dz[t]
        dx[t], d_state = d_row[:inputs], d_row[inputs:]
        d_cell = d_cell * forget
    return dx, trace.rows.T @ dz, dz.sum(axis=0)


def masked_softmax(logits: Array, allowed: Sequence[bool]) -> Array:
    """Probabilities over the allowed entries; the others are exactly 0. At least one is allowed."""
    masked = np.where(allowed, logits, -np.inf)
    weights = np.exp(masked - masked.max())
    return np.asarray(weights / weights.sum())


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
