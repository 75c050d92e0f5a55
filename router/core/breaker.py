"""The circuit breaker of one backend.

    closed ──(too many failures)──▶ open ──(its time is over)──▶ half-open ──(trial succeeds)──▶ closed
                                     ▲                               │
                                     └────────(trial fails)──────────┘

Closed turns open after `allowed_fails` connection failures in a row, or when at least `min_requests` were seen in the
last `window` seconds and `error_rate` of them failed. Model groups that share the backend may have windows of different
lengths; everything counts in each of them. Open lasts `base · 2ⁿ` seconds, at most `max`, n being the openings since
the breaker was last closed for a whole window; a later deadline always wins. Half-open lets one trial through at a
time. A deadline may also be set from outside (`cool`): an upstream that names its own `retry-after` is left alone that
long.

Active probes have a count of their own: `allowed_fails` of them failing in a row open it too, and while they fail it
stays open. A good probe closes what probes or refused connections have opened, and nothing else: a backend that fails
its requests while its health page is fine has to prove itself by a request.

Half-open is no stored state: it is "open, and the deadline has passed". Times are seconds of the clock handed in.

Replicas that share a backend tell each other what their breakers saw; `hear_open`, `hear_recovered` and `trial_from`
are what a replica makes of it. How many must have seen a failure before the others hear of it is the exchange's rule.
"""

from __future__ import annotations

from enum import StrEnum

from router.core.failure_rate import FailureRate
from router.core.types import CooldownPolicy

SEEN_FOR = 30.0
"""Seconds for which a failure that opened nothing counts as seen, should a sibling's breaker open."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """`failed_at`: this replica's last failure; `seen`: it has failed here since it was last closed; `own_until`: the
    deadline by what was seen here, siblings apart; `told_until`: the one that upstream named; `trial_from`: a sibling
    has the half-open trial until then; `unreachable`: probes or refused connections have opened it."""

    __slots__ = ("_probes_failed", "_rates", "consecutive", "closed_at", "failed_at", "open_until", "openings",
                 "own_until", "seen", "told_until", "trial", "trial_from", "unreachable")  # fmt: skip

    def __init__(self) -> None:
        self.failed_at = float("-inf")
        self.seen = False
        self.own_until = 0.0
        self.told_until = 0.0
        self.trial_from = 0.0
        self.open_until: float | None = None
        self.openings = 0
        self.closed_at = 0.0
        self.consecutive = 0
        self.trial = False
        self.unreachable = False
        self._probes_failed = 0
        self._rates: dict[float, FailureRate] = {}

    def state(self, now: float) -> BreakerState:
        if self.open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.open_until else BreakerState.HALF_OPEN

    def admits(self, now: float) -> bool:
        """Whether a request may be sent: closed, or half-open with no trial under way."""
        return self.open_until is None or (now >= self.open_until and not self.trial and now >= self.trial_from)

    def start(self, now: float) -> bool:
        """A request is about to be sent. True where it is the half-open trial; its end must then be reported."""
        if self.open_until is None or not self.admits(now):
            return False
        self.trial = True
        return True

    def abandon_trial(self) -> None:
        """The trial ended without telling anything (its client went away): the next request may try."""
        self.trial = False

    def succeeded(self, now: float, policy: CooldownPolicy, trial: bool) -> bool:
        """A request was answered. True where this closed the breaker."""
        self.consecutive = 0
        if trial:
            self.trial = False
        if self.open_until is None:
            self._count(now, policy.window, failed=False)
            return False
        if not trial:
            return False  # sent before the breaker opened: old news
        self._close(now)
        return True

    def failed(
        self,
        now: float,
        policy: CooldownPolicy,
        trial: bool,
        *,
        connection: bool,
        spare: bool,
        refused: bool = False,
    ) -> bool:
        """A request failed. True where this opened the breaker.

        `connection`: nothing was heard from upstream at all; `refused`: it could not even be connected to. `spare`:
        this is the last closed deployment of its group, so an error rate alone does not open it.
        """
        self.failed_at = now
        self.seen = True
        if trial:
            self.trial = False
            return self._open(now, policy, unreachable=refused)
        if self.open_until is not None:
            return False
        self._count(now, policy.window, failed=True)
        self.consecutive = self.consecutive + 1 if connection else 0
        if self.consecutive >= policy.allowed_fails:
            return self._open(now, policy, unreachable=refused)
        if not spare and self._rates[policy.window].reaches(policy.error_rate, policy.min_requests):
            return self._open(now, policy, unreachable=False)
        return False

    def probe_failed(self, now: float, policy: CooldownPolicy, hold: float) -> bool:
        """A probe failed; the next will have been answered in `hold` seconds. True where this opened the breaker."""
        opened = False
        self._probes_failed += 1
        if self.open_until is None and self._probes_failed >= policy.allowed_fails:
            self.failed_at = now
            self.seen = True
            opened = self._open(now, policy, unreachable=True)
        if self.open_until is not None:
            self.own_until = max(self.own_until, now + hold)
            self.open_until = max(self.open_until, now + hold)
        return opened

    def probe_succeeded(self, now: float) -> bool:
        """A probe was answered well. True where this closed the breaker."""
        self._probes_failed = 0
        if self.open_until is None or not self.unreachable or self.told_until > now:
            return False
        self._close(now)
        return True

    def cool(self, now: float, until: float, policy: CooldownPolicy) -> bool:
        """Leave the backend alone until then, whatever its record. True where that opened the breaker."""
        was_closed = self.open_until is None
        if was_closed:
            self._forget_openings(now, policy)
        self.told_until = max(until, self.told_until)
        self.open_until = until if self.open_until is None else max(until, self.open_until)
        return was_closed

    def hear_open(self, now: float, until: float) -> bool:
        """Siblings leave the backend alone until then. True where that opened the breaker."""
        was_closed = self.open_until is None
        if was_closed and now - self.failed_at >= SEEN_FOR:
            self.seen = False
        self.open_until = until if self.open_until is None else max(until, self.open_until)
        return was_closed

    def hear_recovered(self, now: float, at: float) -> bool:
        """A sibling's trial went well at that moment. True where this closed the breaker; what failed here later
        counts for more."""
        if self.open_until is None or self.failed_at >= at or self.told_until > now:
            return False
        self._close(now)
        return True

    def _close(self, now: float) -> None:
        self.open_until = None
        self.closed_at = now
        self.seen = False
        self.own_until = 0.0
        self.trial_from = 0.0
        self._probes_failed = 0
        self._rates = {window: FailureRate(window) for window in self._rates}

    def _open(self, now: float, policy: CooldownPolicy, *, unreachable: bool) -> bool:
        if self.open_until is None:
            self._forget_openings(now, policy)
        until = now + min(policy.base * 2.0 ** min(self.openings, 32), policy.max)
        self.openings += 1
        self.consecutive = 0
        self.unreachable = unreachable
        self.own_until = max(until, self.own_until)
        self.open_until = until if self.open_until is None else max(until, self.open_until)
        return True

    def _forget_openings(self, now: float, policy: CooldownPolicy) -> None:
        if now - self.closed_at > policy.window:
            self.openings = 0

    def _count(self, now: float, window: float, *, failed: bool) -> None:
        if window not in self._rates:
            self._rates[window] = FailureRate(window)
        for rate in self._rates.values():
            rate.add(now, failed=failed)
