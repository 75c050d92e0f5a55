"""Explain tells what the request path does, because it asks the request path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Any

import pytest

from router.core.errors import FailureKind
from router.core.explain import Explanation, explain
from router.core.failover import Failover, FallbackKind, Try
from router.core.filters import Reason
from router.core.hedging import FEWEST
from router.core.retry import Health
from router.core.strategies import STRATEGIES
from router.core.types import Deployment, HedgingPolicy, Prices, RouteRequest, Strict, Usage
from router.state.base import SUCCESS, Outcome, Served
from tests.core.making import World, deployment, group, request, tier

CHOICES = 10_000


def explained(world: World, asked: RouteRequest | None = None, name: str = "gpt") -> Explanation:
    return explain(asked or request(), world.group(name), world.catalogue, world.store.view())


def probabilities(told: Explanation, name: str = "gpt") -> dict[str, float]:
    return {one.candidate.deployment.id: one.probability for one in told.plans[name].candidates}


def reasons(told: Explanation, name: str = "gpt") -> dict[str, Reason | None]:
    return {one.candidate.deployment.id: one.reason for one in told.plans[name].candidates}


def unlike(count: int) -> list[Deployment]:
    return [
        deployment(f"d{place}", weight=1.0 + place % 3, prices=Prices((1 + place % 4) * 1e-6, (1 + place % 4) * 4e-6))
        for place in range(count)
    ]


def worked(deployments: Sequence[Deployment], strategy: str, siblings: bool) -> World:
    """A world in the middle of its work: some busy, some slow, one just back, one resting."""
    world = World(group(deployments, strategy=strategy))
    rng = Random(11)
    for one in deployments:
        for _ in range(rng.randrange(6)):
            lease = world.lease(one.id)
            world.clock.advance(0.01)
            if rng.random() < 0.7:
                served = Served(2.0 + rng.random() * 4.0, 0.2 + rng.random(), Usage(50, 100))
                world.store.settle(lease, Outcome(served=served))
        if siblings:
            world.load(one.id).siblings = rng.randrange(5)
    resting = world.lease(deployments[0].id)
    world.store.settle(resting, Outcome(Health.COOL_KEY, FailureKind.RATE_LIMITED, 60.0))
    world.load(deployments[1].id).standing.recovered(world.clock.now - 4.0)
    return world


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("count", "siblings", "stream"), [(2, False, True), (6, False, False), (6, True, True), (40, False, True)]
)
def test_its_distribution_is_that_of_10_000_real_choices(
    strategy: str, count: int, siblings: bool, stream: bool
) -> None:
    world = worked(unlike(count), strategy, siblings)
    asked = request(tokens=80, stream=stream, affinity=lambda: "a conversation")
    chances = probabilities(explained(world, asked))
    assert sum(chances.values()) == pytest.approx(1.0)
    rng = Random(5)
    picked: Counter[str] = Counter()
    for _ in range(CHOICES):
        step = Failover(asked, world.group(), world.catalogue, rng, lambda _: None).next(world.store.view())
        assert isinstance(step, Try)
        picked[step.candidate.deployment.id] += 1
    for name, chance in chances.items():
        # In a large tier a choice draws from a few: what explain weighs exactly, it comes close to.
        slack = 0.0 if count <= 16 else 0.15 * chance + 0.01
        assert abs(picked[name] / CHOICES - chance) <= 4.5 * sqrt(chance * (1.0 - chance) / CHOICES) + slack, name


def hedging(*deployments: Deployment, **policy: Any) -> World:
    """A world that has seen enough streams to hedge, the slowest of 3 s, and has one copy saved up."""
    world = World(group(deployments, hedging=HedgingPolicy(), **policy))
    hedges = world.store.view().hedges["gpt"]
    for place in range(FEWEST):
        world.store.settle(world.lease(deployments[place % len(deployments)].id), SUCCESS)
        hedges.add(3.0 if place == 0 else 0.5)
        hedges.stream(0.05)
    return world


def copies(told: Explanation) -> dict[str, float]:
    return {one.candidate.deployment.id: one.copied for one in told.plans["gpt"].candidates}


def test_it_tells_when_a_stream_would_be_hedged_and_to_whom() -> None:
    fresh, strict = deployment("fresh"), deployment("strict", rpm=100, strict=Strict(rpm=True))
    world = hedging(*tier("a", "b"), fresh, strict, strategy="weighted")
    world.load("fresh").succeeded_at = float("-inf")
    told = explained(world, request(stream=True))
    plan = told.plans["gpt"].hedge
    assert plan is not None
    assert plan.after == 3.0
    assert plan.saved == pytest.approx(1.0)
    assert copies(told) == {"a": pytest.approx(0.5), "b": pytest.approx(0.5), "fresh": 0.0, "strict": 0.0}


@pytest.mark.parametrize("strategy", ["weighted", "latency-based"])
def test_the_distribution_of_copies_is_that_of_real_ones(strategy: str) -> None:
    world = hedging(*unlike(5), strategy=strategy)
    asked, rng, picked = request(stream=True), Random(3), Counter[str]()
    for _ in range(3000):
        failover = Failover(asked, world.group(), world.catalogue, rng, lambda _: None)
        failover.next(world.store.view())
        copy = failover.hedge(world.store.view())
        assert copy is not None
        picked[copy.candidate.deployment.id] += 1
    for name, chance in copies(explained(world, asked)).items():
        assert picked[name] / 3000 == pytest.approx(chance, abs=0.04), name


@pytest.mark.parametrize(("stream", "policy"), [(False, {}), (True, {"max_attempts": 1})])
def test_who_is_not_hedged_has_nobody_to_copy_to(stream: bool, policy: dict[str, Any]) -> None:
    told = explained(hedging(*tier("a", "b"), **policy), request(stream=stream))
    assert (told.plans["gpt"].hedge is None) is not stream
    assert set(copies(told).values()) == {0.0}


def test_asking_changes_nothing() -> None:
    world = worked(unlike(4), "adaptive", siblings=False)

    def everything() -> list[Any]:
        loads = [one.load for one in world.store.candidates()]
        return [
            (load.in_flight, load.outstanding, dict(load.turns), load.next_key, load.breaker.trial) for load in loads
        ]

    before, events = everything(), len(world.events)
    explained(world)
    assert (everything(), len(world.events)) == (before, events)


def test_everyone_is_shown_with_the_reason_for_being_passed_over() -> None:
    world = World(
        group(
            [
                deployment("off", enabled=False),
                deployment("other-kind", mode="embedding"),
                deployment("small", context_window=10),
                deployment("full", max_parallel_requests=1),
                deployment("resting"),
                deployment("tried"),
                deployment("good"),
            ],
            tier("spare"),
        )
    )
    world.lease("full")
    world.store.settle(world.lease("resting"), Outcome(Health.COOL_KEY, FailureKind.RATE_LIMITED, 9.0))
    world.store.settle(world.lease("tried"), Outcome(Health.COOL_KEY, FailureKind.RATE_LIMITED, 0.0))
    assert world.lease("tried").key_trial
    told = explained(world, request(tokens=1000))
    assert reasons(told) == {
        "off": Reason.DISABLED,
        "other-kind": Reason.CAPABILITY,
        "small": Reason.CONTEXT_WINDOW,
        "full": Reason.PARALLEL,
        "resting": Reason.COOLDOWN,
        "tried": Reason.COOLDOWN,
        "good": None,
        "spare": None,
    }
    assert probabilities(told)["good"] == 1.0
    assert [one.weighed is None for one in told.plans["gpt"].candidates][-2:] == [False, True]
    assert (told.first, told.fallback, told.refusal) == ("gpt", None, None)


def test_the_fallback_chains_are_those_the_request_would_take() -> None:
    world = World(
        group(tier("a"), fallbacks=("f", "g", "h"), context_window_fallbacks=("w",), content_policy_fallbacks=("g",)),
        group(tier("fa", group="f"), name="f"),
        group(tier("ga", group="g"), name="g"),
        group(tier("ha", group="h"), name="h"),
        group(tier("wa", group="w"), name="w"),
    )
    world.store.settle(world.lease("fa", "f"), Outcome(Health.COOL_KEY, FailureKind.RATE_LIMITED, 9.0))
    told = explained(world)
    assert told.chains == {
        FallbackKind.GENERAL: ["g", "h"],
        FallbackKind.CONTEXT_WINDOW: ["w", "g", "h"],
        FallbackKind.CONTENT_POLICY: ["g", "h"],
    }
    assert set(told.plans) == {"gpt", "g", "h", "w"}
    own = explained(world, request(fallbacks=("w",)))
    assert own.chains[FallbackKind.GENERAL] == ["w"]


def test_a_chain_ends_where_the_attempts_do() -> None:
    groups = [group(tier(f"{name}-1", group=name), name=name) for name in "bcd"]
    world = World(group(tier("a"), fallbacks=("b", "c", "d"), max_attempts=3), *groups)
    assert explained(world).chains[FallbackKind.GENERAL] == ["b", "c"]


def test_a_prompt_too_large_for_everyone_is_seen_to_go_to_the_fallback() -> None:
    world = World(
        group([deployment("small", context_window=10)], context_window_fallbacks=("large",)),
        group(tier("wide", group="large"), name="large"),
    )
    told = explained(world, request(tokens=1000))
    assert (told.first, told.fallback) == ("large", FallbackKind.CONTEXT_WINDOW)
    assert reasons(told) == {"small": Reason.CONTEXT_WINDOW}


def test_without_a_fallback_a_prompt_too_large_by_the_estimate_is_left_to_upstream() -> None:
    world = World(group([deployment("small", context_window=10)]))
    told = explained(world, request(tokens=1000))
    assert (told.first, told.refusal) == ("gpt", None)
    assert probabilities(told) == {"small": 1.0}


def test_a_request_that_nobody_can_serve_is_seen_to_be_refused() -> None:
    world = World(group(tier("a")))
    world.store.settle(world.lease("a"), Outcome(Health.COOL_KEY, FailureKind.RATE_LIMITED, 9.0))
    told = explained(world)
    assert told.first is None
    assert told.refusal is not None
    assert (told.refusal.status, told.refusal.retry_after) == (429, 9.0)
    assert told.plans["gpt"].cost is None


def test_the_cost_is_weighted_by_probability() -> None:
    cheap, dear = (
        deployment("cheap", prices=Prices(0.001, 0.01)),
        deployment("dear", prices=Prices(0.003, 0.03), weight=3.0),
    )
    world = World(group([cheap, dear], strategy="weighted"))
    plan = explained(world, request(tokens=10, max_output=100)).plans["gpt"]
    assert [one.cost for one in plan.candidates] == [pytest.approx(1.01), pytest.approx(3.03)]
    assert plan.cost == pytest.approx(0.25 * 1.01 + 0.75 * 3.03)
    unpriced = World(group([cheap, deployment("unknown")], strategy="weighted"))
    assert explained(unpriced).plans["gpt"].cost is None
