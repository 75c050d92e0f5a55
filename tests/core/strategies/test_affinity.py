from __future__ import annotations

from collections import Counter
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.load import Candidate
from router.core.strategies import STRATEGIES
from router.core.types import RouteRequest
from tests.core.making import POLICY, START, candidate, request, snapshot
from tests.core.strategies.shares import choose, routed

ROOM = 10**6


def asked(key: str) -> RouteRequest:
    return request(affinity=key.__str__)


def homes(places: list[Candidate], keys: int = 2000) -> dict[str, str]:
    rng = Random(1)
    return {f"key {key}": choose("affinity", places, rng, asked=asked(f"key {key}")) for key in range(keys)}


def idle(count: int) -> list[Candidate]:
    return [candidate(f"d{index}") for index in range(count)]


def test_a_key_stays_where_it_is_whatever_the_luck_and_the_order() -> None:
    places = idle(10)
    for key in ("a", "b", "c"):
        there = {choose("affinity", places, Random(seed), asked=asked(key)) for seed in range(20)}
        assert len(there) == 1
        assert there == {choose("affinity", places[::-1], Random(1), asked=asked(key))}


def test_keys_are_spread_evenly() -> None:
    shares = Counter(homes(idle(10)).values())
    assert len(shares) == 10
    for count in shares.values():
        assert count == pytest.approx(200, rel=0.25)


def test_keys_are_spread_by_weight() -> None:
    places = [candidate("heavy", weight=3), candidate("light", weight=1)]
    assert Counter(homes(places).values())["heavy"] == pytest.approx(1500, rel=0.06)


def test_when_one_goes_only_its_own_keys_move() -> None:
    places = idle(10)
    before, after = homes(places), homes(places[:-1])
    moved = {key for key in before if before[key] != after[key]}
    assert moved == {key for key in before if before[key] == "d9"}
    assert len({after[key] for key in moved}) == 9, "and they are spread over all the others"


def test_a_lowered_share_gives_some_keys_away_and_no_others_move() -> None:
    places = idle(4)
    before = homes(places)
    places[0].load.standing.doubted(START)
    after = homes(places)
    moved = {key for key in before if before[key] != after[key]}
    assert {before[key] for key in moved} == {"d0"}
    assert Counter(after.values())["d0"] == pytest.approx(2000 / 7, rel=0.2), "0.5 of 3.5"


def test_a_full_one_overflows_to_the_next_in_the_keys_order_and_back() -> None:
    places = idle(5)
    order = []
    for _ in range(3):
        home = choose("affinity", places, Random(1), asked=asked("k"))
        order.append(home)
        places_by_name = {each.deployment.id: each for each in places}
        places_by_name[home].load.in_flight += 1
    assert len(set(order)) == 3, "⌈1.25 · 3 / 5⌉ is 1 each"
    for place in places:
        place.load.in_flight = 0
    assert choose("affinity", places, Random(1), asked=asked("k")) == order[0]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.floats(0.1, 10.0)), min_size=1, max_size=16),
    st.text(max_size=5),
)
def test_nobody_gets_more_than_a_quarter_above_its_part(loads: list[tuple[int, int, float]], key: str) -> None:
    places = [
        candidate(f"d{index}", in_flight=own, siblings=siblings, weight=weight)
        for index, (own, siblings, weight) in enumerate(loads)
    ]
    chosen = STRATEGIES["affinity"].choose(asked(key), places, snapshot([places]), Random(1))
    assert chosen is not None
    total = sum(own + siblings for own, siblings, _ in loads) + 1
    part = total * chosen.deployment.weight / sum(weight for _, _, weight in loads)
    assert chosen.load.in_flight + chosen.load.siblings + 1 <= ceil(1.25 * part + 1e-9)


def test_one_backend_listed_twice_has_its_keys_under_both_names() -> None:
    twins = [candidate("a", backend="same"), candidate("b", backend="same")]
    assert {choose("affinity", twins, Random(seed), asked=asked("k")) for seed in range(30)} == {"a", "b"}


def test_in_a_large_group_a_key_stays_too() -> None:
    places = idle(200)
    for key in range(20):
        assert len(routed("affinity", places, 20, asked=asked(f"{key}"))) == 1


def test_in_a_large_group_keys_move_only_when_their_own_goes() -> None:
    places = idle(60)

    def where() -> dict[str, str]:
        return {f"{key}": next(iter(routed("affinity", places, 1, asked=asked(f"{key}")))) for key in range(300)}

    before = where()
    gone = before["0"]
    next(each for each in places if each.deployment.id == gone).load.breaker.cool(START, START + 9.0, POLICY)
    after = where()
    assert {before[key] for key in before if before[key] != after[key]} == {gone}
    assert len(set(before.values())) > 50
    assert max(Counter(before.values()).values()) <= 15, "five each would be even"


def test_in_a_large_group_a_hot_key_overflows_to_its_neighbours() -> None:
    places = idle(100)
    seen = Counter[str]()
    by_name = {each.deployment.id: each for each in places}
    for _ in range(80):
        (home,) = routed("affinity", places, 1, asked=asked("hot"))
        by_name[home].load.in_flight += 1
        seen[home] += 1
    assert len(seen) == 7, "of 8, since each may have a quarter more than its part"
    assert max(seen.values()) <= 13
