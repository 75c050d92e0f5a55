"""The event loop: what happens next, in order of time; among equal times in the order it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

ORIGIN = 1000.0
"""The clock's reading, in seconds, when a simulation begins. Not 0, which reads like "never" in many a place."""


class EventLoop:
    """`now` in seconds. There is no way to cancel: who no longer cares for an event ignores it."""

    __slots__ = ("_heap", "_order", "now")

    def __init__(self) -> None:
        self.now = ORIGIN
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    def clock(self) -> float:
        return self.now

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Call it then, or now where `when` is past."""
        self._order += 1
        heappush(self._heap, (max(when, self.now), self._order, call, args))

    def run(self, until: Callable[[], bool]) -> None:
        """Let things happen until nothing is left to, or `until` says that it is enough."""
        heap = self._heap
        while heap and not until():
            self.now, _, call, args = heappop(heap)
            call(*args)
