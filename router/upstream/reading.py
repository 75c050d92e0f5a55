"""How much one read of a socket may bring."""

from __future__ import annotations

from abc import ABC, abstractmethod

from router.upstream.plug import Transport

ONE_READ = 16384
"""Bytes: the size of `scratch`. So many are held beyond the limit where a stream is paused."""


def new_scratch() -> memoryview:
    """What is read into: all connections of one event loop can share it. A view, since asyncio slices it."""
    return memoryview(bytearray(ONE_READ))


class Reading(ABC):
    """One socket, read into `scratch`. The loops' own way takes up to 256 KB at once."""

    __slots__ = ("scratch",)

    def __init__(self, scratch: memoryview) -> None:
        self.scratch = scratch

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Bytes, as many as one read brought."""

    @abstractmethod
    def connection_made(self, transport: Transport) -> None: ...

    @abstractmethod
    def connection_lost(self, exc: Exception | None) -> None: ...

    @abstractmethod
    def eof_received(self) -> bool | None: ...

    @abstractmethod
    def pause_writing(self) -> None: ...

    @abstractmethod
    def resume_writing(self) -> None: ...

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.scratch[:nbytes]))
