"""The hand-written gradients against finite differences, and the LSTM and Adam against Keras."""

from __future__ import annotations

import numpy as np
import pytest

from rena_kws.controller.decisions import POINTERS, decide, heads
from rena_kws.controller.neural import Adam, Array, Parameters, lstm, lstm_backward, masked_softmax, sample
from rena_kws.controller.policy import Episode, Policy
from rena_kws.controller.random_search import RandomSearch
from rena_kws.spec.architecture import Architecture
from rena_kws.spec.search_space import SearchSpace, seed_architecture

SPACE = SearchSpace()


def test_lstm_gradients() -> None:
    rng = np.random.default_rng(0)
    x, weights, bias = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 7, 16)), rng.normal(size=(2, 16))
    d_states = rng.normal(size=(2, 5, 4))
    gradients = lstm_backward(d_states, lstm(x, weights, bias)[1], weights)
    for value, gradient in zip((x, weights, bias), gradients, strict=True):
        for index in np.ndindex(value.shape):
            numeric = _slope(value, index, lambda: float((lstm(x, weights, bias)[0] * d_states).sum()))
            assert gradient[index] == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_lstm_equals_keras() -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(1)
    x, weights, bias = rng.normal(size=(6, 3)), rng.normal(size=(8, 20)), rng.normal(size=20)
    layer = keras.layers.LSTM(5, return_sequences=True)
    layer.build((1, 6, 3))
    # Keras orders the gates input, forget, candidate, output.
    order = np.concatenate([np.arange(5) + 5 * gate for gate in (0, 1, 3, 2)])
    layer.set_weights([weights[:3, order], weights[3:, order], bias[order]])
    expected = np.asarray(layer(x[None].astype(np.float32)))[0]
    states, _ = lstm(np.stack((x * 0, x)), np.stack((weights, weights)), np.stack((bias, bias)))
    assert states[1] == pytest.approx(expected, abs=1e-5)


def test_adam_equals_keras() -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(2)
    parameters = {"w": rng.normal(size=(3, 2))}
    variable = keras.Variable(parameters["w"], dtype="float32")
    ours, theirs = Adam(parameters, 0.01), keras.optimizers.Adam(0.01, epsilon=1e-8)
    for _ in range(20):
        gradient = rng.normal(size=(3, 2))
        ours.step({"w": gradient})
        theirs.apply([keras.ops.convert_to_tensor(gradient, dtype="float32")], [variable])
    assert parameters["w"] == pytest.approx(np.asarray(variable), abs=1e-4)


def test_masked_softmax() -> None:
    probabilities = masked_softmax(np.array([1e3, 1.0, 1.0, -1e3]), [False, True, True, True])
    assert probabilities == pytest.approx([0, 0.5, 0.5, 0])
    assert probabilities[0] == 0


def test_samples_are_those_of_numpy() -> None:
    ours, theirs = np.random.default_rng(4), np.random.default_rng(4)
    for _ in range(300):
        p = ours.dirichlet(np.ones(5)) * np.array([1, 0, 1, 1, 0])
        theirs.dirichlet(np.ones(5))
        assert sample(ours, p / p.sum()) == theirs.choice(5, p=p / p.sum())


@pytest.mark.parametrize("entropy_weight", [0.0, 0.3])
def test_policy_gradients(entropy_weight: float) -> None:
    """Every parameter's gradient over episodes that between them use every head."""
    rng = np.random.default_rng(3)
    policy = Policy(SPACE, rng)
    for value in policy.parameters.values():  # the heads start at zero, where parts of the gradient vanish
        value += rng.normal(0, 0.2, value.shape)
    walker = RandomSearch(SPACE, seed_architecture(12), 5)
    episodes, unused = [], {f"{head}_logits" for head in (*heads(SPACE), *POINTERS)}
    while unused:
        network = walker.ask().architecture
        episode = Episode(policy, network, lambda p: int(rng.choice(np.flatnonzero(p))))
        decide(network, SPACE, episode)
        gradients = _zeros(policy)
        episode.add_gradients(gradients, 1.0, 0.0)
        used = {name for name in unused if gradients[name].any()}
        if used:
            episodes.append((network, episode.choices))
            unused -= used

    def loss() -> float:
        return sum(_replay(policy, *episode).loss(1.7, entropy_weight) for episode in episodes)

    gradients = _zeros(policy)
    for network, choices in episodes:
        _replay(policy, network, choices).add_gradients(gradients, 1.7, entropy_weight)
    for name, value in policy.parameters.items():
        if name in ("channels_chosen", "skip_chosen"):  # nothing is decided after these
            assert not gradients[name].any()
        for index in {tuple(int(rng.integers(n)) for n in value.shape) for _ in range(2)}:
            numeric = _slope(value, index, loss)
            assert gradients[name][index] == pytest.approx(numeric, rel=1e-4, abs=1e-6), name


def _zeros(policy: Policy) -> Parameters:
    return {name: np.zeros_like(value) for name, value in policy.parameters.items()}


def _replay(policy: Policy, network: Architecture, choices: list[int]) -> Episode:
    recorded = iter(choices)
    episode = Episode(policy, network, lambda _: next(recorded))
    decide(network, SPACE, episode)
    return episode


def _slope(value: Array, index: tuple[int, ...], function: object, step: float = 1e-5) -> float:
    """Central difference of a function of nothing with respect to one element of an array it reads."""
    assert callable(function)
    middle = value[index]
    value[index] = middle + step
    above = function()
    value[index] = middle - step
    below = function()
    value[index] = middle
    return float((above - below) / (2 * step))
