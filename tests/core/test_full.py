"""A model whose deployments are at their limits: who serves instead, and what the client is told where nobody can."""

from __future__ import annotations

import pytest

from router.core.errors import RouterError
from router.core.exhausted import exhausted_error
from router.core.filters import Reason
from router.core.load import Candidate
from router.core.plan import Rejection
from tests.core.making import POLICY, START, World, deployment, group, request, tier
from tests.core.playing import Play, play, steps


def refused(world: World, tokens: int = 10) -> RouterError:
    """The answer to a request that nobody could be sent."""
    plays = Play(world, {})
    plays.run(request(tokens=tokens, deadline=world.clock.now + 3600.0))
    assert plays.error is not None
    return plays.error


def test_a_deployment_at_its_limit_is_passed_over_for_the_others() -> None:
    world = World(group(tier("a", rpm=1) + tier("b", rpm=2)))
    served = [line for _ in range(3) for line in play(world, {})]
    assert sorted(served) == ["a ok", "b ok", "b ok"]


def test_the_next_tier_serves_while_the_first_is_full() -> None:
    world = World(group(tier("a", rpm=1), tier("b")))
    assert [play(world, {}) for _ in range(3)] == [["a ok"], ["b ok"], ["b ok"]]
    world.clock.advance(60.0)
    assert play(world, {}) == ["a ok"]


def test_a_full_group_falls_back() -> None:
    world = World(group(tier("a", rpm=1), fallbacks=("spare",)), group(tier("s", group="spare"), name="spare"))
    assert [play(world, {}) for _ in range(2)] == [["a ok"], ["to spare: general", "s ok"]]


def test_a_fallbacks_own_limits_hold_too() -> None:
    spare = group(tier("s", group="spare", rpm=1), name="spare")
    world = World(group(tier("a", rpm=1), fallbacks=("spare",)), spare)
    for _ in range(2):
        play(world, {})
    assert play(world, {}) == ["stop 429 rate_limit_exceeded"]


def test_every_attempt_counts_and_a_retry_needs_room_of_its_own() -> None:
    world = World(group(tier("a", rpm=2)))
    assert play(world, {"a": "500 500 ok"}) == steps("a 500, wait 0.1, a 500, stop 502 upstream_error")


def test_a_connection_that_was_refused_takes_nothing_off_the_limit() -> None:
    world = World(group(tier("a", rpm=1)))
    assert play(world, {"a": "connect ok"}) == steps("a connect, wait 0.1, a ok")


def test_the_wait_is_until_the_first_of_them_is_free() -> None:
    world = World(group(tier("a", rpm=1) + tier("b", rpm=1)))
    play(world, {})
    world.clock.advance(15.0)
    play(world, {})
    error = refused(world)
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", 45.0)
    assert error.message == "gpt: every deployment is at its limit; the first is free again in 45.0 s"


def test_the_wait_for_a_large_prompt_is_longer_than_that_for_a_small_one() -> None:
    world = World(group(tier("a", tpm=1000)))
    for seconds in (0.0, 10.0):
        world.clock.now = START + seconds
        play(world, {}, request(tokens=400, max_output=0))
    waits = [refused(world, tokens).retry_after for tokens in (200, 300, 800)]
    assert waits == [50.0, 50.0, 60.0]


def rejections(*found: tuple[Candidate, Reason]) -> list[Rejection]:
    return [Rejection(*each) for each in found]


@pytest.mark.parametrize(
    ("other", "status"), [(Reason.UNHEALTHY, 429), (Reason.COOLDOWN, 429), (Reason.CAPABILITY, 429)]
)
def test_one_that_is_sound_and_full_makes_it_a_429(other: Reason, status: int) -> None:
    world = World(group(tier("a", rpm=1) + tier("b")))
    world.lease("a")
    world.load("b").breaker.cool(START, START + 5.0, POLICY)
    found = rejections((world.candidate("a"), Reason.RPM), (world.candidate("b"), other))
    assert exhausted_error(world.group(), (), found, START, deadline=False).status == status


def test_where_nobody_knows_when_one_of_those_at_once_ends_a_second_is_named() -> None:
    world = World(group([deployment("a", max_parallel_requests=1)]))
    world.lease("a")
    error = refused(world)
    assert (error.status, error.retry_after) == (429, 1.0)
