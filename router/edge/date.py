"""The `date` field, made once a second."""

from __future__ import annotations

from email.utils import formatdate

from router.core.clock import Clock


class HttpDate:
    __slots__ = ("_clock", "_second", "_text")

    def __init__(self, wall_clock: Clock) -> None:
        self._clock = wall_clock
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """The time of the wall clock as RFC 9110 writes it."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True)
        return self._text
