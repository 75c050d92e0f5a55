from __future__ import annotations

from random import Random

import pytest

from router.core.load import Snapshot
from router.core.strategies.least_busy import LeastBusy
from tests.core.making import START, World, candidate, group, request, tier
from tests.core.strategies.shares import choose, picks


def test_the_fewest_in_flight_wins_wherever_it_stands() -> None:
    for place in range(5):
        places = [candidate(f"d{index}", in_flight=0 if index == place else 1) for index in range(5)]
        assert picks("least-busy", places, 50) == {f"d{place}": 50}


def test_siblings_requests_count_like_our_own() -> None:
    places = [candidate("a", in_flight=1, siblings=5), candidate("b", in_flight=5)]
    assert picks("least-busy", places, 50) == {"b": 50}
    places[1].load.siblings = 2
    assert picks("least-busy", places, 50) == {"a": 50}


def test_a_heavier_one_may_carry_more() -> None:
    heavy, light = candidate("heavy", in_flight=5, weight=3), candidate("light", in_flight=2, weight=1)
    assert picks("least-busy", [heavy, light], 50) == {"heavy": 50}, "6/3 is less than 3/1"
    heavy.load.in_flight = 9
    assert picks("least-busy", [heavy, light], 50) == {"light": 50}, "10/3 is more than 3/1"


def test_idle_ones_are_taken_by_weight() -> None:
    assert picks("least-busy", [candidate("a", weight=1), candidate("b", weight=2)], 50) == {"b": 50}


def test_requests_that_stay_under_way_are_spread_by_weight() -> None:
    world = World(group([*tier("heavy", weight=3), *tier("light")], strategy="least-busy"))
    for _ in range(400):
        name = choose("least-busy", list(world.store.candidates()), world.rng)
        world.lease(name)
    assert world.load("heavy").in_flight == pytest.approx(300, abs=2)
    assert world.load("light").in_flight == pytest.approx(100, abs=2)


def test_sixteen_are_scanned() -> None:
    places = [candidate(f"d{index}", in_flight=1 if index else 0) for index in range(16)]
    assert picks("least-busy", places, 200) == {"d0": 200}


def test_of_more_than_sixteen_the_better_of_two_random_ones_is_taken() -> None:
    places = [candidate(f"d{index:02}", in_flight=index) for index in range(20)]
    shares = picks("least-busy", places, 19_000)
    assert shares["d19"] == 0, "the busiest loses to whomever it is compared with"
    # The one at rank r of n wins against the n - 1 - r busier ones: P = 2 (n - 1 - r) / (n (n - 1)).
    for rank in (0, 5, 10, 15):
        assert shares[f"d{rank:02}"] == pytest.approx(19_000 * 2 * (19 - rank) / (20 * 19), rel=0.12)


def test_in_a_large_group_the_load_still_evens_out() -> None:
    names = [f"d{index}" for index in range(50)]
    world = World(group(tier(*names), strategy="least-busy"))
    everyone = list(world.store.candidates())
    for _ in range(5000):
        world.lease(choose("least-busy", everyone, world.rng))
    loads = [world.load(name).in_flight for name in names]
    assert max(loads) - min(loads) <= 8, "two choices keep within log log n of each other; one would be off by 40"


def test_with_fresh_news_of_few_siblings_the_idle_one_of_three_is_always_taken() -> None:
    places = [candidate("a", siblings=10), candidate("b", siblings=10), candidate("c")]
    view = Snapshot(START, {"gpt": [places]}, {}, live=2, heard_at=START - 0.2)
    rng = Random(1)
    assert {LeastBusy().choose(request(), places, view, rng) for _ in range(50)} == {places[2]}


@pytest.mark.parametrize(("live", "heard_at"), [(2, START - 1.0), (4, START)])
def test_with_stale_news_or_many_siblings_not_everybody_takes_the_same(live: int, heard_at: float) -> None:
    places = [candidate("a", siblings=10), candidate("b", siblings=10), candidate("c")]
    view = Snapshot(START, {"gpt": [places]}, {}, live=live, heard_at=heard_at)
    rng = Random(1)
    assert len({LeastBusy().choose(request(), places, view, rng) for _ in range(50)}) == 3
