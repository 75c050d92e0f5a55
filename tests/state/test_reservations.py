"""No reservation is lost, and none is counted twice: the store against counting on paper, for keys and deployments."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.core.errors import FailureKind
from router.core.filters import limits as limits_filter
from router.core.limits import Reservation, Spent, spent_by
from router.core.types import Estimate, Limits, LimitSubject, Usage
from router.state.base import CLIENT_GONE, UNSENT, Lease, Outcome, Served
from tests.core.making import START, World, deployment, group, request
from tests.state.naive import Entry, Naive

LIMITS = Limits(rpm=7, tpm=900, max_parallel_requests=4)
KEY = LimitSubject("key:search", LIMITS)


def empty_world() -> World:
    return World(group([deployment("a")]))


def admit(world: World, subject: LimitSubject = KEY, tokens: int = 100) -> Reservation | None:
    return world.store.admit(subject, Estimate(tokens, 0)).reservation


def test_a_key_is_admitted_up_to_its_limit_and_told_how_long_to_wait() -> None:
    world = empty_world()
    subject = LimitSubject("key:search", Limits(rpm=3))
    for second in range(3):
        world.clock.now = START + second
        assert world.store.admit(subject, Estimate(1, 0)).wait == 0.0
    admission = world.store.admit(subject, Estimate(1, 0))
    assert (admission.reservation, admission.short, admission.wait) == (None, "rpm", 58.0)
    world.clock.advance(58.0)
    assert admit(world, subject) is not None


def test_what_is_left_is_told_after_the_request_that_asks() -> None:
    world = empty_world()
    left = world.store.admit(KEY, Estimate(100, 20)).left
    assert left.requests == (7, 6, 60.0)
    assert left.tokens == (900, 780, 60.0)
    world.clock.advance(30.0)
    assert world.store.left(KEY).requests == (7, 6, 30.0)
    world.clock.advance(30.0)
    assert world.store.left(KEY).requests == (7, 7, 0.0)


def test_of_a_key_without_a_limit_of_that_kind_nothing_is_told() -> None:
    world = empty_world()
    subject = LimitSubject("key:search", Limits(max_parallel_requests=1))
    admission = world.store.admit(subject, Estimate(1, 0))
    assert admission.left == (None, None)
    again = world.store.admit(subject, Estimate(1, 0))
    assert (again.short, again.wait) == ("parallel", 1.0)


def test_a_refused_request_reserves_nothing() -> None:
    world = empty_world()
    subject = LimitSubject("key:search", Limits(rpm=5, tpm=150))
    assert admit(world, subject) is not None
    assert admit(world, subject) is None
    assert world.store.left(subject).requests == (5, 4, 60.0)


def test_keys_are_counted_by_name_and_survive_a_change_of_their_limits() -> None:
    world = empty_world()
    for _ in range(3):
        assert admit(world, LimitSubject("key:a", Limits(rpm=3))) is not None
    assert admit(world, LimitSubject("key:b", Limits(rpm=3))) is not None
    assert admit(world, LimitSubject("key:a", Limits(rpm=3))) is None
    assert admit(world, LimitSubject("key:a", Limits(rpm=4))) is not None


def test_a_deployment_is_admitted_on_the_same_count_that_its_leases_use() -> None:
    world = World(group([deployment("a", rpm=3)]))
    place = world.candidate("a").deployment
    subject = LimitSubject(place.backend, Limits(rpm=3))
    world.lease("a")
    assert admit(world, subject) is not None
    world.lease("a")
    assert admit(world, subject) is None


def test_a_reservation_is_released_once() -> None:
    world = empty_world()
    reservation = admit(world)
    assert reservation is not None
    world.store.release(reservation, Spent.ESTIMATE, None)
    with pytest.raises(RuntimeError, match="settled already"):
        world.store.release(reservation, Spent.ESTIMATE, None)


# Against counting on paper.

USAGES = [None, Usage(0, 0), Usage(50, 5), Usage(300, 500)]
OUTCOMES = [
    *(Outcome(served=Served(1.0, None, usage)) for usage in USAGES),
    *(Outcome(kind=kind) for kind in FailureKind),
    CLIENT_GONE,
    UNSENT,
]


class Keys:
    """The limits of a key: the store asked to admit, and a count of its own."""

    def __init__(self, limits: Limits) -> None:
        self.world = empty_world()
        self.subject = LimitSubject("key:search", limits)
        self.naive = Naive()
        self.open: list[tuple[Reservation, Entry]] = []

    def come(self, tokens: int) -> None:
        now = self.world.clock.now
        expected = self.naive.admits(now, self.subject.limits, tokens)
        admission = self.world.store.admit(self.subject, Estimate(tokens, 0))
        assert (admission.reservation is not None) == expected
        assert (admission.wait > 0.0) != expected
        if admission.reservation is not None:
            self.open.append((admission.reservation, self.naive.reserve(now, tokens)))

    def end(self, which: int, outcome: Outcome) -> None:
        reservation, entry = self.open.pop(which % len(self.open))
        usage = None if outcome.served is None else outcome.served.usage
        spent = outcome.spent or spent_by(outcome.kind)
        self.world.store.release(reservation, spent, usage)
        self.naive.settle(self.world.clock.now, entry, spent, usage)

    def counts(self) -> tuple[int, int, int]:
        now, limits = self.world.clock.now, self.subject.limits
        meter = self.world.store._meter_of(self.subject)
        meter.cover(limits)
        assert meter.requests is not None
        assert meter.tokens is not None
        return meter.requests.total(now), meter.tokens.total(now), meter.in_flight

    def check(self) -> None:
        assert self.counts() == self.naive.totals(self.world.clock.now)


class Deployments(Keys):
    """The limits of a deployment, one backend under two names: the filter, then leases."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        fields: dict[str, Any] = {
            "rpm": limits.rpm, "tpm": limits.tpm, "max_parallel_requests": limits.max_parallel_requests,
        }  # fmt: skip
        names = [deployment(name, backend="same", **fields) for name in ("a", "b")]
        self.world = World(group(names))
        self.leases: list[tuple[Lease, Entry]] = []
        self.turn = 0

    def come(self, tokens: int) -> None:
        now, world = self.world.clock.now, self.world
        self.turn += 1
        candidate, view = world.candidate("ab"[self.turn % 2]), world.store.view()
        route = request(tokens=tokens, max_output=0, deadline=now + 3600.0)
        estimate = view.expect(route, "gpt")
        expected = self.naive.admits(now, self.subject.limits, estimate.total)
        assert (limits_filter(route, candidate, view) is None) == expected
        if expected:
            lease = world.store.acquire(world.group(), candidate, estimate)
            self.leases.append((lease, self.naive.reserve(now, estimate.total)))

    def end(self, which: int, outcome: Outcome) -> None:
        lease, entry = self.leases.pop(which % len(self.leases))
        usage = None if outcome.served is None else outcome.served.usage
        self.world.store.settle(lease, outcome)
        spent = outcome.spent or spent_by(outcome.kind)
        self.naive.settle(self.world.clock.now, entry, spent, usage)

    def counts(self) -> tuple[int, int, int]:
        now, load = self.world.clock.now, self.world.load("a")
        assert load.meter is not None
        assert load.meter.requests is not None
        assert load.meter.tokens is not None
        assert load.meter.in_flight == load.in_flight
        return load.meter.requests.total(now), load.meter.tokens.total(now), load.in_flight


