"""The sweep finds the front that the definition gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rena_kws.report import pareto_front

Points = list[tuple[float, float]]
few_values = st.integers(0, 4).map(float)  # many ties
points = st.lists(st.tuples(few_values, few_values) | st.tuples(st.floats(0, 1e9), st.floats(0, 1)), max_size=12)


def by_definition(points: Points) -> set[int]:
    def dominates(j: int, i: int) -> bool:
        (cost_j, value_j), (cost_i, value_i) = points[j], points[i]
        at_least_as_good = cost_j <= cost_i and value_j >= value_i
        return at_least_as_good and (points[j] != points[i] or j < i)

    return {i for i in range(len(points)) if not any(dominates(j, i) for j in range(len(points)))}


@given(points)
def test_the_front_is_that_of_the_definition(points: Points) -> None:
    front = pareto_front(points)
    assert set(front) == by_definition(points)
    assert [points[i][0] for i in front] == sorted(points[i][0] for i in front)


def test_by_hand() -> None:
    assert pareto_front([]) == []
    assert pareto_front([(3, 0.9), (1, 0.5), (2, 0.5), (3, 0.8), (1, 0.5)]) == [1, 0]
