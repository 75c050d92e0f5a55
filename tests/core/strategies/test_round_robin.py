from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.types import Deployment
from router.state.base import SUCCESS
from tests.core.making import World, candidate, deployment, group, snapshot, tier
from tests.core.strategies.shares import choose


def places(**weights: float) -> list[Deployment]:
    return [deployment(name, weight=weight) for name, weight in weights.items()]


def world_of(**weights: float) -> World:
    return World(group(places(**weights), strategy="round-robin"))


def serve(world: World, count: int, without: frozenset[str] = frozenset()) -> Counter[str]:
    """Choose and take a lease, over and over."""
    shares: Counter[str] = Counter()
    for _ in range(count):
        view = world.store.view()
        fit = [each for each in view.tiers(world.group())[0] if each.deployment.id not in without]
        name = choose("round-robin", fit, world.rng, view)
        world.lease(name)
        shares[name] += 1
    return shares


def test_everyone_gets_exactly_one_turn_in_each_round() -> None:
    world = world_of(a=1, b=1, c=1)
    for _ in range(20):
        assert serve(world, 3) == {"a": 1, "b": 1, "c": 1}


def test_the_order_within_a_round_is_random() -> None:
    world = world_of(a=1, b=1, c=1)
    firsts = {next(iter(serve(world, 3))) for _ in range(30)}
    assert firsts == {"a", "b", "c"}


@pytest.mark.parametrize("weights", [{"a": 3, "b": 1}, {"a": 5, "b": 2, "c": 1}, {"a": 0.5, "b": 0.25}])
def test_shares_are_exact_by_weight(weights: dict[str, float]) -> None:
    rounds = 40
    smallest = min(weights.values())
    turn = sum(weights.values()) / smallest
    shares = serve(world_of(**weights), round(rounds * turn))
    for name, weight in weights.items():
        assert abs(shares[name] - rounds * weight / smallest) <= 1


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(1, 300))
def test_nobody_is_ever_more_than_a_turn_ahead_of_its_share(weights: list[int], count: int) -> None:
    names = [f"d{index}" for index in range(len(weights))]
    world = world_of(**dict(zip(names, map(float, weights), strict=True)))
    shares = serve(world, count)
    turns = [shares[name] / weight for name, weight in zip(names, weights, strict=True)]
    for mine, weight in zip(turns, weights, strict=True):
        assert mine <= min(turns) + 1 / weight + 1 / min(weights) + 1e-9


def test_turns_are_counted_when_a_lease_is_taken_not_when_one_is_chosen() -> None:
    world = world_of(a=1, b=1)
    view = world.store.view()
    assert {choose("round-robin", view.tiers(world.group())[0], world.rng, view) for _ in range(50)} == {"a", "b"}
    world.lease("a")
    assert {choose("round-robin", view.tiers(world.group())[0], world.rng, view) for _ in range(50)} == {"b"}


def test_a_newcomer_gets_no_burst() -> None:
    world = world_of(a=1, b=1)
    serve(world, 1000)
    world.configure(group(places(a=1, b=1, new=1), strategy="round-robin"))
    assert serve(world, 30)["new"] == pytest.approx(10, abs=1)


def test_one_back_from_a_cooldown_gets_no_burst() -> None:
    world = world_of(a=1, b=1, c=1)
    serve(world, 30)
    serve(world, 1000, without=frozenset({"c"}))
    assert serve(world, 30)["c"] == pytest.approx(10, abs=1)


def test_one_that_was_away_is_not_punished_either() -> None:
    world = world_of(a=1, b=1)
    serve(world, 1000, without=frozenset({"b"}))
    assert serve(world, 20)["a"] == pytest.approx(10, abs=1)


def test_a_lower_tier_does_not_catch_up_on_what_the_upper_one_did() -> None:
    world = World(group(tier("a"), tier("spare1", "spare2"), strategy="round-robin"))
    for _ in range(100):
        world.lease("a")
    view = world.store.view()
    spares = view.tiers(world.group())[1]
    for _ in range(10):
        world.lease(choose("round-robin", spares, world.rng, view))
    assert world.load("spare1").turns["gpt"] == pytest.approx(world.load("spare2").turns["gpt"], abs=1)


def test_each_model_has_a_round_of_its_own_also_where_they_share_a_backend() -> None:
    shared = {"api_base": "http://up.test/v1", "model": "m"}
    world = World(
        group([deployment("a", **shared), deployment("b")], strategy="round-robin"),
        group([deployment("x", group="other", **shared)], name="other", strategy="round-robin"),
    )
    for _ in range(1000):
        world.store.settle(world.lease("x", "other"), SUCCESS)
    assert serve(world, 30) == {"a": 15, "b": 15}


def test_the_lowest_turn_is_asked_first() -> None:
    group_ = [candidate("a", turn=2.0), candidate("b", turn=1.0), candidate("c", turn=3.0)]
    assert choose("round-robin", group_, World(group(tier("x"))).rng) == "b"


def test_turns_below_the_groups_virtual_time_are_level() -> None:
    group_ = [candidate("a", turn=2.0), candidate("b", turn=1.0), candidate("c", turn=30.0)]
    view = snapshot([group_], turns={"gpt": 10.0})
    rng = World(group(tier("x"))).rng
    shares = Counter(choose("round-robin", group_, rng, view) for _ in range(2000))
    assert shares["a"] == pytest.approx(1000, abs=120)
    assert set(shares) == {"a", "b"}
