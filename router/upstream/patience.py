"""How long an origin's idle connections are kept: as usual, or shorter where its server has said or shown so."""

from __future__ import annotations

from math import inf

SHORTEST = 0.5
"""Seconds. A server that closes sooner than this was restarted or has crashed: it shows nothing about its patience."""

MEMORY = 60.0
LONGEST_MEMORY = 3600.0
"""Seconds for which an observed close is believed, at first and at most; each that agrees makes it four times longer.
A server that was restarted once so costs a minute of shorter keep-alive, and one with a time-out is soon known."""


class Patience:
    """One origin's. `seconds` is how long a connection may be idle before it is closed by us."""

    __slots__ = ("_believed_until", "_field", "_memory", "_said", "_seen", "_shown", "_usual", "seconds")

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._field = b""
        self._said = inf
        self._seen = inf  # our limit after what has been observed
        self._shown = inf  # what has been observed
        self._memory = MEMORY
        self._believed_until = -inf
        self.seconds = usual

    def told(self, field: bytes) -> None:
        """A reply had this `Keep-Alive` field: `timeout=5, max=100`."""
        if field == self._field:
            return
        self._field = field
        self._said = inf
        for parameter in field.split(b","):
            name, _, value = parameter.partition(b"=")
            value = value.strip(b' \t"')
            if name.strip().lower() == b"timeout" and value.isdigit() and len(value) < 10:
                self._said = _below(float(value))
        self._settle()

    def closed_after(self, idle: float, now: float) -> None:
        """The server was found to have closed a connection that had been idle for this many seconds."""
        if idle < SHORTEST or (now < self._believed_until and idle > 1.5 * self._shown):
            return
        agrees = idle <= 1.5 * self._shown and self._shown <= 1.5 * idle
        self._memory = min(self._memory * 4, LONGEST_MEMORY) if agrees else MEMORY
        self._believed_until = now + self._memory
        self._shown = idle
        self._seen = _below(idle)
        self._settle()

    def opened(self, now: float) -> None:
        """A connection is opened: the moment to forget what has not been seen for long."""
        if self._seen < inf and now >= self._believed_until:
            self._seen = inf
            self._settle()

    def _settle(self) -> None:
        self.seconds = min(self._usual, self._said, self._seen)


def _below(seconds: float) -> float:
    """Shorter by a second, but at most by a fifth: the server's clock runs a little ahead of what we see."""
    return seconds - min(1.0, seconds / 5)
