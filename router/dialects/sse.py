"""Server-sent events by their framing: whole events out of bytes cut anywhere."""

from __future__ import annotations

MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """An event that does not end within `MAX_EVENT_BYTES`."""


class EventSplitter:
    """Cuts a stream into blocks that end at an event boundary, with line ends normalised to LF.

    `feed` returns zero or more whole events as one block of bytes, each event ending in its blank line; `rest` is what
    has come since. Almost every block arrives whole and is returned as it came, uncopied.
    """

    __slots__ = ("_after_cr", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self._after_cr = False

    @property
    def between(self) -> bool:
        """Nothing of an event is held back."""
        return not self.rest and not self._after_cr

    def feed(self, data: bytes) -> bytes:
        if self._after_cr or b"\r" in data:
            data = self._normalise(data)
        if self.rest:
            data = self.rest + data
            self.rest = b""
        if data.endswith(b"\n\n"):
            return data
        found = data.rfind(b"\n\n")
        end = found + 2 if found >= 0 else 0
        self.rest = data[end:]
        if len(self.rest) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        return data[:end]

    def _normalise(self, data: bytes) -> bytes:
        """CRLF and lone CR become LF, also where a CRLF is cut in two."""
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def payload(event: bytes) -> bytes:
    """The `data:` of one event: its lines joined by LF; empty for a comment."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [
        line[6:] if line.startswith(b"data: ") else line[5:] for line in event.split(b"\n") if line.startswith(b"data:")
    ]
    return b"\n".join(lines)
