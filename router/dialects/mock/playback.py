"""A reply as timed pieces, and how far it has been played. Knows no clock but the one handed in."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import inf
from typing import NamedTuple


class Send(NamedTuple):
    """Body bytes, `after` seconds after the piece before them (or after the request)."""

    after: float
    data: bytes


class Ending(StrEnum):
    """What happens to the connection after the last piece."""

    DONE = "done"  # the body is complete
    HANG = "hang"  # nothing more comes, and the connection stays open
    CLOSE = "close"  # closed in the middle of the body
    RESET = "reset"


class Answer(NamedTuple):
    """One reply. `status` 0 has no head: its bytes (if any) go out as they are. `length` is the body's promised size,
    None for a stream, whose head goes out at once; a whole reply's head goes out with its first piece."""

    status: int
    headers: tuple[tuple[str, str], ...]
    length: int | None
    sends: Sequence[Send]
    ending: Ending = Ending.DONE


class Playback:
    """Where in an answer we are. `next_at` is the moment of the next piece (`inf`: none comes any more)."""

    __slots__ = ("_position", "_sends", "ending", "next_at")

    def __init__(self, answer: Answer, now: float) -> None:
        self._sends = answer.sends
        self._position = 0
        self.ending = answer.ending
        self.next_at = now + self._sends[0].after if self._sends else inf

    @property
    def ended(self) -> bool:
        """All pieces have been handed out, and `ending` is what is left to do."""
        return self._position >= len(self._sends)

    def due(self, now: float) -> list[bytes]:
        """The pieces whose moment has come, in order. The schedule is absolute: a late call catches up."""
        pieces: list[bytes] = []
        sends = self._sends
        while self.next_at <= now:
            pieces.append(sends[self._position].data)
            self._position += 1
            self.next_at = self.next_at + sends[self._position].after if self._position < len(sends) else inf
        return pieces
