from __future__ import annotations

import pytest

from router.core.limits import headroom
from router.core.quota import Allowance, Allowances
from tests.core.making import World, group, tier
from tests.core.strategies.shares import choose, doubted


def world_of(**rpm: int) -> World:
    places = [tier(name, rpm=limit)[0] for name, limit in rpm.items()]
    return World(group(places, strategy="usage-based"))


def pick(world: World) -> str:
    view = world.store.view()
    return choose("usage-based", view.tiers(world.group())[0], world.rng, view)


def test_the_one_with_the_most_headroom_is_taken() -> None:
    world = world_of(small=10, large=100)
    world.lease("small")
    world.lease("large")
    assert {pick(world) for _ in range(20)} == {"large"}, "9/10 is less than 99/100"


def test_quotas_are_spent_evenly() -> None:
    world = world_of(small=20, large=80)
    for _ in range(50):
        world.lease(pick(world))
    rooms = [headroom(world.candidate(name), world.clock.now) for name in ("small", "large")]
    assert rooms == pytest.approx([0.5, 0.5], abs=0.05)


def test_a_minute_later_all_of_it_is_there_again() -> None:
    world = world_of(a=10, b=10)
    for _ in range(3):
        world.lease("a")
    assert {pick(world) for _ in range(20)} == {"b"}
    world.clock.advance(61.0)
    assert {pick(world) for _ in range(50)} == {"a", "b"}


def test_what_upstream_says_is_left_lowers_the_headroom() -> None:
    world = world_of(a=100, b=100)
    lease = world.lease("a")
    world.store.heard(lease, Allowances(requests=Allowance(100, 5, 30.0)))
    for _ in range(20):
        world.lease("b")
    assert {pick(world) for _ in range(20)} == {"b"}


def test_one_in_doubt_counts_as_having_less() -> None:
    world = world_of(a=100, b=100)
    for _ in range(40):
        world.lease("b")
    doubted(world.candidate("a"), now=world.clock.now)
    assert {pick(world) for _ in range(20)} == {"b"}, "1.0 · 0.5 is less than 0.6"


def test_those_without_limits_share_at_random() -> None:
    world = World(group(tier("a", "b"), strategy="usage-based"))
    world.lease("a")
    assert {pick(world) for _ in range(50)} == {"a", "b"}
