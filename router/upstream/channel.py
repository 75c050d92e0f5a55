"""The socket's side of a connection: requests on their way out, and back-pressure both ways."""

from __future__ import annotations

import asyncio
import socket
from abc import abstractmethod
from typing import cast

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import WireRequest
from router.upstream.plug import BufferedPlug, Plug, Transport
from router.upstream.proxy import Forward
from router.upstream.reading import Reading
from router.upstream.secured import Secured
from router.upstream.upload import Upload

ONE_WRITE = 65536
"""Bytes. Up to this size, copying a body behind its head costs less than a second write."""

SLOW = 36864
"""Bytes the kernel may keep for a connection whose stream was paused; twice as much with its own bookkeeping. While
streams flow it finds the right size by itself, which may be megabytes. Twice this is more than a segment of the
loopback (64 KiB): a server sends into a window smaller than its segments five times a second only."""


class Channel(Reading):
    """What is `Plugged` into the event loop, or into TLS. Where little can be expected it is read freely: all that is
    there in one call, which is the cheapest way (docs/decisions/0017): a whole reply, which is held whole anyway; a
    stream from a chunk that came alone on, unless one read has brought much before. `scratch` bounds every other read.

    `forward`: the socket leads to a proxy that passes requests on.
    """

    __slots__ = ("_freely", "_loop", "_much", "_paused", "_slow", "_transport", "_upload", "forward")

    def __init__(self, loop: asyncio.AbstractEventLoop, scratch: memoryview) -> None:
        super().__init__(scratch)
        self._loop = loop
        self._transport: Transport | None = None
        self._upload: Upload | None = None
        self._paused = self._slow = self._freely = self._much = False
        self.forward: Forward | None = None

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

    def resume_reading(self) -> None:
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    # How much one read may bring.

    def expect(self, whole: bool) -> None:
        """A `whole` reply comes now, or a stream."""
        if self._freely != whole:
            self._read_freely(whole)

    def brought_chunk(self) -> None:
        """One, alone."""
        if not self._freely and not self._much:
            self._read_freely(True)

    def brought_much(self, whole: bool) -> None:
        """Of a `whole` reply, or of a stream. The kernel may have grown its window by it, so that streams on this
        connection are not read freely any more."""
        self._much = True
        self.expect(whole)

    def _read_freely(self, freely: bool) -> None:
        """TLS is never."""
        self._freely = freely
        transport = self._transport
        if transport is not None and not isinstance(transport, Secured):
            plug = Plug(self) if freely else BufferedPlug(self)
            cast("asyncio.Transport", transport).set_protocol(plug)

    # For the transport.

    def pause_writing(self) -> None:
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        if self._upload is not None:
            self._upload.resume()


def body_broke_off() -> UpstreamFailure:
    """For a response that had begun already: nothing that upstream has done, and nothing that another can mend."""
    return UpstreamFailure(FailureKind.REJECTED, "the request's body broke off")
