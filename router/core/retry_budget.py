"""The retry budget of a model group: retries add a share to the traffic, and never multiply it.

In any 10 seconds a group may have paid retries for a share `ratio` of its requests in that time, and `min_per_second`
more whatever the traffic, which the live replicas share. A retry that makes no outage worse is free: one on a
deployment not tried yet, whose breaker is closed and which has succeeded lately. Fallbacks are free too; they count as
requests of the group they come to. The budget pays for the others: the same deployment once more, and those of which
nobody knows whether they are well. Sources: Finagle's `RetryBudget`; "Site Reliability Engineering", chapter 21, 2016.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from router.core.filters import Reason
from router.core.load import Candidate, Snapshot
from router.core.types import RetryBudgetPolicy, RouteRequest

SECONDS = 10
"""What the budget looks back on."""
LATELY = 30.0
"""Seconds for which a success says that a deployment is well."""
_WHOLE = 1.0 - 1e-9


class Draw(Enum):
    """What an attempt is to the budget of its group."""

    REQUEST = "request"  # the first in its group: what the budget grows by
    FREE = "free"
    PAID = "paid"


class Balance(NamedTuple):
    """Of the last 10 seconds: requests, paid retries, and how many more may be paid for."""

    requests: int
    retries: int
    left: float


class RetryBudget:
    """Counts by the second. `now` in clock seconds, never going back."""

    __slots__ = ("_latest", "_paid_at", "_requests", "_retries", "requests", "retries")

    def __init__(self) -> None:
        self.requests = 0
        self.retries = 0
        self._requests = [0] * SECONDS
        self._retries = [0] * SECONDS
        self._latest = 0
        self._paid_at = float("-inf")

    def note(self, now: float, draw: Draw) -> None:
        """An attempt begins."""
        second = int(now)
        if second != self._latest:
            self._move(second)
        if draw is Draw.REQUEST:
            self._requests[second % SECONDS] += 1
            self.requests += 1
        elif draw is Draw.PAID:
            self._retries[second % SECONDS] += 1
            self.retries += 1
            self._paid_at = now

    def affords(self, now: float, policy: RetryBudgetPolicy, live: int) -> bool:
        """Whether one more retry may be paid for, with `live` replicas at work."""
        if self.balance(now, policy, live).left >= _WHOLE:
            return True
        # A share of less than one in the whole window comes up now and then, not never.
        steady = policy.min_per_second / live
        return 0.0 < steady * SECONDS < 1.0 and now - self._paid_at >= 1.0 / steady

    def balance(self, now: float, policy: RetryBudgetPolicy, live: int) -> Balance:
        """What is left of it."""
        self._move(int(now))
        granted = policy.ratio * self.requests + policy.min_per_second * SECONDS / live
        return Balance(self.requests, self.retries, max(granted - self.retries, 0.0))

    def _move(self, second: int) -> None:
        """Forget what has become too old as of `second`."""
        for passed in range(max(self._latest + 1, second - SECONDS + 1), second + 1):
            place = passed % SECONDS
            self.requests -= self._requests[place]
            self.retries -= self._retries[place]
            self._requests[place] = self._retries[place] = 0
        self._latest = max(second, self._latest)


def is_free(candidate: Candidate, now: float) -> bool:
    """Whether a retry on `candidate`, which has not been tried, makes no outage worse."""
    load = candidate.load
    return load.breaker.open_until is None and now - load.succeeded_at <= LATELY


def unproven(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """A filter: only those with whom a retry is free pass."""
    return None if is_free(candidate, view.now) else Reason.UNHEALTHY
