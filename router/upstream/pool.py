"""Connections by origin: a synchronous book that says what to do, and leaves the doing to its one caller."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from router.dialects.base import Origin
from router.upstream.patience import Patience

SHELVES = 1024
"""Origins remembered while they have no connection: what is known of their patience."""


class Pooled(Protocol):
    """What the book writes on a connection."""

    shelf: Shelf[Any] | None


C = TypeVar("C", bound=Pooled)


class Shelf(Generic[C]):
    """One origin's connections. `idle` is ordered: the one put back last comes last, and is taken first. `opening`
    counts those that are not open yet, and `waiting` holds, in order of arrival, those for whom there is no room."""

    __slots__ = ("connections", "idle", "opening", "origin", "patience", "waiting")

    def __init__(self, origin: Origin, patience: Patience) -> None:
        self.origin = origin
        self.patience = patience
        self.idle: dict[C, None] = {}
        self.connections: set[C] = set()
        self.opening = 0
        self.waiting: OrderedDict[asyncio.Future[C | None], None] = OrderedDict()

    @property
    def empty(self) -> bool:
        return not (self.connections or self.opening or self.waiting)


class Sizes(NamedTuple):
    """Connections, and those who wait for one, of all origins together."""

    idle: int
    busy: int
    opening: int
    waiting: int


class Pool(Generic[C]):
    """Connections by origin, TLS settings included: two origins never share one.

    Reuse is last in, first out, so that a pool grown by a peak shrinks again. Per origin, `max_idle` connections are
    kept idle and `max_open` are open or being opened; whoever finds no room waits, first come, first served.
    `idle_seconds`: see `Patience`.
    """

    def __init__(self, max_idle: int, max_open: int, idle_seconds: float) -> None:
        self._max_idle = max_idle
        self._max_open = max_open
        self._idle_seconds = idle_seconds
        self._shelves: dict[Origin, Shelf[C]] = {}

    def __repr__(self) -> str:
        shelves = (
            f"{shelf.origin.scheme}://{shelf.origin.host}:{shelf.origin.port}"
            f" {len(shelf.idle)} idle, {len(shelf.connections) - len(shelf.idle)} busy"
            + (f", {shelf.opening} opening" if shelf.opening else "")
            + (f", {len(shelf.waiting)} waiting" if shelf.waiting else "")
            for shelf in self._shelves.values()
            if not shelf.empty
        )
        return f"<Pool {'; '.join(shelves) or 'empty'}>"

    def __iter__(self) -> Iterator[C]:
        """Every open connection."""
        return iter([connection for shelf in self._shelves.values() for connection in shelf.connections])

    def sizes(self) -> Sizes:
        shelves = self._shelves.values()
        idle = sum(len(shelf.idle) for shelf in shelves)
        return Sizes(
            idle,
            sum(len(shelf.connections) for shelf in shelves) - idle,
            sum(shelf.opening for shelf in shelves),
            sum(len(shelf.waiting) for shelf in shelves),
        )

    def take(self, origin: Origin) -> C | None:
        """An idle connection, now busy, or None: then `reserve` room for another."""
        shelf = self._shelves.get(origin)
        if shelf is None or not shelf.idle:
            return None
        return shelf.idle.popitem()[0]

    def reserve(self, origin: Origin, now: float) -> bool:
        """Whether there is room for one more: then open it, and `add` or `release`. Without room, `wait`."""
        shelf = self._shelf(origin)
        if len(shelf.connections) + shelf.opening >= self._max_open:
            return False
        shelf.opening += 1
        shelf.patience.opened(now)
        return True

    def add(self, origin: Origin, connection: C) -> None:
        """The connection for which there was room: busy from the start."""
        shelf = self._shelf(origin)
        shelf.opening -= 1
        shelf.connections.add(connection)
        connection.shelf = shelf

    def release(self, origin: Origin) -> None:
        """The room is not needed: the connection was not opened."""
        shelf = self._shelf(origin)
        shelf.opening -= 1
        self._room(shelf)

    def wait(self, origin: Origin, waiter: asyncio.Future[C | None], *, first: bool = False) -> None:
        """Queue. The waiter gets a busy connection, or None: room for one, as from `reserve`.

        `first`: ahead of all others, as somebody who has waited before.
        """
        waiting = self._shelf(origin).waiting
        waiting[waiter] = None
        if first:
            waiting.move_to_end(waiter, last=False)

    def leave(self, origin: Origin, waiter: asyncio.Future[C | None]) -> None:
        """Queue no more; what this waiter has been given already, and nobody looked at, is the next one's."""
        shelf = self._shelf(origin)
        shelf.waiting.pop(waiter, None)
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self.release(origin)
            elif connection.shelf is not None:
                self.put_back(connection)

    def exchange(self, connection: C) -> None:
        """Keep the room of this connection, which is about to be discarded, for another one."""
        if connection.shelf is not None:
            connection.shelf.opening += 1

    def refuse(self, failure: Exception) -> None:
        """Nobody is to wait any more."""
        for shelf in self._shelves.values():
            while shelf.waiting:
                waiter, _ = shelf.waiting.popitem(last=False)
                if not waiter.done():
                    waiter.set_exception(failure)

    def put_back(self, connection: C) -> C | None:
        """A busy connection is idle again, or goes to the first who waits for one. Returns the one to close where too
        many are idle."""
        shelf = connection.shelf
        if shelf is None:
            return connection
        if shelf.waiting and self._give(shelf, connection):
            return None
        idle = shelf.idle
        idle[connection] = None
        return next(iter(idle)) if len(idle) > self._max_idle else None

    def discard(self, connection: C) -> None:
        """Forget a connection, busy or idle. Harmless where it is unknown."""
        shelf = connection.shelf
        if shelf is None:
            return
        connection.shelf = None
        shelf.idle.pop(connection, None)
        shelf.connections.discard(connection)
        self._room(shelf)

    def _shelf(self, origin: Origin) -> Shelf[C]:
        shelf = self._shelves.get(origin)
        if shelf is None:
            if len(self._shelves) >= SHELVES:
                self._shelves = {place: other for place, other in self._shelves.items() if not other.empty}
            shelf = self._shelves[origin] = Shelf(origin, Patience(self._idle_seconds))
        return shelf

    def _room(self, shelf: Shelf[C]) -> None:
        if shelf.waiting and len(shelf.connections) + shelf.opening < self._max_open and self._give(shelf, None):
            shelf.opening += 1

    def _give(self, shelf: Shelf[C], connection: C | None) -> bool:
        """To the first who waits. Returns whether there was one."""
        while shelf.waiting:
            waiter, _ = shelf.waiting.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False
