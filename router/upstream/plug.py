"""What the event loop holds of a connection."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Plugged(Protocol):
    """What the loop calls. See `asyncio.BufferedProtocol`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def get_buffer(self, sizehint: int) -> memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Plug(asyncio.BufferedProtocol):
    """The methods of another object, which so need not inherit from asyncio's class: compiled, such a class would have
    the attributes of interpreted ones, and their price."""

    __slots__ = ("buffer_updated", "connection_lost", "connection_made", "eof_received", "get_buffer", "pause_writing",
                 "resume_writing")  # fmt: skip

    def __init__(self, plugged: Plugged) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(plugged, name))
