"""The share of requests that failed lately."""

from __future__ import annotations

_BUCKETS = 10


class FailureRate:
    """Over the last `window` seconds, which slides by tenths. Times in clock seconds."""

    __slots__ = ("_bucket", "_failed", "_seen", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        self._bucket = 0
        self._seen = [0] * _BUCKETS
        self._failed = [0] * _BUCKETS

    def add(self, now: float, *, failed: bool) -> None:
        """One more request has ended."""
        bucket = int(now * _BUCKETS / self._window)
        if bucket != self._bucket:
            for stale in range(self._bucket + 1, min(bucket, self._bucket + _BUCKETS) + 1):
                self._seen[stale % _BUCKETS] = self._failed[stale % _BUCKETS] = 0
            self._bucket = bucket
        self._seen[bucket % _BUCKETS] += 1
        if failed:
            self._failed[bucket % _BUCKETS] += 1

    def reaches(self, rate: float, min_requests: int) -> bool:
        """Whether at least `min_requests` were seen, as of the last one, and the share `rate` of them failed."""
        seen = sum(self._seen)
        return seen >= min_requests and sum(self._failed) >= rate * seen
