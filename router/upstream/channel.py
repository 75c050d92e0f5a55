"""The socket's side of a connection: one buffer for all reads, and back-pressure both ways."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import WireRequest
from router.upstream.proxy import Forward
from router.upstream.upload import Upload

ONE_WRITE = 65536
"""Bytes. Up to this size, copying a body behind its head costs less than a second write."""

SLOW = 36864
"""Bytes the kernel may keep for a connection whose stream was paused; twice as much with its own bookkeeping. While
streams flow it finds the right size by itself, which may be megabytes. Twice this is more than a segment of the
loopback (64 KiB): a server sends into a window smaller than its segments five times a second only."""

AHEAD = 32768
"""Bytes of ciphertext that wait while reading is paused: more than a record of TLS has."""


class Channel(ABC):
    """What is `Plugged` into the event loop. `buffer` bounds one read; the loops' own would take much more at once. A
    view, since asyncio slices it.

    `forward`: the socket leads to a proxy that passes requests on.
    """

    __slots__ = ("_buffer", "_loop", "_paused", "_slow", "_transport", "_upload", "forward")

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self._loop = loop
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._upload: Upload | None = None
        self._paused = self._slow = False
        self.forward: Forward | None = None

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Bytes, as many as one read brought."""

    @abstractmethod
    def source_failed(self, error: BaseException) -> None:
        """The source of the body that is being sent has failed."""

    def write(self, wire: WireRequest) -> None:
        """Send a request; a body that is still coming, by a task of its own."""
        transport = self._transport
        assert transport is not None
        head, body = wire.head, wire.body
        if self.forward is not None:
            head = self.forward.head(head)
        if wire.source is not None:
            transport.write(head)
            self._upload = Upload(self._loop, wire.source, transport, self)
        elif len(body) <= ONE_WRITE:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    def pause_reading(self) -> None:
        self._paused = True
        transport = self._transport
        if transport is not None:
            transport.pause_reading()
            if not self._slow:
                self._slow = True
                sock = transport.get_extra_info("socket")
                if sock is not None:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW)

    def read_little_ahead(self) -> None:
        """Over TLS, what comes while reading is paused is kept here, not in the kernel: by the loops' own limit up to
        256 KiB, besides what one read brings."""
        set_limits = getattr(self._transport, "set_read_buffer_limits", None)  # a TLS transport's, of whichever loop
        if set_limits is not None:
            set_limits(AHEAD)

    def resume_reading(self) -> None:
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    # For the transport.

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer[:nbytes]))

    def pause_writing(self) -> None:
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        if self._upload is not None:
            self._upload.resume()


def body_broke_off() -> UpstreamFailure:
    """For a response that had begun already: nothing that upstream has done, and nothing that another can mend."""
    return UpstreamFailure(FailureKind.REJECTED, "the request's body broke off")
