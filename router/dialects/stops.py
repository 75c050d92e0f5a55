"""Texts that end a reply, for upstreams that send them along with it."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 1024
"""Letters. A longer text is not looked for: what may begin one is held back, and compared again with every piece."""


class StopTrimmer:
    """Takes a reply piece by piece and returns what of it may be shown: nothing of a stop text at its end.

    A piece that may be the beginning of one is held back until more has come. `rest` is what is held.
    """

    __slots__ = ("_stops", "rest")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = looked_for(stops)
        self.rest = ""

    def feed(self, piece: str) -> str:
        text = self.rest + piece
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self.rest = text[len(text) - held :]
        return text[: len(text) - held]

    def end(self) -> str:
        """What was held back, unless it is a whole stop text."""
        rest, self.rest = self.rest, ""
        return next((rest.removesuffix(stop) for stop in self._stops if rest.endswith(stop)), rest)


def trimmed(text: str, stops: Sequence[str]) -> str:
    """`text` without a stop text at its end: what a StopTrimmer shows of it altogether."""
    return next((text.removesuffix(stop) for stop in looked_for(stops) if text.endswith(stop)), text)


def looked_for(stops: Sequence[str]) -> list[str]:
    return [stop for stop in stops if 0 < len(stop) <= LONGEST]


def _overlap(text: str, stop: str) -> int:
    """How many letters at the end of `text` begin `stop`."""
    for size in range(min(len(stop), len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