SYSTEMS = [Keys, Deployments]


@pytest.mark.parametrize("make", SYSTEMS)
def test_no_reservation_is_lost_or_counted_twice_in_100_000_random_steps(make: type[Keys]) -> None:
    rng = Random(4)
    system = make(Limits(rpm=40, tpm=6000, max_parallel_requests=12))
    for step in range(100_000):
        under_way = system.leases if isinstance(system, Deployments) else system.open
        choice = rng.random()
        if choice < 0.45:
            system.come(rng.choice((0, 1, 40, 120, 400, 7000)) if rng.random() < 0.99 else 20_000)
        elif choice < 0.8 and under_way:
            system.end(rng.randrange(1000), rng.choice(OUTCOMES))
        else:
            system.world.clock.advance(rng.choice((0.0, 0.01, 0.3, 1.0, 2.5)) if rng.random() < 0.999 else 90.0)
        if step % 20 == 0:
            system.check()
        if step % 500 == 0:
            system.naive.forget(system.world.clock.now)
    while system.leases if isinstance(system, Deployments) else system.open:
        system.end(0, CLIENT_GONE)
    system.check()
    system.world.clock.advance(61.0)
    assert system.counts() == (0, 0, 0)


class Limited(RuleBasedStateMachine):
    """Requests come and end in any order, at any time, in any way."""

    system: Keys

    @initialize(
        make=st.sampled_from(SYSTEMS),
        rpm=st.integers(min_value=1, max_value=5),
        tpm=st.sampled_from((1, 100, 1000)),
        parallel=st.sampled_from((None, 1, 3)),
    )
    def begin(self, make: type[Keys], rpm: int, tpm: int, parallel: int | None) -> None:
        self.system = make(Limits(rpm, tpm, parallel))

    @property
    def under_way(self) -> int:
        return len(self.system.leases if isinstance(self.system, Deployments) else self.system.open)

    @rule(tokens=st.sampled_from((0, 1, 30, 100, 101, 2000)))
    def comes(self, tokens: int) -> None:
        self.system.come(tokens)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(min_value=0, max_value=100), outcome=st.sampled_from(OUTCOMES))
    def ends(self, which: int, outcome: Outcome) -> None:
        self.system.end(which, outcome)

    @rule(seconds=st.sampled_from((0.0, 0.1, 0.9, 1.0, 30.0, 59.9, 60.0, 61.0)))
    def time_passes(self, seconds: float) -> None:
        self.system.world.clock.advance(seconds)

    @invariant()
    def both_count_the_same(self) -> None:
        if hasattr(self, "system"):
            self.system.check()


TestLimited = Limited.TestCase
