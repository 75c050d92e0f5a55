"""One timer per connection, re-armed only when it has to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

CLOSE_ENOUGH = 0.001
"""Seconds. uvloop counts in milliseconds, so a timer may fire that much early; limits are compared with this slack."""


class Timer:
    """Calls `expired` once the moment last asked for has passed.

    A moment later than the one the loop already holds costs nothing: when that one comes, the loop is asked again. A
    connection that carries one request after another so makes a call to the loop now and then, not for every request.
    """

    __slots__ = ("_expired", "_handle", "_loop", "_set_for", "_wanted")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._handle: asyncio.TimerHandle | None = None
        self._set_for = inf
        self._wanted = inf

    def arm(self, moment: float) -> None:
        """Expire at `moment` on the loop's clock (infinity: never), whatever was asked for before."""
        self._wanted = moment
        if moment < self._set_for:
            self._set(moment)

    def stop(self) -> None:
        """Never expire, and hold nothing on the loop."""
        self._wanted = self._set_for = inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def end(self) -> None:
        """Stop for good, and let go of who would be called."""
        self.stop()
        self._expired = _nobody

    def _set(self, moment: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._set_for = moment
        self._handle = self._loop.call_at(moment, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._set_for = inf
        wanted = self._wanted
        if wanted <= self._loop.time() + CLOSE_ENOUGH:
            self._wanted = inf
            self._expired()
        elif wanted < inf:
            self._set(wanted)


def _nobody() -> None:
    pass
