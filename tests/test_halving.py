"""Successive halving: the bar, what stopped networks are taken for, and a real network that stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from tones import write_tones

from rena_kws.artifacts import Evaluation
from rena_kws.halving import LEAST_NETWORKS, Halving


def trained(early: float, reward: float) -> Evaluation:
    return Evaluation("ok", reward, reward, early_reward=early)


def stopped(early: float) -> Evaluation:
    return Evaluation("stopped", early, early_reward=early)


def test_half_of_the_networks_pass_the_bar() -> None:
    halving = Halving()
    for number in range(LEAST_NETWORKS - 1):
        halving.learn(trained(number / 10, 0.9))
        halving.learn(Evaluation("over_limit", 0.0))  # was never at the rung
    assert halving.bar == 0
    halving.learn(stopped((LEAST_NETWORKS - 1) / 10))
    assert halving.bar == pytest.approx((LEAST_NETWORKS - 1) / 20)


def test_a_stopped_network_is_taken_to_gain_what_others_gained() -> None:
    halving = Halving()
    assert halving.judged(stopped(0.4)).reward == 0.4
    for gain in (0.1, 0.2, 0.6):
        halving.learn(trained(0.3, 0.3 + gain))
    halving.learn(halving.judged(stopped(0.1)))  # an estimate teaches no gain
    assert halving.judged(stopped(0.4)).reward == pytest.approx(0.6)
    assert halving.judged(trained(0.3, 0.5)) == trained(0.3, 0.5)


@pytest.mark.slow
def test_a_real_network_stops_and_leaves_what_it_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from rena_kws.pipeline import Task, evaluate
    from rena_kws.reward import parse_limit
    from rena_kws.spec.search_space import seed_architecture

    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path))
    limits = (parse_limit("params=100"),)
    task = Task("cortex-m4", write_tones(tmp_path / "tones.npz"), limits=limits, soft=True, train_clips=2_000)
    network = seed_architecture(3, channels=8, blocks=1)
    whole = evaluate(network, task)
    assert whole.evaluation.status == "ok" and whole.evaluation.early_reward is not None
    factor = whole.evaluation.reward / (whole.evaluation.accuracy or 1)
    assert factor < 1  # the soft limit is broken, and the bar is a reward
    early = evaluate(network, replace(task, bar=1.01 * factor))
    assert early.evaluation.status == "stopped" and early.trained is not None
    assert early.evaluation.accuracy is None and early.evaluation.reward == early.evaluation.early_reward
    assert early.evaluation.early_reward == whole.evaluation.early_reward  # training was the same so far
    assert "better half" in early.evaluation.reason
