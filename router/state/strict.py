"""Limits that must never be passed: asked for on the request's way, of one counter that all replicas have in common.

A request waits BUDGET at most. Where there is no answer by then, or replicas can not be heard anyway, it meets the
configured side: `open`, which leaves it with the replica's part of the limit, or `closed`, a 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from router.core.limits import Reservation
from router.core.quota import Shortage
from router.core.types import Limits
from router.state.exchange import MediumError

BUDGET = 0.02
"""Seconds."""
_CORRECTIONS_KEPT = 10_000


class Booked(NamedTuple):
    """The second of the counter's clock that a request was booked in."""

    second: int


class Refusal(NamedTuple):
    """Which limit has no room, and for how many seconds; `short` None: nobody could be asked, and that is to close."""

    short: Shortage | None
    wait: float


class Exact(Protocol):
    """The counter. Both raise MediumError."""

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal: ...
    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None: ...
    async def close(self) -> None: ...


class StrictLimits:
    """`degraded`: replicas can not be heard, so it is not worth asking."""

    def __init__(self, exact: Exact, degraded: Callable[[], bool]) -> None:
        self.outcomes = {"admitted": 0, "refused": 0, "open": 0, "closed": 0}
        self._exact = exact
        self._degraded = degraded
        self._corrections: asyncio.Queue[tuple[str, Booked, int, int]] = asyncio.Queue(_CORRECTIONS_KEPT)

    async def take(self, subject: str, limits: Limits, reservation: Reservation) -> Refusal | None:
        """Book what `reservation` holds; None where there was room. What it takes in the end is corrected later."""
        answer: Booked | Refusal | None = None
        if not self._degraded():
            try:
                async with asyncio.timeout(BUDGET):
                    answer = await self._exact.take(subject, limits, reservation.tokens)
            except (TimeoutError, MediumError):
                pass  # it meets the configured side
        if answer is None:
            closed = limits.strict is not None and limits.strict.closed
            self.outcomes["closed" if closed else "open"] += 1
            return Refusal(None, 1.0) if closed else None
        if isinstance(answer, Refusal):
            self.outcomes["refused"] += 1
            return answer
        self.outcomes["admitted"] += 1
        booked = answer

        def corrected(requests: int, tokens: int) -> None:
            try:
                self._corrections.put_nowait((subject, booked, requests, tokens))
            except asyncio.QueueFull:
                pass  # the minute is over before anybody could have counted it

        reservation.corrected = corrected
        return None

    async def run(self) -> None:
        """Tell the counter of corrections until cancelled."""
        try:
            while True:
                correction = await self._corrections.get()
                try:
                    async with asyncio.timeout(1.0):
                        await self._exact.correct(*correction)
                except (TimeoutError, MediumError):
                    continue  # what was reserved stands
        finally:
            await self._exact.close()
