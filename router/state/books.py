"""What the exact counter of strict limits is yet to be told: what requests took beyond what is booked for them, and
which were let through although it did not answer in time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, Protocol

from router.core.clock import Clock
from router.core.quota import Shortage
from router.core.types import Limits
from router.core.window import SECONDS

PATIENCE = 1.0
"""Seconds for the counter to take in one correction."""
AGAIN = 0.5
"""Seconds between two attempts to book while the counter can not be asked."""
_CORRECTIONS_KEPT = 10_000


class Booked(NamedTuple):
    """The second of the counter's clock that a request was booked in."""

    second: int


class Refusal(NamedTuple):
    """Which limit has no room, and for how many seconds; `short` None: nobody could be asked, and that is to close."""

    short: Shortage | None
    wait: float


class Exact(Protocol):
    """The counter. All raise MediumError."""

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal: ...
    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None: ...
    async def book(self, subject: str, age: int, requests: int, tokens: int) -> Booked:
        """Book what came `age` seconds ago, whether or not there is room for it."""

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

    def tell(self) -> tuple[int, int]:
        """What it took, as far as is known; `found` is told where that was booked."""
        self.told = (self._requests, self._tokens)
        return self.told

    def found(self, booked: Booked) -> None:
        """What was `told` is booked there."""
        self._booked = booked
        requests, tokens = self.told
        if self._requests != requests or self._tokens != tokens:
            self._books.correct(self.subject, booked, self._requests - requests, self._tokens - tokens)
            self.told = (self._requests, self._tokens)


class Books:
    """Of one replica."""

    def __init__(self, exact: Exact, clock: Clock) -> None:
        self._exact = exact
        self._clock = clock
        self._corrections: asyncio.Queue[tuple[str, Booked, int, int]] = asyncio.Queue(_CORRECTIONS_KEPT)
        self._unbooked: deque[Entry] = deque()
        self._some = asyncio.Event()

    def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
        try:
            self._corrections.put_nowait((subject, booked, requests, tokens))
        except asyncio.QueueFull:
            pass  # the minute is over before anybody could have counted it

    def book(self, entry: Entry) -> None:
        """The counter does not know of it."""
        self._forget()
        self._unbooked.append(entry)
        self._some.set()

    async def run(self) -> None:
        """Tell the counter until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._correct_on())
            tasks.create_task(self._book_on())

    async def _correct_on(self) -> None:
        while True:
            correction = await self._corrections.get()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._exact.correct(*correction)
            except Exception:
                continue  # whatever it was: what was reserved stands

    async def _book_on(self) -> None:
        while True:
            await self._some.wait()
            while self._unbooked:
                if not await self._book_some():
                    await asyncio.sleep(AGAIN)
                self._forget()
            self._some.clear()

    async def _book_some(self) -> bool:
        """All of one subject's that came within the second of the first. False where the counter can not be asked."""
        first, now = self._unbooked[0], self._clock()
        age = int(now - first.at)
        entries = [each for each in self._unbooked if each.subject == first.subject and int(now - each.at) == age]
        told = [entry.tell() for entry in entries]
        try:
            async with asyncio.timeout(PATIENCE):
                booked = await self._exact.book(
                    first.subject, age, sum(each[0] for each in told), sum(each[1] for each in told)
                )
        except Exception:  # whatever it was must not end the bookkeeping
            return False
        done = set(map(id, entries))
        self._unbooked = deque(each for each in self._unbooked if id(each) not in done)
        for entry in entries:
            entry.found(booked)
        return True

    def _forget(self) -> None:
        """Those of more than a minute ago count no more."""
        unbooked, since = self._unbooked, self._clock() - SECONDS
        while unbooked and unbooked[0].at <= since:
            unbooked.popleft()
