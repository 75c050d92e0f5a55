"""Counting over a sliding minute, in buckets of a tenth of a second."""

from __future__ import annotations

from collections import deque
from math import inf

SECONDS = 60.0
TICKS = 10
"""Buckets in a second: what one of them holds is counted too long by a tenth of a second at most, so that a limit that
is asked for many times over is used up to 99 %."""


class Bucket:
    """What came within one tick of the clock. It leaves the window as a whole, a minute after the last of it."""

    __slots__ = ("amount", "gone", "last", "tick")

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.last = 0.0
        self.amount = 0
        self.gone = False


class Window:
    """A sum over the last 60 seconds, which is never less than the true one.

    A sample counts for 60 seconds, and for less than a tenth more where others followed within the same tick: so what
    is admitted by this sum never exceeds its limit in any 60 seconds, wherever they begin. Memory is a bucket for each
    tick in which something came, 601 at most; adding and reading cost a constant.
    """

    __slots__ = ("_buckets", "counted", "due")

    def __init__(self) -> None:
        self._buckets: deque[Bucket] = deque()
        self.due = inf
        """No bucket leaves before this (clock seconds): until then `counted` is the sum."""
        self.counted = 0
        """The sum when it was last asked for, and what came since: time only lowers it."""

    def add(self, now: float, amount: int) -> Bucket:
        """Count `amount` at `now` (clock seconds). Returns where it was booked, for `correct`."""
        if now >= self.due:
            self._forget(now)
        buckets = self._buckets
        tick = int(now * TICKS)
        if buckets and buckets[-1].tick >= tick:
            bucket = buckets[-1]
        else:
            bucket = Bucket(tick)
            buckets.append(bucket)
            if len(buckets) == 1:
                self.due = now + SECONDS
        bucket.last = max(bucket.last, now)
        bucket.amount += amount
        self.counted += amount
        return bucket

    def correct(self, bucket: Bucket, amount: int) -> None:
        """Change what was booked in `bucket` by `amount`; nothing where that has left the window."""
        if not bucket.gone:
            bucket.amount += amount
            self.counted += amount

    def total(self, now: float) -> int:
        """The sum over the last 60 seconds."""
        if now >= self.due:
            self._forget(now)
        return self.counted

    def fits(self, now: float, amount: int, limit: int) -> bool:
        """Whether `amount` more is within `limit`. What is larger than the whole limit fits an empty window."""
        return self.total(now) + min(amount, limit) <= limit

    def frees_at(self, now: float, amount: int, limit: int) -> float:
        """When `amount` will fit, if nothing else comes: clock seconds, `now` where it fits already."""
        over = self.total(now) + min(amount, limit) - limit
        if over <= 0:
            return now
        for bucket in self._buckets:
            over -= bucket.amount
            if over <= 0:
                return bucket.last + SECONDS
        return now + SECONDS

    def empty_at(self, now: float) -> float:
        """When nothing will be left of what is counted, if nothing else comes: clock seconds."""
        if self.total(now):
            for bucket in reversed(self._buckets):
                if bucket.amount:
                    return bucket.last + SECONDS
        return now

    def by_age(self, now: float, parts: int) -> list[int]:
        """The sums of so many equal parts of the minute, the youngest first."""
        sums = [0] * parts
        self.total(now)
        for bucket in self._buckets:
            sums[min(int(max(now - bucket.last, 0.0) * parts / SECONDS), parts - 1)] += bucket.amount
        return sums

    def _forget(self, now: float) -> None:
        buckets = self._buckets
        while buckets and buckets[0].last + SECONDS <= now:
            bucket = buckets.popleft()
            bucket.gone = True
            self.counted -= bucket.amount
        self.due = buckets[0].last + SECONDS if buckets else inf
