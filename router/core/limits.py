"""Limits: requests and tokens in any minute, and requests at once.

A request reserves its estimate before it is sent, and settles on what it really took: so a burst is held to the limit
before the first of it has been answered, and nothing stays reserved that was never used. What is used is counted by
`Meter`, one for each subject (a backend, a client's key); limits are handed in, since several deployments, each with
limits of its own, may share one backend and so one meter. Requests in a minute and requests at once are two things.

A request whose estimate is larger than the whole limit on tokens is admitted when the minute is empty: it is only an
estimate, and refusing it would refuse it for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from router.core.errors import FailureKind
from router.core.part import Part
from router.core.quota import Allowance, Allowances, Shortage
from router.core.types import Limits, Usage
from router.core.window import SECONDS, Bucket, Window

if TYPE_CHECKING:
    from router.core.load import BackendLoad, Candidate

UNKNOWN_WAIT = 1.0
"""Seconds to name where a slot frees when some request ends, which nobody knows the moment of."""


class Spent(Enum):
    """What a request has used up where its usage was not told."""

    NOTHING = "nothing"  # it was never sent
    REQUEST = "request"  # it was answered with an error: upstream counts the request, and generated nothing
    ESTIMATE = "estimate"  # who knows; what was reserved stands


SPENT: Mapping[FailureKind, Spent] = MappingProxyType(
    {
        FailureKind.CONNECT: Spent.NOTHING,
        FailureKind.UNSUPPORTED: Spent.NOTHING,
        FailureKind.SERVER_ERROR: Spent.REQUEST,
        FailureKind.RATE_LIMITED: Spent.REQUEST,
        FailureKind.QUOTA: Spent.REQUEST,
        FailureKind.AUTH: Spent.REQUEST,
        FailureKind.NOT_FOUND: Spent.REQUEST,
        FailureKind.CONTEXT_WINDOW: Spent.REQUEST,
        FailureKind.CONTENT_POLICY: Spent.REQUEST,
        FailureKind.REJECTED: Spent.REQUEST,
    }
)
"""The other failures (timeouts, broken connections, unreadable replies) leave it open what upstream has generated."""


def spent_by(failure: FailureKind | None) -> Spent:
    """What a request that ended so has used up; None: it went well, or its client went away."""
    return Spent.ESTIMATE if failure is None else SPENT.get(failure, Spent.ESTIMATE)


class Reservation:
    """One request's part of a meter, settled exactly once."""

    __slots__ = ("_meter", "_requests", "_tokens", "corrected", "settled", "tokens")

    def __init__(self, meter: Meter, tokens: int, requests_at: Bucket | None, tokens_at: Bucket | None) -> None:
        self._meter = meter
        self._requests = requests_at
        self._tokens = tokens_at
        self.tokens = tokens
        self.settled = False
        self.corrected: Callable[[int, int], None] | None = None
        """Is told how many requests and tokens it took beyond what was reserved."""

    def settle(self, spent: Spent, usage: Usage | None) -> None:
        """Book what it took: `usage` where that is known, else by `spent`. Raises RuntimeError the second time."""
        if self.settled:
            raise RuntimeError("the reservation is settled already")
        self.settled = True
        meter = self._meter
        meter.in_flight -= 1
        if usage is not None:
            over = usage.prompt_tokens + usage.completion_tokens - self.tokens
        elif spent is Spent.ESTIMATE:
            over = 0
        else:
            over = -self.tokens
            if spent is Spent.NOTHING and self._requests is not None and meter.requests is not None:
                meter.requests.correct(self._requests, -1)
        if over and self._tokens is not None and meter.tokens is not None:
            meter.tokens.correct(self._tokens, over)
        if self.corrected is not None:
            unsent = usage is None and spent is Spent.NOTHING
            self.corrected(-1 if unsent else 0, over)

    def beyond(self, limits: Limits, now: float) -> Shortage | None:
        """Which strict limit it may be beyond, as far as that can be known without asking; None where it is within the
        replica's part of all."""
        meter = self._meter
        return None if meter.part is None else meter.part.beyond(meter, limits, now)


class Admission(NamedTuple):
    """Whether a request may go on: with a `reservation`, or not for another `wait` seconds for want of `short`.

    `left` is what is left of the limits after it.
    """

    reservation: Reservation | None
    wait: float
    short: Shortage | None
    left: Allowances


