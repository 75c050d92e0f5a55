"""What the exact counter of strict limits is yet to be told: what requests took beyond what is booked for them, and
which were let through although it did not answer in time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from secrets import token_hex
from typing import NamedTuple, Protocol

from router.core.clock import Clock
from router.core.quota import Shortage
from router.core.types import Limits
from router.core.window import SECONDS
from router.state.exchange import MediumError
from router.state.heeding import heed_cancel

PATIENCE = 1.0
"""Seconds for the counter to take in one booking or one correction."""
AGAIN = 0.5
"""Seconds between two attempts to book while the counter can not be asked."""
CORRECTIONS_KEPT = 10_000
"""Beyond them the oldest is dropped: the minute it counts in is over first."""


class Booked(NamedTuple):
    """The second of the counter's clock that a request was booked in."""

    second: int


class Refusal(NamedTuple):
    """Which limit has no room, and for how many seconds; `short` None: nobody could be asked, and that is to close."""

    short: Shortage | None
    wait: float


class Exact(Protocol):
    """The counter. All raise MediumError."""

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal:
        """Book a request of so many tokens, where the strict ones of `limits` have room for it."""

    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
        """Add so many, which may be negative, to what is booked there. Changes nothing a minute later."""

    async def book(self, subject: str, age: int, requests: int, tokens: int, name: str) -> Booked:
        """Book what came `age` seconds ago, whether or not there is room for it; once for each `name`."""

    async def close(self) -> None: ...


class Entry:
    """One request that was let through. Is told what it took beyond what was reserved, before or after it is booked."""

    __slots__ = ("_booked", "_books", "_requests", "_tokens", "at", "subject", "told")

    def __init__(self, books: Books, subject: str, tokens: int, at: float) -> None:
        self._books = books
        self._booked: Booked | None = None
        self._requests = 1
        self._tokens = tokens
        self.subject = subject
        self.at = at
        self.told = (1, tokens)
        """What is booked, or on its way to be."""

    def __call__(self, requests: int, tokens: int) -> None:
        self._requests += requests
        self._tokens += tokens
        if self._booked is not None:
            self.found(self._booked)

    def tell(self) -> None:
        """What it took, as far as is known, is about to be `told`; `found` is told where that was booked."""
        self.told = (self._requests, self._tokens)

    def found(self, booked: Booked) -> None:
        """What was `told` is booked there."""
        self._booked = booked
        requests, tokens = self.told
        if self._requests != requests or self._tokens != tokens:
            self._books.correct(self.subject, booked, self._requests - requests, self._tokens - tokens)
            self.told = (self._requests, self._tokens)


class Page(NamedTuple):
    """Those of one subject that came in the same second, one at least: told of with the same numbers under the same
    `name` until that is known to have arrived."""

    name: str
    entries: list[Entry]

    def at(self) -> float:
        """When the last of them came, in clock seconds."""
        return max(entry.at for entry in self.entries)

    def told(self) -> tuple[int, int]:
        """The requests and tokens of all."""
        return sum(entry.told[0] for entry in self.entries), sum(entry.told[1] for entry in self.entries)


class Books:
    """Of one replica."""

    def __init__(self, exact: Exact, clock: Clock) -> None:
        self.failures: dict[str, int] = {}
        """Bookings and corrections that the counter could not be told, by reason, each as often as it was tried."""
        self._exact = exact
        self._clock = clock
        self._corrections: OrderedDict[tuple[str, int], tuple[int, int]] = OrderedDict()
        """By subject and the second it was booked in: requests and tokens to add."""
        self._wrong = asyncio.Event()
        self._unbooked: OrderedDict[tuple[str, int], list[Entry]] = OrderedDict()
        """By subject and the second it came in."""
        self._unheard = asyncio.Event()
        self._name = token_hex(8)
        self._pages = 0

    def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
        """So many are to be added to what the counter has booked there. It is told the sum."""
        place = (subject, booked.second)
        known_requests, known_tokens = self._corrections.get(place, (0, 0))
        self._corrections[place] = (known_requests + requests, known_tokens + tokens)
        if len(self._corrections) > CORRECTIONS_KEPT:
            self._corrections.popitem(last=False)
        self._wrong.set()

    def book(self, entry: Entry) -> None:
        """The counter does not know of it."""
        self._unbooked.setdefault((entry.subject, int(entry.at)), []).append(entry)
        self._unheard.set()

    async def run(self) -> None:
        """Tell the counter until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._correct_on())
            tasks.create_task(self._book_on())

    async def _correct_on(self) -> None:
        while True:
            heed_cancel()
            await self._wrong.wait()
            (subject, second), (requests, tokens) = self._corrections.popitem(last=False)
            if not self._corrections:
                self._wrong.clear()
            if not requests and not tokens:
                continue  # they make up for each other
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._exact.correct(subject, Booked(second), requests, tokens)
            except Exception as error:  # whatever it was: what was reserved stands
                self._failed(error)

    async def _book_on(self) -> None:
        while True:
            heed_cancel()
            await self._unheard.wait()
            _, entries = self._unbooked.popitem(last=False)
            if not self._unbooked:
                self._unheard.clear()
            self._pages += 1
            await self._tell(Page(f"{self._name}:{self._pages}", entries))

    async def _tell(self, page: Page) -> None:
        """Until it has arrived, or has come a minute ago, and so counts no more."""
        for entry in page.entries:
            entry.tell()
        subject, at = page.entries[0].subject, page.at()
        requests, tokens = page.told()
        if not requests and not tokens:
            return  # all are over, and took nothing
        while (now := self._clock()) - at < SECONDS:
            try:
                async with asyncio.timeout(PATIENCE):
                    booked = await self._exact.book(subject, int(now - at), requests, tokens, page.name)
            except Exception as error:  # whatever it was must not end the bookkeeping
                self._failed(error)
            else:
                for entry in page.entries:
                    entry.found(booked)
                return
            heed_cancel()
            await asyncio.sleep(AGAIN)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, MediumError):
            reason = error.reason
        else:
            reason = "timeout" if isinstance(error, TimeoutError) else "error"
        self.failures[reason] = self.failures.get(reason, 0) + 1
