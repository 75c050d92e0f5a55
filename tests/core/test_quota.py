"""Upstream's word on its limits, and what becomes of it."""

from __future__ import annotations

import pytest

from router.core.filters import Reason, cooldown, limits
from router.core.limits import headroom
from router.core.quota import NOTHING_SENT, Allowance, Allowances, Mark, Quota
from router.core.types import Estimate, Limits
from tests.core.making import START, World, deployment, group, request, tier

NONE_LEFT = Allowances(Allowance(100, 0, 20.0))


def heard(word: Allowances, mark: Mark = NOTHING_SENT) -> Quota:
    quota = Quota()
    quota.heard(START, word, mark)
    return quota


def test_nothing_left_is_a_shortage_until_the_reset_that_upstream_named() -> None:
    quota = heard(NONE_LEFT)
    assert quota.shortage(START + 19.9) == "rpm"
    assert quota.frees_at(START + 5.0) == START + 20.0
    assert quota.shortage(START + 20.0) is None
    assert quota.frees_at(START + 20.0) == START + 20.0


def test_a_word_without_a_reset_refuses_nothing() -> None:
    quota = heard(Allowances(Allowance(100, 0, None)))
    assert quota.shortage(START) is None
    assert quota.headroom(START, None) == 0.0
    assert quota.headroom(START + 60.0, None) == 1.0


def test_what_is_sent_after_the_word_lowers_what_is_left() -> None:
    quota = heard(Allowances(Allowance(10, 2, 20.0), Allowance(1000, 500, 20.0)))
    assert quota.headroom(START, None) == 0.2
    quota.sent(100)
    assert quota.headroom(START, None) == 0.1
    assert quota.shortage(START) is None
    quota.sent(100)
    assert quota.shortage(START) == "rpm"


def test_tokens_run_out_like_requests_do() -> None:
    quota = heard(Allowances(Allowance(10, 9, 20.0), Allowance(1000, 500, 30.0)))
    quota.sent(500)
    assert quota.shortage(START) == "tpm"
    assert quota.frees_at(START) == START + 30.0


def test_what_was_sent_between_a_request_and_its_reply_is_not_in_the_word_of_the_reply() -> None:
    quota = heard(Allowances(Allowance(10, 10, 20.0)))
    first = quota.sent(1)
    quota.sent(1)
    last = quota.sent(1)
    quota.heard(START, Allowances(Allowance(10, 9, 20.0)), first)
    assert quota.headroom(START, None) == pytest.approx(0.7)
    quota.heard(START, Allowances(Allowance(10, 7, 20.0)), last)
    assert quota.headroom(START, None) == pytest.approx(0.7)


def test_a_word_on_requests_alone_leaves_that_on_tokens_as_it_was() -> None:
    quota = heard(Allowances(None, Allowance(1000, 0, 20.0)))
    quota.heard(START, Allowances(Allowance(10, 9, 20.0)), NOTHING_SENT)
    assert quota.shortage(START) == "tpm"


def test_where_upstream_does_not_tell_its_limit_our_own_stands_in() -> None:
    quota = heard(Allowances(Allowance(None, 30, 20.0)))
    assert quota.headroom(START, Limits(rpm=60)) == 0.5
    assert quota.headroom(START, None) == 1.0


# In the store.


def told(world: World, word: Allowances, name: str = "a") -> None:
    world.store.heard(world.lease(name), word)


def reason(world: World, name: str = "a") -> Reason | None:
    return limits(request(), world.candidate(name), world.store.view())


def test_a_deployment_with_nothing_left_is_passed_over_until_its_reset() -> None:
    world = World(group(tier("a", "b")))
    told(world, NONE_LEFT)
    assert reason(world) is Reason.RPM
    assert reason(world, "b") is None
    assert world.candidate("a").frees_at(START) == START + 20.0
    world.clock.advance(20.0)
    assert reason(world) is None


def test_tokens_that_upstream_has_none_of_left_are_told_as_tpm() -> None:
    world = World(group(tier("a")))
    told(world, Allowances(None, Allowance(1000, 0, 20.0)))
    assert reason(world) is Reason.TPM


def test_a_word_is_about_the_key_that_was_used() -> None:
    world = World(group([deployment("a", api_keys=("k0", "k1"))]))
    told(world, NONE_LEFT)
    assert reason(world) is None
    assert [world.lease("a").key for _ in range(3)] == ["k1", "k1", "k1"]
    assert headroom(world.candidate("a"), START) == 0.5
    told(world, NONE_LEFT)
    assert reason(world) is Reason.RPM


def test_where_some_keys_rest_and_the_others_are_used_up_upstreams_word_is_the_reason() -> None:
    world = World(group([deployment("a", api_keys=("k0", "k1"))]))
    told(world, NONE_LEFT)
    world.load("a").keys[1].until = START + 5.0
    assert reason(world) is Reason.RPM
    assert world.candidate("a").frees_at(START) == START + 5.0
    world.load("a").keys[0].until = START + 50.0
    assert reason(world) is None
    assert cooldown(request(), world.candidate("a"), world.store.view()) is Reason.COOLDOWN


def test_one_backend_under_two_names_hears_one_word() -> None:
    here, there = deployment("a", backend="same"), deployment("a2", "other", backend="same")
    world = World(group([here]), group([there], name="other"))
    told(world, NONE_LEFT)
    assert limits(request(), world.candidate("a2", "other"), world.store.view()) is Reason.RPM


def test_what_a_lease_reserves_is_taken_off_upstreams_word() -> None:
    world = World(group(tier("a")))
    told(world, Allowances(None, Allowance(1000, 150, 20.0)))
    world.store.acquire(world.group(), world.candidate("a"), Estimate(100, 49))
    assert reason(world) is None
    world.store.acquire(world.group(), world.candidate("a"), Estimate(1, 0))
    assert reason(world) is Reason.TPM


def test_a_deployment_that_says_nothing_of_limits_keeps_no_quota() -> None:
    world = World(group(tier("a")))
    world.lease("a")
    assert world.load("a").keys[0].quota is None
    assert world.load("a").meter is None
    assert headroom(world.candidate("a"), START) == 1.0
