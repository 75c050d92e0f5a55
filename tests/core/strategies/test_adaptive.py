from __future__ import annotations

import pytest

from router.core.load import Candidate, Snapshot
from router.core.types import AdaptiveWeights, Prices, RoutingPolicy
from router.state.base import SUCCESS
from tests.core.making import START, World, candidate, group, request, tier
from tests.core.strategies.shares import doubted, picks, queued, sampled

WHOLE = request()
STREAM = request(stream=True)
OWN = 110
"""Tokens that this request should take: 10 of prompt and 100 of output."""


def loaded(name: str, outstanding: int = 0, **fields: object) -> Candidate:
    place = candidate(name, **fields)  # type: ignore[arg-type]
    place.load.outstanding = outstanding
    return place


def view_of(places: list[Candidate], **weights: float) -> Snapshot:
    policies = {"gpt": RoutingPolicy(adaptive=AdaptiveWeights(**weights))}
    return Snapshot(START, {"gpt": [places]}, {}, policies=policies)


def replied(place: Candidate, seconds: float) -> Candidate:
    """`place` once a whole reply of 100 tokens has come from it after that long."""
    place.load.latency.replied(START, 100, seconds)
    return place


def test_work_of_whole_replies_is_counted_in_tokens_not_in_requests() -> None:
    places = [loaded("one long", 5000, in_flight=1), loaded("four short", 400, in_flight=4)]
    assert picks("adaptive", places, 50, asked=WHOLE) == {"four short": 50}
    assert picks("least-busy", places, 50, asked=WHOLE) == {"one long": 50}


def test_speed_and_work_multiply() -> None:
    fast, slow = replied(loaded("fast", 2 * OWN), 2.0), replied(loaded("slow"), 5.0)
    assert picks("adaptive", [fast, slow], 50, asked=WHOLE) == {"slow": 50}, "2 · 3 is more than 5 · 1"
    fast.load.outstanding = OWN
    assert picks("adaptive", [fast, slow], 50, asked=WHOLE) == {"fast": 50}, "2 · 2 is less"


def test_a_stream_goes_where_prompt_and_wait_together_are_shortest() -> None:
    fast, slow = queued(sampled(candidate("fast"), 0.2), 3, pace=0.15), sampled(candidate("slow"), 0.5)
    assert picks("adaptive", [fast, slow], 50, asked=STREAM) == {"slow": 50}, "0.2 + 3 · 0.15 is more than 0.5"
    fast.load.in_flight -= 2
    assert picks("adaptive", [fast, slow], 50, asked=STREAM) == {"fast": 50}


def test_everyone_of_a_few_is_compared() -> None:
    places = [sampled(candidate(f"d{rank}"), 0.1 * (rank + 1)) for rank in range(10)]
    assert picks("adaptive", places, 50, asked=STREAM) == {"d0": 50}


def test_an_unknown_one_counts_as_fast_as_the_fastest() -> None:
    places = [sampled(candidate("slow"), 2.0), queued(sampled(candidate("fast"), 0.2), 1, pace=0.2), candidate("new")]
    assert picks("adaptive", places, 50, asked=STREAM) == {"new": 50}
    places[2].load.outstanding = 2 * OWN
    assert picks("adaptive", places, 50, asked=STREAM) == {"fast": 50}, "a trial that hangs draws no more"


def test_a_sibling_s_request_counts_as_one_like_this() -> None:
    places = [loaded("a", siblings=2), loaded("b", OWN)]
    assert picks("adaptive", places, 50, asked=WHOLE) == {"b": 50}


def test_a_short_headroom_is_spared() -> None:
    weights = AdaptiveWeights(headroom=1.0)
    world = World(group([*tier("short", rpm=10), *tier("ample")], strategy="adaptive", adaptive=weights))
    for _ in range(9):
        world.lease("short")
    world.load("short").outstanding = 0
    world.load("ample").outstanding = 5 * OWN
    view = world.store.view()
    assert picks("adaptive", list(view.tiers(world.group())[0]), 50, view=view, asked=STREAM) == {"ample": 50}


def test_cost_decides_as_much_as_it_is_weighed() -> None:
    cheap = queued(sampled(candidate("cheap", prices=Prices(1e-6, 1e-6)), 0.2), 3, pace=0.2)
    dear = sampled(candidate("dear", prices=Prices(2e-6, 2e-6)), 0.2)
    places = [cheap, dear]
    assert picks("adaptive", places, 50, view=view_of(places), asked=STREAM) == {"dear": 50}
    assert picks("adaptive", places, 50, view=view_of(places, cost=1.0), asked=STREAM) == {"dear": 50}
    assert picks("adaptive", places, 50, view=view_of(places, cost=5.0), asked=STREAM) == {"cheap": 50}


def test_free_is_cheapest_and_unknown_is_dearest_where_cost_is_weighed() -> None:
    places = [loaded("unknown"), loaded("free", prices=Prices(0.0, 0.0)), loaded("dear", prices=Prices(1e-3, 1e-3))]
    assert picks("adaptive", places, 50, view=view_of(places, cost=1.0), asked=STREAM) == {"free": 50}
    assert picks("adaptive", places[::2], 50, view=view_of(places, cost=1.0), asked=STREAM) == {"dear": 50}


@pytest.mark.parametrize(("part", "winner"), [("load", "fast"), ("latency", "idle")])
def test_a_weight_of_zero_leaves_a_part_out(part: str, winner: str) -> None:
    fast, idle = queued(sampled(candidate("fast"), 0.1), 20, pace=0.1), sampled(candidate("idle"), 0.9)
    places = [fast, idle]
    assert picks("adaptive", places, 50, view=view_of(places, **{part: 0.0}), asked=STREAM) == {winner: 50}


def test_one_in_doubt_is_asked_later() -> None:
    places = [doubted(candidate("doubted")), loaded("sound", OWN // 2)]
    assert picks("adaptive", places, 50, asked=STREAM) == {"sound": 50}


# The tokens under way, as the state store counts them.


def test_a_lease_brings_its_prompt_and_expected_output_and_takes_back_what_is_left() -> None:
    world = World(group(tier("a")))
    first, second = world.lease("a"), world.lease("a")
    assert world.load("a").outstanding == 2 * OWN
    first.answered(START)
    assert world.load("a").outstanding == OWN + 100, "its prompt is done with"
    for _ in range(30):
        first.produced(2)
    assert world.load("a").outstanding == OWN + 40
    world.store.settle(first, SUCCESS)
    assert world.load("a").outstanding == OWN
    world.store.settle(second, SUCCESS)
    assert world.load("a").outstanding == 0


def test_a_reply_longer_than_expected_never_counts_below_zero() -> None:
    world = World(group(tier("a")))
    lease = world.lease("a")
    lease.answered(START)
    for _ in range(500):
        lease.produced(3)
    assert world.load("a").outstanding == 1, "it is still under way"
    world.store.settle(lease, SUCCESS)
    assert world.load("a").outstanding == 0
    lease.produced(50)
    lease.answered(START)
    assert world.load("a").outstanding == 0, "what comes after the end is counted nowhere"
