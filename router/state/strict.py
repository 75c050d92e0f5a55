"""Limits that must never be passed: asked for on the request's way, of one counter that all replicas have in common.

A request waits BUDGET at most. Where there is no answer by then, or replicas can not be heard anyway, it meets the
configured side. `closed` is a 503. `open` lets it through as long as this replica is within its part of what was left
when it last heard the others, and the counter has not just said that nothing is left: so a late answer lets through no
more than the part, and not on top of what the others are let through. What is let through is booked as soon as the
counter can be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from router.core.clock import Clock
from router.core.limits import Reservation
from router.core.quota import Shortage
from router.core.types import Limits
from router.state.books import Booked, Books, Entry, Exact, Refusal

BUDGET = 0.02
"""Seconds."""
UNKNOWN_WAIT = 1.0
"""Seconds to name where nobody can say when there will be room."""

_Asked = asyncio.Future[Booked | Refusal]


class StrictLimits:
    """`degraded`: replicas can not be heard, so it is not worth asking."""

    def __init__(self, exact: Exact, degraded: Callable[[], bool], clock: Clock) -> None:
        self.outcomes = {"admitted": 0, "refused": 0, "open": 0, "refused_late": 0, "closed": 0}
        self._exact = exact
        self._degraded = degraded
        self._clock = clock
        self._books = Books(exact, clock)
        self._full: dict[str, tuple[float, Shortage]] = {}
        """By subject: until when the counter has said that there is no room, and of what."""
        self._late: set[_Asked] = set()

    @property
    def failures(self) -> Mapping[str, int]:
        """What the counter could not be told afterwards, by reason."""
        return self._books.failures

    async def take(self, subject: str, limits: Limits, reservation: Reservation) -> Refusal | None:
        """Book what `reservation` holds; None where there was room. What it takes in the end is corrected later."""
        asked: _Asked | None = None
        if not self._degraded():
            asked = asyncio.ensure_future(self._exact.take(subject, limits, reservation.tokens))
            try:
                await asyncio.wait((asked,), timeout=BUDGET)
            except asyncio.CancelledError:
                self._follow(asked, subject, reservation.tokens, None)
                raise
            answer = _answer_of(asked)
            if isinstance(answer, Booked):
                self.outcomes["admitted"] += 1
                entry = Entry(self._books, subject, reservation.tokens, self._clock())
                entry.found(answer)
                reservation.corrected = entry
                return None
            if answer is not None:
                self.outcomes["refused"] += 1
                return self._heard(subject, answer)
        return self._side(subject, limits, reservation, asked)

    async def run(self) -> None:
        """Tell the counter what it does not know until cancelled."""
        try:
            await self._books.run()
        finally:
            for asked in self._late:
                asked.cancel()
            await self._exact.close()

    def _side(self, subject: str, limits: Limits, reservation: Reservation, asked: _Asked | None) -> Refusal | None:
        now = self._clock()
        entry: Entry | None = None
        refusal: Refusal | None = None
        if limits.strict is not None and limits.strict.closed:
            self.outcomes["closed"] += 1
            refusal = Refusal(None, UNKNOWN_WAIT)
        else:
            until, short = self._full.get(subject, (now, None))
            if until <= now:
                until, short = now + UNKNOWN_WAIT, reservation.beyond(limits, now)
            if short is not None:
                self.outcomes["refused_late"] += 1
                refusal = Refusal(short, until - now)
            else:
                self.outcomes["open"] += 1
                entry = Entry(self._books, subject, reservation.tokens, now)
                reservation.corrected = entry
        self._follow(asked, subject, reservation.tokens, entry)
        return refusal

    def _follow(self, asked: _Asked | None, subject: str, tokens: int, entry: Entry | None) -> None:
        """What is made of an answer that is late: `entry` is the request where it was let through."""

        def came(asked: _Asked) -> None:
            self._late.discard(asked)
            answer = _answer_of(asked)
            if isinstance(answer, Booked):
                if entry is not None:
                    entry.found(answer)
                else:
                    self._books.correct(subject, answer, -1, -tokens)
                return
            if answer is not None:
                self._heard(subject, answer)
            if entry is not None:
                self._books.book(entry)

        if asked is not None:
            self._late.add(asked)
            asked.add_done_callback(came)
        elif entry is not None:
            self._books.book(entry)

    def _heard(self, subject: str, refusal: Refusal) -> Refusal:
        if refusal.short is not None:
            self._full[subject] = (self._clock() + refusal.wait, refusal.short)
        return refusal


def _answer_of(asked: _Asked) -> Booked | Refusal | None:
    """None where there is none yet, or never will be."""
    if not asked.done() or asked.cancelled():
        return None
    return asked.result() if asked.exception() is None else None
