"""What `weigh` says of a choice and what really is chosen: the same, for every strategy and in every situation."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from random import Random

import pytest

from router.core.choice import weigh
from router.core.estimators import Ewma
from router.core.load import Candidate, Snapshot
from router.core.strategies import STRATEGIES
from router.core.tier import Tier
from router.core.types import AdaptiveWeights, Prices, RouteRequest, RoutingPolicy
from tests.core.making import POLICY, START, candidate, group, request
from tests.core.strategies.shares import doubted, routed, sampled

COUNT = 10_000
SURE = 500
"""Choices where only one is ever chosen: every single one must be it."""

DEFAULTS = AdaptiveWeights()
PRICES = [Prices(1e-6, 4e-6), Prices(2e-6, 2e-6, 1e-6), Prices(0.0, 0.0), Prices()]


def lived_in(size: int, seed: int, *, siblings: bool = False, prices: int = 3) -> list[Candidate]:
    """A tier with some of everything: load, turns, weights, prices, samples and none, lowered shares, limits."""
    rng = Random(seed)
    places = []
    for index in range(size):
        place = candidate(
            f"d{index}",
            in_flight=rng.randrange(4),
            siblings=rng.randrange(3) if siblings else 0,
            turn=float(rng.randrange(3)),
            weight=rng.choice([0.5, 1.0, 3.0]),
            prices=PRICES[rng.randrange(prices)] if prices <= len(PRICES) else Prices(rng.random(), rng.random()),
        )
        place.load.outstanding = rng.randrange(3) * 200
        if rng.random() < 0.7:
            sampled(place, rng.choice([0.1, 0.3, 1.0]))
        if rng.random() < 0.3:
            doubted(place, rng.randrange(1, 4))
        places.append(place)
    return places


def rest(places: list[Candidate], fit: int) -> list[Candidate]:
    """All but `fit` of them, spread over the list, are open."""
    keep = set(Random(3).sample(range(len(places)), fit))
    for index, place in enumerate(places):
        if index not in keep:
            place.load.breaker.cool(START, START + 60.0, POLICY)
    return places


SITUATIONS: dict[str, Callable[[], list[Candidate]]] = {
    "one": lambda: lived_in(1, 1),
    "two": lambda: lived_in(2, 2),
    "five": lambda: lived_in(5, 3),
    "five alike": lambda: [candidate(f"d{index}") for index in range(5)],
    "sixteen": lambda: lived_in(16, 4),
    "sixteen beside siblings": lambda: lived_in(16, 5, siblings=True),
    "ten of which four are fit": lambda: rest(lived_in(10, 6), 4),
    "seventeen": lambda: lived_in(17, 7),
    "forty": lambda: lived_in(40, 8),
    "forty at prices of their own": lambda: lived_in(40, 9, prices=40),
    "forty of which twenty are fit": lambda: rest(lived_in(40, 10), 20),
    "forty of which five are fit": lambda: rest(lived_in(40, 11), 5),
    "forty of which two are fit": lambda: rest(lived_in(40, 12), 2),
    "forty of which one is fit": lambda: rest(lived_in(40, 13), 1),
    "forty alike": lambda: [candidate(f"d{index}") for index in range(40)],
}


def view_of(places: list[Candidate], adaptive: AdaptiveWeights = DEFAULTS) -> Snapshot:
    output, cached = Ewma(10.0), Ewma(10.0)
    output.add(150.0)
    cached.add(0.4)
    policies = {"gpt": RoutingPolicy(adaptive=adaptive)}
    return Snapshot(START, {"gpt": [Tier(places)]}, {"gpt": 1.0}, {"gpt": output}, {"gpt": cached}, policies)


def agree(name: str, places: list[Candidate], view: Snapshot, asked: RouteRequest) -> None:
    weighed = weigh(asked, group(strategy=name), view).weighed
    assert sum(each.probability for each in weighed) == pytest.approx(1.0)
    count = SURE if max(each.probability for each in weighed) == 1.0 else COUNT
    shares = routed(name, places, count, seed=5, view=view, asked=asked)
    for each in weighed:
        expected = count * each.probability
        spread = sqrt(expected * max(1.0 - each.probability, 0.0))
        assert abs(shares[each.candidate.deployment.id] - expected) <= 4.5 * spread + 1e-6, each
    assert sum(shares.values()) == count


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.parametrize("situation", SITUATIONS)
def test_ten_thousand_choices_agree_with_the_chances_told(name: str, situation: str) -> None:
    places = SITUATIONS[situation]()
    asked = request(stream=True, affinity="session 1".__str__ if name == "affinity" else None)
    agree(name, places, view_of(places), asked)


@pytest.mark.parametrize("situation", ["five", "sixteen", "forty", "sixteen beside siblings"])
def test_they_agree_for_whole_replies(situation: str) -> None:
    places = SITUATIONS[situation]()
    for index, place in enumerate(places):
        if index % 3:
            place.load.latency.replied(START, 100, 0.5 + index % 4)
    for name in ("latency-based", "adaptive"):
        agree(name, places, view_of(places), request())


@pytest.mark.parametrize("situation", ["five", "sixteen", "forty", "forty at prices of their own"])
def test_they_agree_for_an_adaptive_score_with_other_weights(situation: str) -> None:
    places = SITUATIONS[situation]()
    weights = AdaptiveWeights(load=0.5, latency=2.0, headroom=0.0, cost=3.0)
    agree("adaptive", places, view_of(places, weights), request(stream=True))


def test_a_request_without_an_affinity_goes_where_it_is_least_busy() -> None:
    places = lived_in(12, 3)
    assert routed("affinity", places, 500) == routed("least-busy", places, 500)
    large = lived_in(50, 3)
    assert routed("affinity", large, 500) == routed("least-busy", large, 500)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_weighing_names_what_it_went_by_and_nothing_that_changes_things(name: str) -> None:
    places = lived_in(6, 1)
    view = view_of(places)
    asked = request(stream=True, affinity="s".__str__)
    first = STRATEGIES[name].weigh(asked, places, view)
    assert [each.candidate for each in first] == places
    assert all(each.inputs for each in first)
    assert STRATEGIES[name].weigh(asked, places, view) == first
    assert list(STRATEGIES[name].weigh(asked, [], view)) == []
