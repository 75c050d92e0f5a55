"""Slow start and gray failure: how much of its share a backend gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import FailureKind
from router.core.retry import Health
from router.core.share import effective_weight, share
from router.core.standing import LEAST, RECOVERY, Standing
from router.core.types import Usage
from router.state.base import SUCCESS, Outcome, Served
from tests.core.making import START, World, candidate, group, tier


def test_a_backend_that_nothing_is_known_of_gets_all_of_its_share() -> None:
    assert Standing().share(0.0) == Standing().share(START) == 1.0


def test_after_a_cooldown_the_share_grows_over_ten_seconds() -> None:
    standing = Standing()
    standing.recovered(START)
    shares = [standing.share(START + second) for second in (0.0, 2.5, 5.0, 9.0, 10.0, 11.0)]
    assert shares == pytest.approx([LEAST, 0.25, 0.5, 0.9, 1.0, 1.0])


def test_doubt_halves_the_share_and_time_gives_it_back() -> None:
    standing = Standing()
    standing.doubted(START)
    assert standing.share(START) == 0.5
    assert standing.share(START + RECOVERY / 4) == 0.75
    assert standing.share(START + RECOVERY / 2) == 1.0
    standing.doubted(START + RECOVERY)
    standing.doubted(START + RECOVERY)
    assert standing.share(START + RECOVERY) == 0.25


def test_no_doubt_takes_everything() -> None:
    standing = Standing()
    for _ in range(100):
        standing.doubted(START)
    standing.recovered(START)
    assert standing.share(START) == LEAST


def test_coming_back_in_doubt_is_both() -> None:
    standing = Standing()
    standing.doubted(START)
    standing.recovered(START)
    assert standing.share(START + 6.0) == pytest.approx(0.6 * 0.6)


def test_tokens_far_slower_than_its_own_habit_lower_the_share() -> None:
    standing = Standing()
    for _ in range(100):
        standing.streamed(START, 100, 1.0)
    assert standing.share(START) == 1.0
    for _ in range(10):
        standing.streamed(START, 100, 8.0)
    slow = standing.share(START)
    assert LEAST <= slow < 0.75
    for _ in range(20):
        standing.streamed(START, 100, 1.0)
    assert standing.share(START) == slow, "it has not become worse"
    assert standing.share(START + RECOVERY) == 1.0


@pytest.mark.parametrize("times", [0.1, 1.0, 2.0, 2.9])
def test_a_pace_within_what_load_explains_is_none_of_it(times: float) -> None:
    standing = Standing()
    for _ in range(100):
        standing.replied(START, 100, 1.0)
    for _ in range(100):
        standing.replied(START, 100, times)
    assert standing.share(START) == 1.0


def test_one_slow_reply_is_no_sign() -> None:
    standing = Standing()
    for _ in range(100):
        standing.streamed(START, 100, 1.0)
    standing.streamed(START, 100, 8.0)
    assert standing.share(START) == 1.0


def test_one_that_is_slow_by_habit_is_not_in_doubt() -> None:
    slow, quick = Standing(), Standing()
    for _ in range(200):
        slow.streamed(START, 100, 20.0)
        quick.streamed(START, 100, 1.0)
    assert slow.share(START) == quick.share(START) == 1.0


def test_a_new_pace_becomes_the_habit() -> None:
    standing, now = Standing(), START
    for _ in range(100):
        standing.streamed(now, 100, 1.0)
    for _ in range(400):
        now += 1.0
        standing.streamed(now, 100, 8.0)
    assert standing.share(now + 1.0) == 1.0


def test_short_replies_say_nothing_of_the_pace() -> None:
    standing = Standing()
    for _ in range(100):
        standing.streamed(START, 100, 1.0)
        standing.streamed(START, 1, 30.0)
    assert standing.share(START) == 1.0


def test_streams_and_whole_replies_have_habits_of_their_own() -> None:
    standing = Standing()
    for _ in range(100):
        standing.streamed(START, 100, 1.0)
        standing.replied(START, 100, 9.0)
    assert standing.share(START) == 1.0


@given(st.lists(st.tuples(st.sampled_from("drsw"), st.floats(0.0, 30.0), st.floats(0.0, 100.0)), max_size=60))
def test_the_share_is_always_a_share_and_is_whole_when_it_says(steps: list[tuple[str, float, float]]) -> None:
    standing, now = Standing(), START
    for what, pause, seconds in steps:
        now += pause
        match what:
            case "d":
                standing.doubted(now)
            case "r":
                standing.recovered(now)
            case "s":
                standing.streamed(now, 50, seconds)
            case "w":
                standing.replied(now, 50, seconds)
        assert LEAST <= standing.share(now) <= 1.0
        assert standing.share(max(standing.whole_at, now) + 1e-6) == 1.0


# As the state store tells it.


def settle(world: World, name: str, outcome: Outcome) -> None:
    world.store.settle(world.lease(name), outcome)


def share_of(world: World, name: str) -> float:
    return share(world.candidate(name), world.clock.now)


def test_a_breaker_that_closes_begins_the_ramp() -> None:
    world = World(group(tier("a", "b")))
    for _ in range(3):
        settle(world, "a", Outcome(Health.CONNECTION_FAILURE, FailureKind.CONNECT))
    assert share_of(world, "a") == 1.0, "what is left alone needs no smaller share"
    world.clock.advance(5.0)
    settle(world, "a", SUCCESS)
    assert share_of(world, "a") == LEAST
    world.clock.advance(5.0)
    assert share_of(world, "a") == pytest.approx(0.5)
    assert effective_weight(world.candidate("a"), world.clock.now) == pytest.approx(0.5)
    assert share_of(world, "b") == 1.0


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        (FailureKind.IDLE_TIMEOUT, 0.5),
        (FailureKind.FIRST_TOKEN_TIMEOUT, 0.5),
        (FailureKind.BAD_REPLY, 0.5),
        (FailureKind.BROKEN_STREAM, 0.5),
        (FailureKind.SERVER_ERROR, 1.0),
        (FailureKind.CONNECT, 1.0),
        (FailureKind.RATE_LIMITED, 1.0),
    ],
)
def test_stalls_empty_replies_and_errors_within_successes_lower_the_share(kind: FailureKind, after: float) -> None:
    world = World(group(tier("a", "b")))
    settle(world, "a", Outcome(Health.FAILURE, kind))
    assert share_of(world, "a") == after


def test_what_is_the_clients_doing_lowers_nothing() -> None:
    world = World(group(tier("a", "b")))
    settle(world, "a", Outcome(Health.FAILURE, FailureKind.IDLE_TIMEOUT, counts=False))
    assert share_of(world, "a") == 1.0


def test_replies_are_timed_from_their_first_token_on() -> None:
    world = World(group(tier("a")))
    for _ in range(100):
        settle(world, "a", Outcome(served=Served(2.0, 1.0, Usage(10, 100))))
    for _ in range(10):
        settle(world, "a", Outcome(served=Served(10.0, 9.0, Usage(10, 100))))
    assert share_of(world, "a") == 1.0, "a late first token is latency, not pace"
    for _ in range(10):
        settle(world, "a", Outcome(served=Served(10.0, 1.0, Usage(10, 100))))
    assert share_of(world, "a") < 1.0


def test_round_robin_counts_a_turn_by_the_share() -> None:
    world = World(group(tier("a", "b", weight=2)))
    world.load("a").standing.doubted(world.clock.now)
    world.lease("a")
    world.lease("b")
    assert (world.load("a").turns["gpt"], world.load("b").turns["gpt"]) == (1.0, 0.5)


def test_a_share_belongs_to_the_backend_under_whatever_name() -> None:
    world = World(group(tier("a", backend="same")), group(tier("x", group="other", backend="same"), name="other"))
    world.load("a").standing.doubted(world.clock.now)
    assert share(world.candidate("x", "other"), world.clock.now) == 0.5
    assert share(candidate("z"), world.clock.now) == 1.0
