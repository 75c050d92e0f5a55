"""What upstream itself says is left of its limits, and what has become of that since.

Providers tell it in the headers of their replies; a dialect reads them into `Allowances`, and a `Quota` keeps the last
word for each API key, less what was sent with that key since the request that brought the word. A word holds until the
reset it names: what is refilled in the meantime is not guessed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from router.core.types import NO_LIMITS, Limits

Shortage = Literal["rpm", "tpm", "parallel"]
"""Which limit leaves no room."""

UNDATED = 60.0
"""Seconds for which a word without a reset is remembered. It lowers the headroom, and refuses nothing."""


class Allowance(NamedTuple):
    """What is left of one limit. `reset` in seconds from now, until all of it is there again; None where unknown."""

    limit: int | None
    remaining: int
    reset: float | None


class Allowances(NamedTuple):
    """None where nothing is known."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


class Mark(NamedTuple):
    """How much had been sent with a key, a certain request included."""

    requests: int
    tokens: int


NOTHING_SENT = Mark(0, 0)


class _Left:
    """One limit's last word. `sent` is what had been sent when it was true; `until` in clock seconds."""

    __slots__ = ("dated", "limit", "remaining", "sent", "until")

    def __init__(self, now: float, word: Allowance, sent: int) -> None:
        self.limit = word.limit
        self.remaining = word.remaining
        self.sent = sent
        self.dated = word.reset is not None
        self.until = now + (UNDATED if word.reset is None else word.reset)

    def at(self, now: float, sent: int) -> int | None:
        """What is left once `sent` in all has been sent; None where the word is no longer true."""
        return None if now >= self.until else max(self.remaining - (sent - self.sent), 0)

    def share(self, now: float, sent: int, own_limit: int | None) -> float:
        left = self.at(now, sent)
        if left is None:
            return 1.0
        limit = self.limit or own_limit
        return float(left > 0) if limit is None else min(left / limit, 1.0)


class Quota:
    """One key's, of one backend. Times in clock seconds."""

    __slots__ = ("_requests", "_sent_requests", "_sent_tokens", "_tokens")

    def __init__(self) -> None:
        self._requests: _Left | None = None
        self._tokens: _Left | None = None
        self._sent_requests = 0
        self._sent_tokens = 0

    def sent(self, tokens: int) -> Mark:
        """One more request goes out. Its mark says later what its reply could know of."""
        self._sent_requests += 1
        self._sent_tokens += tokens
        return Mark(self._sent_requests, self._sent_tokens)

    def heard(self, now: float, word: Allowances, mark: Mark) -> None:
        """The reply to the request of `mark` came with this word. What it does not speak of stays as it was."""
        if word.requests is not None:
            self._requests = _Left(now, word.requests, mark.requests)
        if word.tokens is not None:
            self._tokens = _Left(now, word.tokens, mark.tokens)

    def shortage(self, now: float) -> Shortage | None:
        """What there is nothing left of, by upstream's word, until a moment that it has named."""
        left = self._requests
        if left is not None and left.remaining <= self._sent_requests - left.sent and left.dated and now < left.until:
            return "rpm"
        left = self._tokens
        if left is not None and left.remaining <= self._sent_tokens - left.sent and left.dated and now < left.until:
            return "tpm"
        return None

    def frees_at(self, now: float) -> float:
        """When the last of its shortages ends; `now` where there is none."""
        moment = now
        for left, sent in ((self._requests, self._sent_requests), (self._tokens, self._sent_tokens)):
            if left is not None and left.dated and left.at(now, sent) == 0:
                moment = max(moment, left.until)
        return moment

    def headroom(self, now: float, own: Limits | None) -> float:
        """The smaller share, in [0, 1], of what is left. `own` limits stand in where upstream does not tell its."""
        own = own or NO_LIMITS
        requests, tokens = self._requests, self._tokens
        share = 1.0 if requests is None else requests.share(now, self._sent_requests, own.rpm)
        return share if tokens is None else min(share, tokens.share(now, self._sent_tokens, own.tpm))
