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
from router.state.heeding import heed_cancel

PATIENCE = 1.0
"""Seconds for the counter to take in one correction."""
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

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal: ...
    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None: ...
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


class Group(NamedTuple):
    """Those of one subject that came in the same second, the last of them at `at`; told of with the same numbers under
    the same `name` until that is known to have arrived."""

    name: str
    subject: str
    entries: list[Entry]
    at: float
    requests: int
    tokens: int


class Books:
    """Of one replica."""

    def __init__(self, exact: Exact, clock: Clock) -> None:
        self._exact = exact
        self._clock = clock
        self._corrections: OrderedDict[tuple[str, int], tuple[int, int]] = OrderedDict()
        """By subject and the second it was booked in: requests and tokens to add."""
        self._wrong = asyncio.Event()
        self._unbooked: OrderedDict[tuple[str, int], list[Entry]] = OrderedDict()
        """By subject and the second it came in."""
        self._unheard = asyncio.Event()
        self._telling: Group | None = None
        self._name = token_hex(8)
        self._groups = 0

    def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
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
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._exact.correct(subject, Booked(second), requests, tokens)
            except Exception:
                continue  # whatever it was: what was reserved stands

    async def _book_on(self) -> None:
        while True:
            heed_cancel()
            await self._unheard.wait()
            group = self._group()
            if group is None:
                self._unheard.clear()
            elif not await self._tell(group):
                await asyncio.sleep(AGAIN)

    def _group(self) -> Group | None:
        """What to tell now: what may not have arrived, else the next. What came a minute ago counts no more."""
        since = self._clock() - SECONDS
        group = self._telling
        while group is None or group.at <= since:
            if not self._unbooked:
                self._telling = None
                return None
            (subject, _), entries = self._unbooked.popitem(last=False)
            group = self._telling = self._grouped(subject, entries)
        return group

    def _grouped(self, subject: str, entries: list[Entry]) -> Group:
        self._groups += 1
        told = [entry.tell() for entry in entries]
        return Group(
            f"{self._name}:{self._groups}",
            subject,
            entries,
            max(entry.at for entry in entries),
            sum(requests for requests, _ in told),
            sum(tokens for _, tokens in told),
        )

    async def _tell(self, group: Group) -> bool:
        """False where it may not have arrived."""
        age = int(self._clock() - group.at)
        try:
            async with asyncio.timeout(PATIENCE):
                booked = await self._exact.book(group.subject, age, group.requests, group.tokens, group.name)
        except Exception:  # whatever it was must not end the bookkeeping
            return False
        self._telling = None
        for entry in group.entries:
            entry.found(booked)
        return True
