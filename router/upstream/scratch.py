"""What connections read into."""

from __future__ import annotations

ONE_READ = 16384
"""Bytes read from a socket at once, and so held beyond the limit where a stream is paused."""

ONE_TLS_READ = 524288
"""The event loops decrypt up to 256 KiB at once, and lose the stream's end where a buffer is too small for that."""


class Scratch:
    """Two buffers, `plain` and `tls`, for one read at a time: all connections of one event loop can share them. Views,
    since asyncio slices them. The large one is made for the first who wants it."""

    __slots__ = ("_tls", "plain")

    def __init__(self) -> None:
        self.plain = memoryview(bytearray(ONE_READ))
        self._tls: memoryview | None = None

    @property
    def tls(self) -> memoryview:
        if self._tls is None:
            self._tls = memoryview(bytearray(ONE_TLS_READ))
        return self._tls
