"""`rpm: 600` kept by four replicas at four times the rate, on a clock that is a number."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from router.app import LOCAL_TRADES_APART
from router.core.types import Limits, LimitSubject
from tests.core.making import FakeClock, group, tier
from tests.state.replicas import LedgerMedium, Replica, gone, trade_all

LIMIT = 600
KEY = LimitSubject("key:team", Limits(rpm=LIMIT))
STEP = 0.005
INTERVAL = 20
"""Steps between two trades of one replica, which do not trade at the same moments."""


class Run:
    def __init__(self, shares: tuple[float, ...]) -> None:
        """`shares` of the load that each replica gets."""
        self.clock = FakeClock()
        self.medium = LedgerMedium(self.clock)
        groups = group(tier("a"))
        self.replicas = [Replica(f"r{place}", self.clock, self.medium, groups) for place in range(len(shares))]
        self._shares = shares
        self._due = [place / 4 for place in range(len(shares))]
        self.admitted: list[float] = []
        self.began = self.clock.now

    async def play(self, seconds: float) -> None:
        """Four times the rate that the limit allows, evenly."""
        per_step = 4 * LIMIT / 60 * STEP
        for step in range(round(seconds / STEP)):
            for place, (replica, share) in enumerate(zip(self.replicas, self._shares, strict=True)):
                if (step + place * 5) % INTERVAL == 0:
                    await replica.trade()
                self._due[place] += per_step * share
                if self._due[place] >= 1.0:
                    self._due[place] -= 1.0
                    if replica.admit(KEY):
                        self.admitted.append(self.clock.now)
            self.clock.advance(STEP)

    def off_by(self, since: float, until: float) -> tuple[float, float]:
        """The least and the most that was admitted in any 60 s within, as parts of the limit: (−0.03, 0.01)."""
        counts = []
        moment = self.began + since + 60.0
        while moment <= self.began + until:
            counts.append(sum(moment - 60.0 < each <= moment for each in self.admitted))
            moment += 0.5
        return min(counts) / LIMIT - 1.0, max(counts) / LIMIT - 1.0


def within(found: tuple[float, float], part: float) -> bool:
    return -part <= found[0] and found[1] <= part


async def test_under_even_load_within_three_percent() -> None:
    run = Run((0.25,) * 4)
    await run.play(180.0)
    assert within(run.off_by(0.0, 180.0), 0.03), run.off_by(0.0, 180.0)


async def test_with_all_load_on_one_replica_within_ten_percent() -> None:
    run = Run((1.0, 0.0, 0.0, 0.0))
    await run.play(180.0)
    assert within(run.off_by(0.0, 180.0), 0.10), run.off_by(0.0, 180.0)


@pytest.mark.parametrize("forgets", [False, True])
async def test_with_the_medium_gone_within_ten_percent_and_three_a_minute_after(forgets: bool) -> None:
    run = Run((0.25,) * 4)
    await run.play(90.0)
    trouble: Callable[[], None] = run.medium.trouble
    run.medium.trouble = gone
    await run.play(60.0)
    run.medium.trouble = trouble
    if forgets:
        run.medium.ledger.__init__()  # type: ignore[misc]
    await run.play(150.0)
    assert within(run.off_by(0.0, 300.0), 0.10), run.off_by(0.0, 300.0)
    assert within(run.off_by(150.0, 300.0), 0.03), run.off_by(150.0, 300.0)


async def burst(workers: int, rate: float, limit: int, soonest: float | None) -> int:
    """How many of a key's requests are admitted within two seconds, which come at random to workers that were idle."""
    clock, rng = FakeClock(), Random(workers)
    medium = LedgerMedium(clock)
    replicas = [Replica(f"r{place}", clock, medium, group(tier("a")), soonest=soonest) for place in range(workers)]
    key = LimitSubject("key:team", Limits(rpm=limit))
    await trade_all(replicas, 2)
    traded = [clock.now - rng.random() * 0.1 for _ in replicas]
    admitted, due = 0, 0.0
    for _ in range(2000):
        clock.advance(0.001)
        for place, replica in enumerate(replicas):
            hurried = soonest is not None and replica.sharing.outbox.hurried
            if clock.now - traded[place] >= (soonest if hurried and soonest else 0.1):
                traded[place], replica.sharing.outbox.hurried = clock.now, False
                await replica.trade()
        due += rate / 1000.0
        while due >= 1.0:
            due -= 1.0
            admitted += rng.choice(replicas).admit(key)
    return admitted


@pytest.mark.parametrize(("workers", "rate", "limit"), [(2, 230, 100), (4, 230, 100), (4, 2000, 600), (16, 2000, 600)])
async def test_a_burst_over_the_workers_of_one_host_stays_within_three_percent(
    workers: int, rate: float, limit: int
) -> None:
    assert 0.97 * limit <= await burst(workers, rate, limit, LOCAL_TRADES_APART) <= 1.03 * limit


async def test_one_over_replicas_that_trade_ten_times_a_second_stays_within_an_eighth() -> None:
    assert 600 <= await burst(4, 2000, 600, None) <= 675
