"""Idle connections by origin: a synchronous book that says what to do, and leaves the doing to its one caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from router.dialects.base import Origin


class Pooled(Protocol):
    """What the book writes on a connection."""

    shelf: Shelf[Any] | None


C = TypeVar("C", bound=Pooled)


class Shelf(Generic[C]):
    """One origin's connections. `idle` is ordered: the one put back last comes last, and is taken first."""

    __slots__ = ("connections", "idle", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: dict[C, None] = {}
        self.connections: set[C] = set()


class Pool(Generic[C]):
    """Connections by origin, TLS settings included: two origins never share one.

    Reuse is last in, first out, so that a pool grown by a peak shrinks again. `max_idle` is per origin.
    """

    def __init__(self, max_idle: int) -> None:
        self._max_idle = max_idle
        self._shelves: dict[Origin, Shelf[C]] = {}

    def __repr__(self) -> str:
        shelves = (
            f"{shelf.origin.scheme}://{shelf.origin.host}:{shelf.origin.port}"
            f" {len(shelf.idle)} idle, {len(shelf.connections) - len(shelf.idle)} busy"
            for shelf in self._shelves.values()
        )
        return f"<Pool {'; '.join(shelves) or 'empty'}>"

    def __iter__(self) -> Iterator[C]:
        """Every open connection."""
        return iter([connection for shelf in self._shelves.values() for connection in shelf.connections])

    def take(self, origin: Origin) -> C | None:
        """An idle connection, now busy, or None: then open one and `add` it."""
        shelf = self._shelves.get(origin)
        if shelf is None or not shelf.idle:
            return None
        return shelf.idle.popitem()[0]

    def add(self, origin: Origin, connection: C) -> None:
        """A new connection, busy from the start."""
        shelf = self._shelves.get(origin)
        if shelf is None:
            shelf = self._shelves[origin] = Shelf(origin)
        shelf.connections.add(connection)
        connection.shelf = shelf

    def put_back(self, connection: C) -> C | None:
        """A busy connection is idle again. Returns the one to close where there are too many."""
        shelf = connection.shelf
        if shelf is None:
            return connection
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
        if not shelf.connections:
            del self._shelves[shelf.origin]
