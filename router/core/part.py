"""A replica's part of limits that several replicas keep together.

Each replica hears now and then (a trade) what the others have used. Until it hears again it takes at most its part of
what was free then: headroom / live, or one request where that is less, so that a limit may be passed by one request
for each replica. What a replica may yet take it claims, while it takes any: the others count that as used, or whoever
trades next would be given a part of it again. Where a trade costs little, it tells of what it has taken as soon as half
of its part is gone. While nobody can be heard, each keeps to limit / live.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from router.core.quota import Shortage
from router.core.types import Limits, Strict
from router.core.window import SECONDS, Window

if TYPE_CHECKING:
    from router.core.limits import Meter

TRADE = 0.1
"""Seconds to name where the siblings' part is in the way: by then there is news."""

KEPT_BACK = 30
"""Of a strict limit one in so many is not given out without asking: two seconds of the minute."""

_NOT_STRICT = Strict()


class Part:
    """Of one meter. `requests`, `tokens` and `in_flight` are the siblings' at the last trade, what they claim included;
    `alone`: nobody can be heard; `live` counts the replicas, this one included."""

    __slots__ = (
        "_cap_requests", "_cap_tokens", "_claimed_requests", "_claimed_tokens", "_half_in_flight", "_half_requests",
        "_half_tokens", "alone", "in_flight", "live", "news", "own_in_flight", "own_requests", "own_tokens", "requests",
        "tokens", "traded_at",
    )  # fmt: skip

    def __init__(self, live: int, *, alone: bool, news: Callable[[], None] | None = None) -> None:
        """`news` is called when half of the part is gone."""
        self.live = live
        self.alone = alone
        self.requests = 0
        self.tokens = 0
        self.in_flight = 0
        self.own_requests = 0
        self.own_tokens = 0
        self.own_in_flight = 0
        self.traded_at = float("-inf")
        self.news = news
        self._half_in_flight = self._half_requests = self._half_tokens = sys.maxsize
        self._cap_requests = self._cap_tokens = 0
        self._claimed_requests = self._claimed_tokens = 0

    def traded(self, meter: Meter, now: float, live: int, requests: int, tokens: int, in_flight: int) -> None:
        """News from the siblings."""
        self.live = live
        self.alone = False
        self.traded_at = now
        self.requests = requests
        self.tokens = tokens
        self.in_flight = in_flight
        self.own_requests = 0 if meter.requests is None else meter.requests.total(now)
        self.own_tokens = 0 if meter.tokens is None else meter.tokens.total(now)
        self.own_in_flight = meter.in_flight

    def shortage(self, meter: Meter, limits: Limits, in_flight: int, now: float, tokens: int) -> Shortage | None:
        """As `Meter.shortage`; `in_flight` are this replica's own."""
        most, rpm, tpm = limits.max_parallel_requests, limits.rpm, limits.tpm
        strict = limits.strict or _NOT_STRICT
        if most is not None:
            cap = self._cap(most, self.own_in_flight, self.in_flight, whole=False)
            if in_flight >= cap:
                return "parallel"
            self._half_in_flight = (self.own_in_flight + cap + 1) // 2
        window = meter.requests
        if rpm is not None and window is not None:
            cap = self._cap(rpm, self.own_requests, self.requests, whole=strict.rpm)
            self._cap_requests = 0 if strict.rpm else cap
            if window.total(now) >= cap:
                return "rpm"
            self._half_requests = (self.own_requests + cap + 1) // 2
        window = meter.tokens
        if tpm is None or window is None:
            return None
        cap = self._cap(tpm, self.own_tokens, self.tokens, whole=strict.tpm)
        self._cap_tokens = 0 if strict.tpm else cap
        if not self._has_room(window, now, tokens, tpm, cap):
            return "tpm"
        self._half_tokens = (self.own_tokens + cap + 1) // 2
        return None

    def claims(self) -> tuple[int, int]:
        """The most requests and tokens that this replica may have used until the next trade, if it has taken any since
        the last time; else 0, and while it knows of nobody whose part it could be."""
        claims = (0, 0) if self.alone else (self._claimed_requests, self._claimed_tokens)
        self._claimed_requests = self._claimed_tokens = 0
        return claims

    def took(self, meter: Meter) -> None:
        """A request has been reserved for."""
        self._claimed_requests = max(self._claimed_requests, self._cap_requests)
        self._claimed_tokens = max(self._claimed_tokens, self._cap_tokens)
        if self.news is not None and not self.alone:
            requests, tokens = meter.requests, meter.tokens
            if (
                meter.in_flight >= self._half_in_flight
                or (requests is not None and requests.counted >= self._half_requests)
                or (tokens is not None and tokens.counted >= self._half_tokens)
            ):
                self.news()

    def beyond(self, meter: Meter, limits: Limits, now: float) -> Shortage | None:
        """Which strict limit there may be no room in for what is reserved already. This replica's part of what was left
        at the last trade is sure to be its own, but for what counts at other moments where the exact count is kept."""
        strict = limits.strict or _NOT_STRICT
        window, limit = meter.requests, limits.rpm if strict.rpm else None
        if window is not None and limit is not None:
            self._claimed_requests = sure = self._sure(limit, self.own_requests, self.requests, now)
            if window.total(now) > sure:
                return "rpm"
        window, limit = meter.tokens, limits.tpm if strict.tpm else None
        if window is not None and limit is not None:
            self._claimed_tokens = sure = self._sure(limit, self.own_tokens, self.tokens, now)
            if window.total(now) > sure:
                return "tpm"
        return None

    def _sure(self, limit: int, own: int, theirs: int, now: float) -> int:
        limit -= limit // KEPT_BACK
        share = limit // self.live
        if self.alone and now - self.traded_at >= SECONDS:  # what they had used by then is over
            return share
        # Half is not given out: what the others were given since they last told of it is not known here.
        part = own + max(limit - own - theirs, 0) // (self.live if self.live == 1 else 2 * self.live)
        return min(part, share) if self.alone else part

    def frees_at(self, meter: Meter, limits: Limits, now: float, tokens: int) -> float:
        """When a request of `tokens` might be within the limits on minutes: a guess, as the siblings' use is theirs."""
        moment = now
        strict = limits.strict or _NOT_STRICT
        window, limit = meter.requests, limits.rpm
        if limit is not None and window is not None:
            cap = self._cap(limit, self.own_requests, self.requests, whole=strict.rpm)
            moment = self._moment(window, now, 1, limit, cap, self.requests)
        window, limit = meter.tokens, limits.tpm
        if limit is not None and window is not None:
            cap = self._cap(limit, self.own_tokens, self.tokens, whole=strict.tpm)
            if not self._has_room(window, now, tokens, limit, cap):
                moment = max(moment, self._moment(window, now, tokens, limit, cap, self.tokens))
        return moment

    def _cap(self, limit: int, own: int, theirs: int, *, whole: bool) -> int:
        """The most that this replica may have used of `limit` until the next trade; `whole`: all that is free, as the
        exact count is kept elsewhere."""
        if self.alone:
            return max(limit // self.live, 1)
        headroom = limit - own - theirs
        return own + (headroom if whole or headroom <= 0 else max(headroom // self.live, 1))

    def _has_room(self, window: Window, now: float, tokens: int, limit: int, cap: int) -> bool:
        """One request may take all of the headroom, if it is the first since the last trade: large ones would never
        fit into a part of it."""
        total = window.total(now)
        tokens = min(tokens, limit)
        if total + tokens <= cap:
            return True
        if self.alone:
            return total == 0
        return total <= self.own_tokens and total + tokens <= limit - self.tokens

    def _moment(self, window: Window, now: float, amount: int, limit: int, cap: int, theirs: int) -> float:
        own = window.frees_at(now, amount, cap) if cap > 0 else now + SECONDS
        if own <= now or self.alone:
            return own
        amount = min(amount, limit)
        over = window.total(now) + theirs + amount - limit
        if over <= 0:
            return min(own, now + TRADE)
        # The siblings' use is taken to be spread evenly over the minute.
        return min(own, now + max(SECONDS * over / theirs, TRADE)) if theirs else own
