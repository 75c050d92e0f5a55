"""What becomes of a request whose group has spent its retry budget: its fallbacks, or the honest error."""

from __future__ import annotations

from typing import Any

from router.core.failover import Failover, Try
from router.core.retry_budget import Draw
from router.core.types import Deployment, Prices, RetryBudgetPolicy
from router.state.base import SUCCESS
from tests.core.making import World, group, request, tier
from tests.core.playing import Play, failure, play, steps

NONE = RetryBudgetPolicy(ratio=0.0, min_per_second=0.0)
ONE = RetryBudgetPolicy(ratio=0.0, min_per_second=0.1)


def world(*tiers: tuple[Deployment, ...], budget: RetryBudgetPolicy = NONE, **policy: Any) -> World:
    return World(
        group(*tiers, strategy="round-robin", retry_budget=budget, **policy), group(tier("spare", group="f"), name="f")
    )


def has_served(known: World, *names: str) -> None:
    for name in names:
        known.store.settle(known.lease(name), SUCCESS)


def test_a_retry_on_an_untried_deployment_that_served_lately_needs_no_budget() -> None:
    known = world(tier("a", "b"))
    has_served(known, "b")
    assert play(known, {"a": "503"}) == steps("a 503, b ok")
    assert known.store.view().budgets["gpt"].retries == 0


def test_with_nothing_in_the_budget_an_unproven_deployment_is_not_asked() -> None:
    known = world(tier("a", "b"))
    told = Play(known, {"a": "503"})
    assert told.run() == steps("a 503, stop 502 upstream_error")
    assert told.error is not None
    assert told.error.message == "gpt: 1 attempt: a 503; not retried, since retries are at their budget for now"
    assert told.error.should_retry is False
    assert told.failover is not None
    assert told.failover.denied == "gpt"


def test_the_chosen_one_being_unproven_a_proven_one_is_asked_for_free() -> None:
    known = world(tier("a", "b", "c"))
    has_served(known, "c")
    assert play(known, {"a": "503", "b": "503"}) == steps("a 503, c ok")


def test_a_success_of_long_ago_proves_nothing() -> None:
    known = world(tier("a", "b"))
    has_served(known, "b")
    known.clock.advance(60.0)
    assert play(known, {"a": "503"}) == steps("a 503, stop 502 upstream_error")


def test_the_same_deployment_once_more_is_always_paid_for() -> None:
    known = world(tier("a"), budget=ONE)
    has_served(known, "a")
    assert play(known, {"a": "503"}) == steps("a 503, wait 0.1, a 503, stop 502 upstream_error")
    assert play(known, {"a": "503"}) == steps("a 503, stop 502 upstream_error"), "not even waited for"


def test_a_half_open_deployment_is_paid_for_however_well_it_was() -> None:
    known = world(tier("a", "b"))
    has_served(known, "b")
    known.load("b").breaker.cool(known.clock.now, known.clock.now + 1.0, known.group().policy.cooldown)
    known.clock.advance(2.0)
    assert play(known, {"a": "503"}) == steps("a 503, stop 502 upstream_error")


def test_fallbacks_are_free() -> None:
    known = world(tier("a", "b"), fallbacks=("f",))
    assert play(known, {"a": "503"}) == steps("a 503, to f: general, spare ok")


def test_the_fallbacks_group_counts_it_as_a_request_of_its_own() -> None:
    known = world(tier("a"), num_retries=0, fallbacks=("f",))
    play(known, {"a": "503"})
    budgets = known.store.view().budgets
    assert [(budgets[name].requests, budgets[name].retries) for name in ("gpt", "f")] == [(1, 0), (1, 0)]


def test_a_budget_is_one_groups_own() -> None:
    known = World(
        group(tier("a", "b"), strategy="round-robin", retry_budget=NONE, fallbacks=("f",)),
        group(tier("fa", "fb", group="f"), name="f", strategy="round-robin"),
    )
    assert play(known, {"a": "503", "fa": "503"}) == steps("a 503, to f: general, fa 503, fb ok")
    assert known.store.view().budgets["f"].retries == 1


def test_in_an_outage_the_attempts_are_not_multiplied() -> None:
    known = world(tier("a", "b", "c"), budget=RetryBudgetPolicy(0.2, 0.0))
    attempts = 0
    for _ in range(1000):
        for name in ("a", "b", "c"):
            known.load(name).breaker.open_until = None  # as if the upstreams failed in ways that open no breaker
        told = Play(known, dict.fromkeys(("a", "b", "c"), "503"))
        told.run()
        attempts += len(told.lines) - 1
        known.clock.advance(0.01)
    assert 1100 <= attempts <= 1210


def test_a_request_that_is_only_explained_draws_nothing() -> None:
    known = world(tier("a", "b"), budget=ONE)
    failover = Failover(request(), known.group(), known.catalogue, known.rng, lambda found: None)
    for draw in (Draw.REQUEST, Draw.PAID):
        step = failover.next(known.store.view())
        assert isinstance(step, Try)
        assert step.draw is draw
        failover.failed(step, failure("503"))
    budget = known.store.view().budgets["gpt"]
    assert (budget.requests, budget.retries) == (0, 0)


def test_a_reload_keeps_what_was_spent() -> None:
    known = world(tier("a", "b"), budget=ONE)
    play(known, {"a": "503"})
    known.configure(group(tier("a", "b", prices=Prices(1.0, 1.0)), retry_budget=ONE))
    assert known.store.view().budgets["gpt"].retries == 1
