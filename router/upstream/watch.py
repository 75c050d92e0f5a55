"""The limits in time of one connection, whatever it is doing: attempt, first token, stream idle, idle in the pool."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol

from router.core.errors import FailureKind
from router.upstream.base import Timing
from router.upstream.timer import CLOSE_ENOUGH, Timer

_TOO_LATE = {
    FailureKind.ATTEMPT_TIMEOUT: "the attempt took too long",
    FailureKind.FIRST_TOKEN_TIMEOUT: "no token in time",
    FailureKind.IDLE_TIMEOUT: "the stream stood still for too long",
}


class Watched(Protocol):
    """Who is told, at most once per `begin` or `rest`."""

    def timed_out(self, kind: FailureKind, message: str) -> None:
        """A limit of the exchange has passed."""

    def expired(self) -> None:
        """The connection has been idle for long enough."""


class Watch:
    """Knows which limit counts now, and which one has passed.

    Until `committed`, that is the sooner of deadline and first token; from then on the sooner of the deadline and
    `stream_idle` seconds after `last_data`, which the connection sets and which costs nothing until the timer fires.
    `rested` is when the connection last became idle (0: never).
    """

    __slots__ = ("_committed", "_loop", "_paused", "_timer", "_timing", "_watched", "last_data", "rested")

    def __init__(self, loop: asyncio.AbstractEventLoop, watched: Watched) -> None:
        self._loop = loop
        self._watched: Watched | None = watched
        self._timer = Timer(loop, self._check)
        self._timing: Timing | None = None
        self._committed = False
        self._paused = False
        self.last_data = self.rested = 0.0

    def begin(self, timing: Timing) -> None:
        """An exchange starts."""
        self._timing = timing
        self._committed = self._paused = False
        self._timer.arm(min(timing.deadline, timing.first_token))

    def commit(self) -> None:
        """The first token has come."""
        self._committed = True
        self._rearm()

    def pause(self) -> None:
        """Nobody reads: upstream's silence means nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._rearm()

    def rest(self, seconds: float) -> None:
        """The exchange is over: expire after this long in the pool."""
        self._timing = None
        self.rested = now = self._loop.time()
        self._timer.arm(now + seconds)

    def stop(self) -> None:
        """The end: hold nothing on the loop, and nobody here, so that what is closed is free at once."""
        self._timing = None
        self._timer.end()
        self._watched = None

    def _rearm(self) -> None:
        timing = self._timing
        if timing is not None and self._committed:
            self.last_data = self._loop.time()
            self._timer.arm(min(timing.deadline, self.last_data + timing.stream_idle))

    def _check(self) -> None:
        timing, watched = self._timing, self._watched
        if watched is None:
            return
        if timing is None:
            watched.expired()
            return
        if not self._committed:
            limit, kind = timing.first_token, FailureKind.FIRST_TOKEN_TIMEOUT
        elif self._paused:
            limit, kind = inf, FailureKind.IDLE_TIMEOUT
        else:
            limit, kind = self.last_data + timing.stream_idle, FailureKind.IDLE_TIMEOUT
        if timing.deadline <= limit:
            limit, kind = timing.deadline, FailureKind.ATTEMPT_TIMEOUT
        if limit <= self._loop.time() + CLOSE_ENOUGH:
            watched.timed_out(kind, _TOO_LATE[kind])
        else:
            self._timer.arm(limit)
