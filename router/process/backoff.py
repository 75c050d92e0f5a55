"""How long to wait before what has ended by itself is started again."""

from __future__ import annotations

FIRST = 0.1
LONGEST = 30.0
PROVEN = 10.0
"""Seconds of life after which an end says nothing about the next start."""


class Backoff:
    """Doubles with every early end: 0.1 s, 0.2 s, 0.4 s … 30 s; begins anew after a life of ten seconds."""

    def __init__(self) -> None:
        self._early = 0

    def ended(self, lived: float) -> float:
        """Seconds to wait, after a life of so many."""
        if lived >= PROVEN:
            self._early = 0
        wait: float = min(FIRST * 2.0 ** min(self._early, 32), LONGEST)
        self._early += 1
        return wait
