"""One socket, one exchange at a time.

Theory of operation. A connection is *idle*, *waiting* (`_waiter` is the future that `start` returned), *streaming*
(`_body` is the stream which that future brought), or *closed* (`closed` says why). `start` leads from idle to waiting;
a whole reply leads back to idle, and so does the end of a stream. Everything else leads to closed: a reply that leaves
the connection unfit for another, a failure, a limit that passes, the server closing, bytes that nobody asked for.
There is no task, and one future per request; only a body that is still coming from the client has a task (`_upload`).
"""

from __future__ import annotations

import asyncio
from math import inf

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import WireRequest
from router.upstream.base import Timing, UpstreamResponse
from router.upstream.body import Body
from router.upstream.channel import Channel, body_broke_off
from router.upstream.chunk_lane import content_of_chunk
from router.upstream.counters import CloseReason
from router.upstream.framing import Limits, ResponseReader
from router.upstream.owner import Owner
from router.upstream.plug import Transport
from router.upstream.pool import Shelf
from router.upstream.proxy import refused
from router.upstream.reading import ONE_READ
from router.upstream.refusal import Malformed
from router.upstream.watch import Watch


class Connection(Channel):
    """An HTTP/1.1 client connection. `exchanges` counts the requests it has carried; `stale` is whether the last one
    failed because the server had closed the connection before, so that it was never answered, nor likely read, and can
    be sent again."""

    __slots__ = ("_body", "_busy", "_limits", "_owner", "_reader", "_waiter", "_watch", "closed", "exchanges", "shelf",
                 "stale")  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner, limits: Limits) -> None:
        super().__init__(loop, owner.scratch)
        self._owner = owner
        self._limits = limits
        self._reader = ResponseReader(limits)
        self._watch = Watch(loop, self)
        self._waiter: asyncio.Future[UpstreamResponse] | None = None
        self._body: Body | None = None
        self._busy = False
        self.closed: CloseReason | None = None
        self.exchanges = 0
        self.stale = False
        self.shelf: Shelf[Connection] | None = None

    def __repr__(self) -> str:
        state = self.closed or ("streaming" if self._body else "waiting" if self._waiter else "idle")
        return f"<Connection {state}, {self.exchanges} exchanges>"

    # For the client.

    def start(self, wire: WireRequest, timing: Timing) -> asyncio.Future[UpstreamResponse]:
        """Send a request on an idle connection. The future brings the response, or UpstreamFailure.

        Whoever stops waiting for it must say so with `abandon`.
        """
        waiter: asyncio.Future[UpstreamResponse] = self._loop.create_future()
        self.exchanges += 1
        self._busy = True
        self._waiter = waiter
        self._reader.expect(wire.head.startswith(b"HEAD "))
        self.expect(whole=timing.first_token == inf)
        self._watch.begin(timing)
        self.write(wire)
        return waiter

    def abandon(self, waiter: asyncio.Future[UpstreamResponse]) -> None:
        """Nobody waits for this future of `start` any more: close the connection, if it still serves that exchange."""
        if self._waiter is waiter:
            self.close(CloseReason.CANCELLED)
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            stream = waiter.result().stream
            if stream is not None:
                stream.abort()

    def close(self, reason: CloseReason) -> None:
        """Close at once, telling nobody but the owner. Harmless once closed."""
        if self.closed is not None:
            return
        self.closed = reason
        self._busy = False
        self._waiter = None
        self._body = None
        self._watch.stop()
        if self._upload is not None:
            self._upload.stop()
        self._owner.closing(self, reason)
        transport = self._transport
        if transport is not None:
            if reason in (CloseReason.EXPIRED, CloseReason.SURPLUS):
                transport.close()  # nothing is under way: TLS may say goodbye
            else:
                transport.abort()
        else:
            self._reader.drop()

    def shut_down(self) -> None:
        """Close at once, failing the exchange under way; and where it is closed already, wait for nothing."""
        if self.closed is None:
            self._fail(FailureKind.DISCONNECTED, "the router is shutting down", CloseReason.SHUTDOWN)
        elif self._transport is not None:
            self._transport.abort()

    # For the body.

    def pause(self) -> None:
        self._watch.pause()
        self.pause_reading()

    def resume(self) -> None:
        self._watch.resume()
        self.resume_reading()

    def commit(self) -> None:
        self._watch.commit()

    def cancel(self) -> None:
        self.close(CloseReason.CANCELLED)

    # For the watch.

    def timed_out(self, kind: FailureKind, message: str) -> None:
        self._fail(kind, message)

    def expired(self) -> None:
        self.close(CloseReason.EXPIRED)

    # For the upload.

    def source_failed(self, error: BaseException) -> None:
        waiter, body = self._waiter, self._body
        self.close(CloseReason.CANCELLED)
        if waiter is not None and not waiter.done():
            if isinstance(error, asyncio.CancelledError):
                waiter.cancel()
            else:
                waiter.set_exception(error)
        elif body is not None:
            body.end(body_broke_off())

    # For the transport.

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport
        self._owner.made(self)
        if self.closed is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if len(data) > ONE_READ:
            self.brought_much(whole=self._body is None)
        if not self._busy:
            self._learn()
            self.close(CloseReason.SERVER)
            return
        body = self._body
        if body is not None and self._reader.between_chunks:
            start = content_of_chunk(data)
            if start and body.chunk(data, start):
                self._watch.last_data = self._loop.time()
                self.brought_chunk()
                return
        try:
            self._read(data)
        except Malformed as malformed:
            self._malformed(malformed)

    def eof_received(self) -> None:
        if not self._busy:
            self._learn()
            self.close(CloseReason.SERVER)
        elif not self._reader.eof():
            self._disconnected(None)
        elif (body := self._body) is not None:
            self._free()
            body.end(None)
        else:
            try:
                self._reply()
            except Malformed as malformed:
                self._malformed(malformed)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy:
            self._disconnected(exc)
        else:
            self._learn()
        self.close(CloseReason.SERVER)
        self._transport = None
        self._reader.drop()
        self._owner.lost(self)

    # How exchanges go on and end.

    def _read(self, data: bytes) -> None:
        """Raises Malformed."""
        reader = self._reader
        reader.feed(data)
        body = self._body
        if body is None:
            if not reader.head:
                return
            if not reader.streams:
                if reader.complete:
                    self._reply()
                return
            body = self._stream()
            if body is None:
                return
        if reader.parts:
            self._watch.last_data = self._loop.time()
            body.feed(reader.take())
        if reader.complete and self._body is body:
            self._free()
            body.end(None)

    def _reply(self) -> None:
        """The whole reply is there."""
        reader = self._reader
        if 407 <= reader.status <= 408 and self._is_no_answer(reader):
            return
        response = UpstreamResponse(reader.status, reader.headers, reader.body(), None)
        waiter = self._waiter
        self._free()
        if waiter is not None and not waiter.done():
            waiter.set_result(response)

    def _stream(self) -> Body | None:
        """The head of a stream is there."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            self.close(CloseReason.CANCELLED)
            return None
        self._waiter = None
        self.expect(whole=False)
        reader = self._reader
        body = self._body = Body(self, self._limits.unattached)
        waiter.set_result(UpstreamResponse(reader.status, reader.headers, b"", body))
        return body

    def _free(self) -> None:
        """The exchange is over and well: back to idle, where the connection is fit for it."""
        transport = self._transport
        # A reply that came before the whole request was sent is a reply; but the rest of the request must not follow.
        upload, shelf = self._upload, self.shelf
        sent = transport is not None and not transport.get_write_buffer_size() and (upload is None or upload.done)
        if not self._reader.reusable or not sent or transport is None or shelf is None:
            self.close(CloseReason.REPLY)
            return
        keep_alive = self._reader.headers.get(b"keep-alive")
        if keep_alive is not None:
            shelf.patience.told(keep_alive)
        self._busy = False
        self._waiter = self._body = self._upload = None
        if self._paused:
            self._paused = False
            transport.resume_reading()
        self._watch.rest(shelf.patience.seconds)
        self._owner.idle(self)

    def _is_no_answer(self, reader: ResponseReader) -> bool:
        """Whether a reply says nothing about the request, so that it is a failure to connect."""
        if reader.status == 407:
            if self.forward is not None:
                failure = refused(407)
                self._fail(failure.kind, failure.message)
            return self.forward is not None
        if self._is_stale() and not reader.reusable:
            # A server's goodbye to an idle connection, crossing our request: it has not seen it (RFC 9110, 15.5.9).
            self.stale = True
            self._fail(FailureKind.DISCONNECTED, "closed before a response", CloseReason.STALE)
        return self.stale

    def _is_stale(self) -> bool:
        """Whether a connection that closes now had probably been closed while idle, and the request can be repeated."""
        return self.exchanges > 1 and (self._upload is None or not self._upload.consumed)

    def _learn(self) -> None:
        """The server has closed a connection that was idle, or had been: that is how long it waits."""
        if self._watch.rested and self.shelf is not None:
            now = self._loop.time()
            self.shelf.patience.closed_after(now - self._watch.rested, now)

    def _disconnected(self, cause: Exception | None) -> None:
        if self._reader.received:
            self._fail(FailureKind.DISCONNECTED, "closed in the middle of a response", cause=cause)
        else:
            self._learn()
            self.stale = self._is_stale()
            reason = CloseReason.STALE if self.stale else CloseReason.FAILED
            self._fail(FailureKind.DISCONNECTED, "closed before a response", reason, cause=cause)

    def _malformed(self, cause: Malformed) -> None:
        self._owner.refused(cause.reason)
        self._fail(FailureKind.PROTOCOL, f"malformed response: {cause}", cause=cause)

    def _fail(
        self,
        kind: FailureKind,
        message: str,
        reason: CloseReason = CloseReason.FAILED,
        cause: Exception | None = None,
    ) -> None:
        waiter, body = self._waiter, self._body
        self.close(reason)
        failure = UpstreamFailure(kind, message)
        failure.__cause__ = cause
        if waiter is not None and not waiter.done():
            waiter.set_exception(failure)
        elif body is not None:
            body.end(failure)
