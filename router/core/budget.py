"""The retry budget of a model group: retries may add a share to the traffic, never multiply it.

Of the last 10 seconds' requests a share `ratio` may be retries, and `min_per_second` more whatever the traffic. Retries
that cannot make an outage worse are free; the others ask here. Source: Finagle's RetryBudget; SRE book, chapter 21.
"""

from __future__ import annotations

_SECONDS = 10


class RetryBudget:
    """Counts requests and paid retries in ten one-second buckets. `now` in clock seconds."""

    __slots__ = ("_requests", "_retries", "_second")

    def __init__(self) -> None:
        self._requests = [0] * _SECONDS
        self._retries = [0] * _SECONDS
        self._second = 0

    def request(self, now: float) -> None:
        """A request of the group has begun."""
        self._requests[self._move(now)] += 1

    def take(self, now: float, ratio: float, min_per_second: float) -> bool:
        """Pay for one retry. False where the budget is spent."""
        place = self._move(now)
        if sum(self._retries) + 1 > ratio * sum(self._requests) + min_per_second * _SECONDS:
            return False
        self._retries[place] += 1
        return True

    def _move(self, now: float) -> int:
        second = int(now)
        for passed in range(max(self._second + 1, second - _SECONDS + 1), second + 1):
            self._requests[passed % _SECONDS] = self._retries[passed % _SECONDS] = 0
        self._second = max(second, self._second)
        return self._second % _SECONDS
