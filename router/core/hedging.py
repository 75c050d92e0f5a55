"""When a stream that is slow to begin is worth a second copy, and how many copies a model group may send.

After the `quantile` of the group's times to first token a stream is slower than nearly all others: a copy sent then
costs little, and takes off the long tail. Every stream saves up `max_ratio` of a copy, and every copy takes a whole
one, so copies never exceed that share of the streams; when everyone has become slow the savings end, and so does the
hedging. Source: Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from router.core.filters import Filter, Reason
from router.core.limits import headroom
from router.core.load import Candidate, Snapshot
from router.core.retry_budget import unproven
from router.core.types import RouteRequest

SAMPLES = 200
FEWEST = 20
"""With fewer samples nobody knows what is slow."""
SHORT_OF_QUOTA = 0.2
"""The share of its limits that a deployment must have left to be sent copies."""
MOST_SAVED = 10.0
"""So many copies may follow each other at once after a calm time."""
_WHOLE = 1.0 - 1e-9
"""A copy, less what is lost in adding it up."""


class Hedges:
    """One model group's times to first token (the last 200), and the copies that it has `saved` up."""

    __slots__ = ("_latest", "_ordered", "_place", "saved")

    def __init__(self) -> None:
        self._latest: list[float] = []
        self._ordered: list[float] = []
        self._place = 0
        self.saved = 0.0

    @property
    def affords(self) -> bool:
        """Whether a copy may be sent now."""
        return self.saved >= _WHOLE

    def add(self, seconds: float) -> None:
        """A first token came after `seconds`; or had not come by then, and was waited for no longer."""
        if len(self._latest) < SAMPLES:
            self._latest.append(seconds)
        else:
            oldest, self._latest[self._place] = self._latest[self._place], seconds
            del self._ordered[bisect_left(self._ordered, oldest)]
            self._place = (self._place + 1) % SAMPLES
        insort(self._ordered, seconds)

    def after(self, quantile: float) -> float | None:
        """Seconds after which a copy makes sense; None while too little is known."""
        count = len(self._ordered)
        return None if count < FEWEST else self._ordered[min(int(quantile * count), count - 1)]

    def stream(self, max_ratio: float) -> None:
        """One more stream begins."""
        self.saved = min(self.saved + max_ratio, MOST_SAVED)

    def take(self) -> None:
        """A copy is sent."""
        self.saved = max(self.saved - 1.0, 0.0)


def short_of_quota(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """A filter: what little is left is for requests that have nobody else. Who keeps strict limits does not pass, too,
    since a copy does not wait for a permission."""
    limits = candidate.deployment.limits
    strict = limits is not None and limits.strict is not None
    return Reason.RPM if strict or headroom(candidate, view.now) < SHORT_OF_QUOTA else None


COPY_FILTERS: tuple[Filter, ...] = (unproven, short_of_quota)
"""Who passes these, besides the filters of every request, may be sent a copy."""
