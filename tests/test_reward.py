"""RENA's reward against hand-computed cases, and what must hold for every limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.errors import LimitError, UnknownNameError
from rena_kws.reward import PENALTY, Limit, over_limits, parse_limit, reward
from rena_kws.reward.limits import LIMIT_NAMES

positive = st.floats(1e-6, 1e12)
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ({"latency_ms": 30.0}, 0.8),  # at the limit is within it
        ({"latency_ms": 60.0}, 0.8 * 0.9),  # twice the limit: V = 1
        ({"latency_ms": 45.0}, 0.8 * 0.9486832980505138),  # half over: 0.9 ** 0.5
        ({"latency_ms": 120.0}, 0.8 * 0.729),  # V = 3
    ],
)
def test_soft_reward_by_hand(use: dict[str, float], expected: float) -> None:
    assert reward(0.8, use, [Limit("latency_ms", 30)]) == pytest.approx(expected, rel=1e-12)


def test_violations_multiply_and_a_minimum_counts_downwards() -> None:
    limits = [Limit("ram_bytes", 100), Limit("intensity_min", 40)]
    # V = 0.5 and |10/40 - 1| = 0.75; 0.9 ** 1.25 = exp(1.25 * -0.1053605157) = exp(-0.1317006446)
    assert reward(1.0, {"ram_bytes": 150, "intensity": 10}, limits) == pytest.approx(0.8766033718, rel=1e-9)
    assert reward(1.0, {"ram_bytes": 100, "intensity": 400}, limits) == 1.0


def test_hard_reward_is_all_or_nothing() -> None:
    limits = [Limit("params", 1000)]
    assert reward(0.7, {"params": 1000}, limits, penalty=0.0) == 0.7
    assert reward(0.7, {"params": 1001}, limits, penalty=0.0) == 0.0


def test_penalty_is_that_of_the_paper() -> None:
    assert PENALTY == 0.9


@given(shares, positive, positive, shares)
def test_reward_stays_between_nothing_and_the_accuracy(
    accuracy: float, use: float, value: float, penalty: float
) -> None:
    for name in ("latency_ms", "intensity_min"):
        limit = Limit(name, value)
        resources = {limit.resource: use}
        got = reward(accuracy, resources, [limit], penalty)
        assert 0 <= got <= accuracy
        if not over_limits([limit], resources):
            assert got == accuracy


@given(positive, positive, positive)
def test_more_over_the_limit_never_pays(value: float, use: float, more: float) -> None:
    limit = Limit("latency_ms", value)
    worse = reward(1.0, {"latency_ms": use + more}, [limit])
    assert worse <= reward(1.0, {"latency_ms": use}, [limit])


@given(positive, positive)
def test_broken_exactly_when_on_the_wrong_side(value: float, use: float) -> None:
    assert bool(over_limits([Limit("macs", value)], {"macs": use})) == (use > value)
    assert bool(over_limits([Limit("intensity_min", value)], {"intensity": use})) == (use < value)


@given(
    st.sampled_from(LIMIT_NAMES), positive, st.none() | st.sampled_from(["cpu", "nucleo-l4r5zi", "serial:/dev/ttyACM0"])
)
def test_a_limit_reads_back_what_it_writes(name: str, value: float, device: str | None) -> None:
    limit = Limit(name, value, device)
    assert parse_limit(str(limit)) == limit


@given(st.text(max_size=20))
def test_any_text_without_a_limit_is_refused_in_one_line(text: str) -> None:
    with pytest.raises((LimitError, UnknownNameError)) as caught:
        parse_limit("no_limit" + text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["latency_ms", "latency_ms=", "latency_ms=fast", "latency_ms=0", "ram_bytes=-1", "macs=inf"]
)
def test_malformed_limits(text: str) -> None:
    with pytest.raises(LimitError):
        parse_limit(text)


def test_unknown_limit_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'latency_ms'"):
        parse_limit("latencyms=3")


def test_the_device_is_split_off_at_the_last_colon() -> None:
    assert parse_limit("serial:COM3:latency_ms=3") == Limit("latency_ms", 3.0, "serial:COM3")
    assert parse_limit("cpu:latency_ms=1").resource == "cpu:latency_ms"


def test_a_limit_on_what_the_device_does_not_tell() -> None:
    with pytest.raises(LimitError, match="does not tell energy_uj"):
        over_limits([Limit("energy_uj", 3)], {"latency_ms": 1})
