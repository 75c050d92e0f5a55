"""What those strategies owe that look at no more than weight, load and turn."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.strategies import STRATEGIES
from tests.core.making import candidate, request, snapshot
from tests.core.strategies.shares import choose, picks

EACH = pytest.mark.parametrize("name", ["least-busy", "round-robin", "weighted"])


def test_the_registry_knows_them_by_their_configured_names() -> None:
    assert set(STRATEGIES) >= {"weighted", "round-robin", "least-busy"}


@EACH
def test_no_candidates_no_choice(name: str) -> None:
    assert STRATEGIES[name].choose(request(), [], snapshot(), Random(1)) is None


@EACH
def test_the_only_candidate_is_chosen_however_it_looks(name: str) -> None:
    busy = candidate("a", in_flight=1000, turn=1e9, weight=0.001)
    assert choose(name, [busy], Random(1)) == "a"


@EACH
@pytest.mark.parametrize("size", [2, 3, 16, 17, 40])
def test_ties_are_broken_at_random_and_never_by_list_order(name: str, size: int) -> None:
    group = [candidate(f"d{index}") for index in range(size)]
    count = 1000 * size
    shares = picks(name, group, count)
    assert len(shares) == size
    for place in group:
        assert shares[place.deployment.id] == pytest.approx(1000, rel=0.15)


@EACH
def test_the_choice_is_the_generators_alone(name: str) -> None:
    group = [candidate(f"d{index}") for index in range(20)]
    first = [choose(name, group, Random(seed)) for seed in range(50)]
    again = [choose(name, group, Random(seed)) for seed in range(50)]
    assert first == again
    assert len(set(first)) > 1


@EACH
def test_choosing_changes_nothing(name: str) -> None:
    group = [candidate(f"d{index}", in_flight=index, turn=index) for index in range(5)]
    picks(name, group, 100)
    assert [(each.load.in_flight, each.load.turns["gpt"]) for each in group] == [(i, float(i)) for i in range(5)]


@EACH
@given(
    st.lists(st.tuples(st.integers(0, 100), st.floats(0.01, 100.0), st.floats(0.0, 1e6)), min_size=1, max_size=20),
    st.integers(),
)
def test_it_names_one_of_the_candidates(name: str, loads: list[tuple[int, float, float]], seed: int) -> None:
    group = [
        candidate(f"d{index}", in_flight=in_flight, weight=weight, turn=turn)
        for index, (in_flight, weight, turn) in enumerate(loads)
    ]
    assert choose(name, group, Random(seed)) in {each.deployment.id for each in group}