class Meter:
    """What one subject uses. Windows exist for what is limited only; `part` where replicas keep the limits together.
    Times in clock seconds."""

    __slots__ = ("in_flight", "part", "requests", "tokens")

    def __init__(self, part: Part | None = None) -> None:
        self.in_flight = 0
        self.part = part
        self.requests: Window | None = None
        self.tokens: Window | None = None

    def cover(self, limits: Limits) -> None:
        """Count from now on whatever `limits` speak of."""
        if limits.rpm is not None and self.requests is None:
            self.requests = Window()
        if limits.tpm is not None and self.tokens is None:
            self.tokens = Window()

    def shortage(self, limits: Limits, in_flight: int, siblings: int, now: float, tokens: int) -> Shortage | None:
        """Why a request of `tokens` may not be sent now, with so many others under way, this replica's and its
        siblings'; None where it may. A `part` knows of the siblings by itself."""
        if self.part is not None:
            return self.part.shortage(self, limits, in_flight, now, tokens)
        most, rpm, tpm = limits.max_parallel_requests, limits.rpm, limits.tpm
        if most is not None and in_flight + siblings >= most:
            return "parallel"
        window = self.requests
        if rpm is not None and window is not None and window.counted >= rpm and not window.fits(now, 1, rpm):
            return "rpm"
        window = self.tokens
        if tpm is not None and window is not None and window.counted + tokens > tpm:
            return None if window.fits(now, tokens, tpm) else "tpm"
        return None

    def frees_at(self, limits: Limits, now: float, tokens: int) -> float:
        """When a request of `tokens` is within the limits on minutes, if nothing else comes; `now` where it is."""
        if self.part is not None:
            return self.part.frees_at(self, limits, now, tokens)
        moment = now
        if limits.rpm is not None and self.requests is not None:
            moment = self.requests.frees_at(now, 1, limits.rpm)
        if limits.tpm is not None and self.tokens is not None:
            moment = max(moment, self.tokens.frees_at(now, tokens, limits.tpm))
        return moment

    def reserve(self, now: float, tokens: int) -> Reservation:
        """Count one request of `tokens`, whether or not there is room for it."""
        self.in_flight += 1
        requests, window = self.requests, self.tokens
        reservation = Reservation(
            self,
            tokens,
            None if requests is None else requests.add(now, 1),
            None if window is None else window.add(now, tokens),
        )
        if self.part is not None:
            self.part.took(self)
        return reservation

    def admit(self, limits: Limits, now: float, tokens: int) -> Admission:
        """Reserve for one request of `tokens` where the limits have room for it."""
        self.cover(limits)
        short = self.shortage(limits, self.in_flight, 0, now, tokens)
        if short is None:
            return Admission(self.reserve(now, tokens), 0.0, None, self.left(limits, now))
        wait = self.frees_at(limits, now, tokens) - now
        return Admission(None, max(wait, UNKNOWN_WAIT) if short == "parallel" else wait, short, self.left(limits, now))

    def left(self, limits: Limits, now: float) -> Allowances:
        """What is left of the limits on minutes."""
        requests, tokens = (0, 0) if self.part is None else (self.part.requests, self.part.tokens)
        return Allowances(_left(self.requests, limits.rpm, requests, now), _left(self.tokens, limits.tpm, tokens, now))

    def used(self, now: float) -> tuple[int, int]:
        """Requests and tokens of the last minute, the siblings' among them."""
        requests, tokens = (0, 0) if self.part is None else (self.part.requests, self.part.tokens)
        return (
            requests + (0 if self.requests is None else self.requests.total(now)),
            tokens + (0 if self.tokens is None else self.tokens.total(now)),
        )


def _left(window: Window | None, limit: int | None, theirs: int, now: float) -> Allowance | None:
    if limit is None:
        return None
    if window is None:
        return Allowance(limit, max(limit - theirs, 0), SECONDS if theirs else 0.0)
    empty_in = SECONDS if theirs else window.empty_at(now) - now
    return Allowance(limit, max(limit - theirs - window.total(now), 0), empty_in)


def shortage(candidate: Candidate, now: float, tokens: int) -> Shortage | None:
    """Why a request of `tokens` may not be sent to `candidate` now: its own limits, or upstream's word."""
    deployment, load = candidate.deployment, candidate.load
    limits, meter = deployment.limits, load.meter
    if limits is not None and meter is not None:
        short = meter.shortage(limits, load.in_flight, load.siblings, now, tokens)
        if short is not None:
            return short
    return exhausted(load, now) if load.heard else None


def headroom(candidate: Candidate, now: float) -> float:
    """The share, in [0, 1], of its limits that is free at `now` (clock seconds); 1.0 where no limit is known.

    min(1 − rpm used / rpm, 1 − tpm used / tpm), reservations counted, lowered by what upstream says is left; of
    several keys, that is the mean.
    """
    deployment, load = candidate.deployment, candidate.load
    limits, meter = deployment.limits, load.meter
    share = 1.0
    if limits is not None and meter is not None:
        part, rpm, tpm = meter.part, limits.rpm, limits.tpm
        window = meter.requests
        if rpm is not None and window is not None:
            used = window.counted if now < window.due else window.total(now)
            share = 1.0 - (used if part is None else used + part.requests) / rpm
        window = meter.tokens
        if tpm is not None and window is not None:
            used = window.counted if now < window.due else window.total(now)
            left = 1.0 - (used if part is None else used + part.tokens) / tpm
            if left < share:
                share = left
    if load.heard:
        rooms = [1.0 if key.quota is None else key.quota.headroom(now, limits) for key in load.keys]
        share = min(share, sum(rooms) / len(rooms))
    if share < 0.0:
        share = 0.0
    return share


def exhausted(load: BackendLoad, now: float) -> Shortage | None:
    """What none of the keys has anything left of, among those that do not rest."""
    short: Shortage | None = None
    for key in load.keys:
        if key.until <= now:
            short = None if key.quota is None else key.quota.shortage(now)
            if short is None:
                return None
    return short
