"""The order in which requests wait: by priority, round and round the keys, first come first served within a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waits(Protocol):
    """Who can stand in line. A lower `priority` goes first."""

    @property
    def key(self) -> str: ...
    @property
    def priority(self) -> int: ...


W = TypeVar("W", bound=Waits)


class Line(Generic[W]):
    def __init__(self) -> None:
        self._tiers: dict[int, dict[str, dict[W, None]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[W]:
        """In their order. Whoever changes the line begins anew."""
        for priority in sorted(self._tiers):
            turns = [iter(waiters) for waiters in self._tiers[priority].values()]
            while turns:
                going_on = []
                for turn in turns:
                    waiter = next(turn, None)
                    if waiter is not None:
                        yield waiter
                        going_on.append(turn)
                turns = going_on

    def join(self, waiter: W) -> None:
        """A key that has nobody waiting yet comes after those that have."""
        self._tiers.setdefault(waiter.priority, {}).setdefault(waiter.key, {})[waiter] = None
        self._count += 1

    def leave(self, waiter: W) -> None:
        """Harmless for one that has left."""
        keys = self._tiers.get(waiter.priority, {})
        waiters = keys.get(waiter.key, {})
        if waiter not in waiters:
            return
        del waiters[waiter]
        self._count -= 1
        if not waiters:
            del keys[waiter.key]
        if not keys:
            del self._tiers[waiter.priority]

    def served(self, waiter: W) -> None:
        """It leaves, and its key's turn comes again after all the others'."""
        self.leave(waiter)
        keys = self._tiers.get(waiter.priority, {})
        if waiter.key in keys:
            keys[waiter.key] = keys.pop(waiter.key)
