"""When a copy makes sense, and how many there may be."""

from __future__ import annotations

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.failover import Failover, Try
from router.core.hedging import FEWEST, MOST_SAVED, SAMPLES, SHORT_OF_QUOTA, Hedges
from router.core.limits import headroom
from router.core.retry_budget import Draw
from router.core.types import HedgingPolicy
from router.state.base import CLIENT_GONE, SUCCESS, Outcome, Served
from tests.core.making import World, deployment, group, request, tier
from tests.core.playing import failure

SECONDS = st.floats(0.0, 100.0)


@given(st.lists(SECONDS, max_size=3 * SAMPLES), st.floats(0.0, 1.0))
def test_it_is_the_quantile_of_the_last_samples(samples: list[float], quantile: float) -> None:
    hedges = Hedges()
    for sample in samples:
        hedges.add(sample)
    recent = sorted(samples[-SAMPLES:])
    known = hedges.after(quantile)
    if len(recent) < FEWEST:
        assert known is None
    else:
        assert known == recent[min(floor(quantile * len(recent)), len(recent) - 1)]


@given(st.lists(st.booleans(), max_size=500), st.sampled_from([0.0, 0.05, 0.1, 1.0]))
def test_copies_never_exceed_their_share_of_the_streams(wishes: list[bool], ratio: float) -> None:
    hedges = Hedges()
    copies = 0
    for count, wish in enumerate(wishes, 1):
        hedges.stream(ratio)
        if wish and hedges.affords:
            hedges.take()
            copies += 1
        assert copies <= ratio * count + 1e-6


def test_every_twentieth_stream_may_be_copied() -> None:
    hedges = Hedges()
    copied = []
    for count in range(1, 101):
        hedges.stream(0.05)
        if hedges.affords:
            hedges.take()
            copied.append(count)
    assert copied == [20, 40, 60, 80, 100]


def test_a_calm_time_saves_up_for_a_bounded_burst() -> None:
    hedges = Hedges()
    for _ in range(10_000):
        hedges.stream(0.05)
    burst = 0
    while hedges.affords:
        hedges.take()
        burst += 1
    assert burst == MOST_SAVED


def under_way(world: World, *, first: str = "a") -> Failover:
    """A request whose first attempt is on `first`; all others have served lately."""
    for each in world.store.candidates():
        if each.deployment.id != first:
            world.store.settle(world.lease(each.deployment.id), SUCCESS)
    failover = Failover(request(stream=True), world.group(), world.catalogue, world.rng, lambda found: None)
    step = failover.next(world.store.view())
    assert isinstance(step, Try)
    assert step.candidate.deployment.id == first
    return failover


def hedge(world: World, failover: Failover) -> str | None:
    step = failover.hedge(world.store.view())
    return None if step is None else step.candidate.deployment.id


def test_the_copy_goes_to_another_deployment_of_the_group_once() -> None:
    world = World(group(tier("a", "b", "c"), strategy="round-robin"))
    failover = under_way(world)
    assert hedge(world, failover) in ("b", "c")
    assert failover.attempts == 2
    assert hedge(world, failover) is None, "one copy is enough"


def test_a_copy_is_free_and_its_failure_counts_against_nobody() -> None:
    world = World(group(tier("a", "b"), strategy="round-robin"))
    step = under_way(world).hedge(world.store.view())
    assert step is not None
    assert (step.counts, step.draw) == (False, Draw.FREE)


def test_a_copy_counts_in_max_attempts_and_not_as_a_retry() -> None:
    world = World(group(tier("a", "b", "c"), strategy="round-robin", num_retries=1, max_attempts=3))
    failover = under_way(world)
    assert hedge(world, failover) == "b"
    for _ in range(2):
        failover.failed(Try(world.group(), world.candidate("a"), True, Draw.REQUEST), failure("503"))
    assert isinstance(failover.next(world.store.view()), Try)
    assert failover.attempts == 3
    spent = World(group(tier("a", "b"), strategy="round-robin", max_attempts=1))
    assert hedge(spent, under_way(spent)) is None


@pytest.mark.parametrize("left", [0.1, 0.3])
def test_no_copy_where_quota_is_short(left: float) -> None:
    world = World(group([deployment("a"), deployment("b", rpm=10)], strategy="round-robin"))
    failover = under_way(world)
    while headroom(world.candidate("b"), world.clock.now) > left + 1e-9:
        world.store.settle(world.lease("b"), SUCCESS)
    assert hedge(world, failover) == ("b" if left >= SHORT_OF_QUOTA else None)


def test_no_copy_to_one_that_is_not_known_to_be_well() -> None:
    world = World(group(tier("a", "b"), strategy="round-robin"))
    failover = under_way(world)
    world.clock.advance(1000.0)
    assert hedge(world, failover) is None
    world.store.settle(world.lease("b"), SUCCESS)
    assert hedge(world, failover) == "b"


def test_first_tokens_are_measured_for_groups_that_hedge_and_for_no_others() -> None:
    world = World(group(tier("a"), hedging=HedgingPolicy()), group(tier("x", group="other"), name="other"))
    for _ in range(FEWEST):
        world.store.settle(world.lease("a"), Outcome(served=Served(2.0, 0.25, None)))
        world.store.settle(world.lease("x", "other"), Outcome(served=Served(2.0, 0.25, None)))
    hedges = world.store.view().hedges
    assert list(hedges) == ["gpt"]
    assert hedges["gpt"].after(0.95) == 0.25


def test_one_that_was_outrun_counts_as_slow_for_as_long_as_it_was_waited_for() -> None:
    world = World(group(tier("a", "b"), strategy="latency-based", hedging=HedgingPolicy()))
    for _ in range(30):
        world.store.settle(world.streamed("a", 0.2), Outcome(served=Served(2.0, 0.2, None)))
    lease = world.lease("a")
    lease.outrun = 3.0
    world.store.settle(lease, CLIENT_GONE)
    now = world.clock.now
    assert world.load("a").latency.expected(now, True, 10, 0.0) == pytest.approx(3.0, rel=0.01)
    assert world.store.view().hedges["gpt"].after(1.0) == 3.0, "or the quantile would sink with every copy"
    assert world.load("a").breaker.state(now) == "closed"


def test_a_wait_shorter_than_what_is_known_of_it_says_nothing_new() -> None:
    world = World(group(tier("a", "b"), hedging=HedgingPolicy()))
    world.store.settle(world.streamed("a", 4.0), Outcome(served=Served(9.0, 4.0, None)))
    lease = world.lease("a")
    lease.outrun = 1.0
    world.store.settle(lease, CLIENT_GONE)
    assert world.load("a").latency.expected(world.clock.now, True, 10, 0.0) == pytest.approx(4.0)


def test_a_stranger_that_was_outrun_is_known_to_be_that_slow_at_least() -> None:
    world = World(group(tier("a", "b"), hedging=HedgingPolicy()))
    lease = world.lease("a")
    lease.outrun = 1.5
    world.store.settle(lease, CLIENT_GONE)
    assert world.load("a").latency.expected(world.clock.now, True, 10, 0.0) == pytest.approx(1.5)


def test_a_reload_keeps_what_is_known_and_saved_and_forgets_it_where_hedging_ends() -> None:
    world = World(group(tier("a", "b"), hedging=HedgingPolicy()))
    kept = world.store.view().hedges["gpt"]
    world.configure(group(tier("a", "b", "c"), hedging=HedgingPolicy(quantile=0.5)))
    assert world.store.view().hedges["gpt"] is kept
    world.configure(group(tier("a", "b")))
    assert not world.store.view().hedges
