"""What the event loop holds of a connection, and what a connection needs of the event loop."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class Transport(Protocol):
    """As much of `asyncio.Transport` as connections use. uvloop's is none by inheritance."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def get_extra_info(self, name: str) -> Any: ...


class Connected(Protocol):
    """What is told of a connection. See `asyncio.Protocol`."""

    def connection_made(self, transport: Transport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Plugged(Connected, Protocol):
    def data_received(self, data: bytes) -> None: ...


class PluggedWithBuffer(Connected, Protocol):
    """See `asyncio.BufferedProtocol`."""

    def get_buffer(self, sizehint: int) -> memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...


class Receiver(Plugged, PluggedWithBuffer, Protocol):
    """Who can be plugged in either way. `scratch` is the buffer, which others may use between two reads."""

    scratch: memoryview


class Plug(asyncio.Protocol):
    """The methods of another object, which so need not inherit from asyncio's class: compiled, such a class would have
    the attributes of interpreted ones, and their price."""

    __slots__ = ("connection_lost", "connection_made", "data_received", "eof_received", "pause_writing",
                 "resume_writing")  # fmt: skip

    def __init__(self, plugged: Plugged) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(plugged, name))


class BufferedPlug(asyncio.BufferedProtocol):
    """The same for reads into a buffer."""

    __slots__ = ("buffer_updated", "connection_lost", "connection_made", "eof_received", "get_buffer", "pause_writing",
                 "resume_writing")  # fmt: skip

    def __init__(self, plugged: PluggedWithBuffer) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(plugged, name))
