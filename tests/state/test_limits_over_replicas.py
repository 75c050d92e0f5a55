"""`rpm: 600` kept by four replicas at four times the rate, on a clock that is a number."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from router.core.types import Limits, LimitSubject
from tests.core.making import FakeClock, group, tier
from tests.state.replicas import LedgerMedium, Replica, gone

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
