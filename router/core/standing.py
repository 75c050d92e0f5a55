"""How much of its share of the traffic one backend gets: less while it comes back, and while it answers badly.

A breaker knows sound and broken. In between lies the gray: streams that stall, replies that are empty, successes that
are errors, tokens far slower than this backend's own habit. Each of them lowers the share, and time raises it again, so
that a backend in doubt is asked less and never given up. Sources: Huang et al., "Gray Failure: The Achilles' Heel of
Cloud-Scale Systems", HotOS 2017; Envoy's slow start mode for the ramp.
"""

from __future__ import annotations

from router.core.errors import FailureKind
from router.core.estimators import Ewma

GRAY_FAILURES = frozenset(
    {FailureKind.FIRST_TOKEN_TIMEOUT, FailureKind.IDLE_TIMEOUT, FailureKind.BAD_REPLY, FailureKind.BROKEN_STREAM}
)
"""Stalls, empty replies and successes that are errors: signs of a backend that still takes requests, and should not."""
RAMP = 10.0
"""Seconds over which the share of a backend grows once its breaker has closed."""
LEAST = 0.1
"""No share falls below this: who is asked for nothing can not show that it is well."""
DOUBT = 0.5
"""What one gray failure leaves of the trust."""
RECOVERY = 60.0
"""Seconds in which trust would grow from nothing to whole."""
FAR = 3.0
"""A pace this many times slower than usual is far below the norm; up to there it is load."""
_NORM_SAMPLES = 100.0
_RECENT_SAMPLES = 4.0
_FIRST_SAMPLES = 20
_FEWEST_TOKENS = 16
"""Shorter replies say little about the pace."""
_FASTEST = 1e-6


class Pace:
    """Seconds per output token: the habit of the last 100 replies, and the last few."""

    __slots__ = ("_norm", "_recent", "_seen")

    def __init__(self) -> None:
        self._norm = Ewma(_NORM_SAMPLES)
        self._recent = Ewma(_RECENT_SAMPLES)
        self._seen = 0

    def add(self, sample: float) -> float:
        """How many times slower than usual the last few are; 1.0 while there is no habit yet."""
        self._seen += 1
        if self._seen <= _FIRST_SAMPLES:  # the habit is a plain mean to begin with
            self._norm.tau = float(self._seen)
        elif self._seen == _FIRST_SAMPLES + 1:
            self._norm.tau = _NORM_SAMPLES
        self._norm.add(sample)
        self._recent.add(sample)
        if self._seen <= _FIRST_SAMPLES:
            return 1.0
        return (self._recent.value or 0.0) / max(self._norm.value or 0.0, _FASTEST)


class Standing:
    """`whole_at`: from then on (clock seconds) the share is 1, if nothing else happens."""

    __slots__ = ("_recovered_at", "_since", "_streams", "_trust", "_wholes", "whole_at")

    def __init__(self) -> None:
        self.whole_at = float("-inf")
        self._recovered_at = float("-inf")
        self._trust = 1.0
        self._since = 0.0
        self._streams = Pace()
        self._wholes = Pace()

    def share(self, now: float) -> float:
        """In (0, 1]: the part of its usual traffic that it should get now."""
        if now >= self.whole_at:
            return 1.0
        ramp = min((now - self._recovered_at) / RAMP, 1.0)
        return max(ramp * self.trust(now), LEAST)

    def trust(self, now: float) -> float:
        """In [LEAST, 1]: 1 where its answers are as they should be."""
        return min(self._trust + (now - self._since) / RECOVERY, 1.0)

    def recovered(self, now: float) -> None:
        """Its breaker has closed."""
        self._recovered_at = now
        self.whole_at = max(self.whole_at, now + RAMP)

    def doubted(self, now: float) -> None:
        """It stalled, or said nothing, or called an error a success."""
        self._trust_at_most(now, self.trust(now) * DOUBT)

    def streamed(self, now: float, tokens: int, seconds: float) -> None:
        """After its first token a stream took `seconds` for the others."""
        if tokens >= _FEWEST_TOKENS:
            self._paced(now, self._streams.add(seconds / tokens))

    def replied(self, now: float, tokens: int, seconds: float) -> None:
        """A whole reply took `seconds`."""
        if tokens >= _FEWEST_TOKENS:
            self._paced(now, self._wholes.add(seconds / tokens))

    def _paced(self, now: float, slowness: float) -> None:
        if slowness > FAR:
            self._trust_at_most(now, FAR / slowness)

    def _trust_at_most(self, now: float, trust: float) -> None:
        known = self.trust(now)
        self._trust = max(min(known, trust), LEAST)
        self._since = now
        self.whole_at = max(self._recovered_at + RAMP, now + (1.0 - self._trust) * RECOVERY)
