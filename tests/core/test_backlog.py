"""What a router learns of the queue at a backend from nothing but when it sent and when it was answered."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

import pytest

from router.core.breaker import BreakerState
from router.core.errors import FailureKind
from router.core.latency import Latency
from router.core.retry import Health
from router.core.types import Usage
from router.state.base import CLIENT_GONE, SUCCESS, Lease, Outcome, Served
from tests.core.making import START, World, group, tier

PREFILL, DECODE = 0.2, 1.8
TIMED_OUT = Outcome(Health.CONNECTION_FAILURE, FailureKind.FIRST_TOKEN_TIMEOUT)


class Server:
    """Serves what is sent to `a`: `slots` streams at a time, in order, each in 2 s."""

    def __init__(self, world: World, slots: int) -> None:
        self.world = world
        self.slots = slots
        self.queue: deque[Lease] = deque()
        self.serving: list[tuple[float, int, bool, Lease]] = []
        self.order = 0

    def feed(self, every: float, count: int) -> None:
        """Send streams at regular moments."""
        began = self.world.clock.now
        for place in range(count):
            self.pass_time(began + place * every)
            self.queue.append(self.world.lease("a", stream=True))
            self.fill()

    def pass_time(self, until: float) -> None:
        while self.serving and self.serving[0][0] <= until:
            self.world.clock.now, order, begun, lease = heappop(self.serving)
            if begun:
                self.world.store.settle(lease, Outcome(served=Served(2.0, PREFILL, Usage(10, 100))))
                self.fill()
            else:
                lease.answered(self.world.clock.now)
                heappush(self.serving, (self.world.clock.now + DECODE, order, True, lease))
        self.world.clock.now = until

    def fill(self) -> None:
        while self.queue and len(self.serving) < self.slots:
            self.order += 1
            heappush(self.serving, (self.world.clock.now + PREFILL, self.order, False, self.queue.popleft()))


def world_of_one() -> World:
    return World(group(tier("a")))


def test_one_that_lets_nobody_wait_has_room_for_whatever_it_had() -> None:
    world = world_of_one()
    Server(world, 100).feed(0.1, 200)
    backlog = world.load("a").backlog
    assert backlog.room == pytest.approx(world.load("a").in_flight, abs=3.0)
    assert backlog.wait(world.load("a").in_flight - 4) == 0.0


@pytest.mark.parametrize("slots", [1, 4, 10])
def test_room_and_pace_are_found_out_by_those_that_wait(slots: int) -> None:
    world = world_of_one()
    server = Server(world, slots)
    server.feed(2.5, 20)  # idle enough to learn what a prompt takes
    server.feed((PREFILL + DECODE) / slots * 0.9, 300)
    backlog = world.load("a").backlog
    assert backlog.room == pytest.approx(slots, abs=1.0)
    assert backlog.pace == pytest.approx((PREFILL + DECODE) / slots, rel=0.15)


def test_the_expected_wait_is_the_wait() -> None:
    world = world_of_one()
    server = Server(world, 4)
    server.feed(2.5, 20)
    server.feed(0.4, 150)
    load = world.load("a")
    assert len(server.queue) > 20
    assert load.backlog.wait(load.in_flight) == pytest.approx((len(server.queue) + 1) * 0.5, rel=0.15)


def test_the_others_requests_are_waited_for_too() -> None:
    world = world_of_one()
    load = world.load("a")
    load.siblings = 3
    for _ in range(20):  # one of four is ours: of four served side by side, and of the answers
        world.store.settle(world.streamed("a", 0.2), SUCCESS)
    assert load.backlog.room == pytest.approx(4.0)
    for _ in range(100):
        world.store.settle(world.streamed("a", 2.0), SUCCESS)
    assert load.backlog.pace == pytest.approx(2.0 / 4)
    assert load.backlog.wait(5) == pytest.approx(2 * 2.0 / 4)


@pytest.mark.parametrize("outcome", [SUCCESS, CLIENT_GONE, TIMED_OUT])
def test_who_waits_is_counted_until_answered_or_over(outcome: Outcome) -> None:
    world = world_of_one()
    backlog = world.load("a").backlog
    leases = [world.lease("a", stream=True) for _ in range(3)]
    whole = world.lease("a")
    assert (backlog.waiting, [lease.ahead for lease in leases]) == (3, [0.0, 1.0, 2.0])
    leases[0].answered(START + 1.0)
    leases[0].answered(START + 2.0)
    whole.answered(START + 2.0)
    assert backlog.waiting == 2
    for lease in [*leases, whole]:
        world.store.settle(lease, outcome)
    assert backlog.waiting == 0


def test_those_that_queued_teach_little_of_what_a_prompt_takes() -> None:
    latency = Latency()
    for _ in range(50):
        latency.streamed(START, 10, 0.2)
    for _ in range(20):
        latency.streamed(START, 10, 3.0, ahead=10.0)
    assert latency.usual(10) == pytest.approx(0.2, abs=0.05)
    assert latency.expected(START, True, 10, 0.0) == pytest.approx(latency.usual(10))


# Which time-outs are a backend's fault.


def overloaded(world: World) -> list[Lease]:
    """Sixty streams sent in a second, answered in order, one a second."""
    leases = []
    for _ in range(60):
        leases.append(world.lease("a", stream=True))
        world.clock.advance(1.0 / 60.0)
    for lease in leases[:30]:
        world.clock.advance(1.0)
        lease.answered(world.clock.now)
    return leases


def test_one_that_only_waits_for_its_turn_times_out_by_nobodys_fault() -> None:
    world = World(group(tier("a", "b")))
    for lease in overloaded(world)[30:]:
        world.store.settle(lease, TIMED_OUT)
    load = world.load("a")
    assert load.breaker.state(world.clock.now) is BreakerState.CLOSED
    assert load.standing.share(world.clock.now) == 1.0


def test_one_that_has_fallen_silent_is_at_fault() -> None:
    world = World(group(tier("a", "b")))
    leases = overloaded(world)
    world.clock.advance(60.0)
    for lease in leases[30:33]:
        world.store.settle(lease, TIMED_OUT)
    assert world.load("a").breaker.state(world.clock.now) is BreakerState.OPEN


def test_one_that_answers_whoever_came_later_is_at_fault() -> None:
    world = World(group(tier("a", "b")))
    stalled = [world.lease("a", stream=True) for _ in range(3)]
    for _ in range(60):
        world.store.settle(world.streamed("a", 1.0), Outcome(told=False))
    for lease in stalled:
        world.store.settle(lease, TIMED_OUT)
    assert world.load("a").breaker.state(world.clock.now) is BreakerState.OPEN


def test_a_half_open_trial_that_waited_for_its_turn_is_given_back() -> None:
    world = World(group(tier("a", "b")))
    old = world.lease("a", stream=True)
    load = world.load("a")
    load.breaker.open_until = world.clock.now
    trial = world.lease("a", stream=True)
    assert trial.trial
    world.clock.advance(59.0)
    old.answered(world.clock.now)
    world.clock.advance(1.0)
    world.store.settle(trial, TIMED_OUT)
    assert load.breaker.state(world.clock.now) is BreakerState.HALF_OPEN
    assert load.breaker.admits(world.clock.now)
