"""The hot routes of one connection: who comes next, and one request after the other.

A lane stands before aiohttp's parser and beside its queue of parsed messages, in which it peeks. It inherits from
nothing of aiohttp's, and so can be compiled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp.streams import StreamReader

from router.core.types import Kind
from router.edge.body import BROKEN_BODY, read_body
from router.edge.date import HttpDate
from router.edge.hot import Hot, hot_kind
from router.edge.repeated_head import HEAD_END, ParsedHead, RepeatedHead, repeated_head
from router.edge.service import Service
from router.edge.socket_exchange import SocketExchange

if TYPE_CHECKING:
    from router.edge.fast_protocol import FastProtocol


class HotLane:
    """Serves the hot requests of a connection, as long as nothing else comes.

    It is handed the protocol, and keeps none: a connection that is closed is free at once.

    `_again` is a request that has come with `_head`, the head before it, again; `_coming` its body while that is not
    whole, and `_missing` how much of it is not here. `_fed` counts the bytes given to aiohttp's parser since it stood
    between two messages for the last time, beginning with `_first`; 0: it does so now. `_message` is the one that
    begins there, until its head is learned.
    """

    __slots__ = ("_again", "_body_timeout", "_coming", "_date", "_exchange", "_fed", "_first", "_head", "_hot",
                 "_max_body_bytes", "_message", "_missing", "_service")  # fmt: skip

    def __init__(
        self,
        hot: Mapping[str, Kind],
        service: Service,
        max_body_bytes: int,
        body_timeout: float,
        date: HttpDate,
    ) -> None:
        """`hot`: kinds by their paths. `body_timeout` in seconds."""
        self._hot = hot
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._date = date
        self._exchange: SocketExchange | None = None
        self._head: RepeatedHead | None = None
        self._again: Hot | None = None
        self._coming: StreamReader | None = None
        self._missing = 0
        self._first = b""
        self._fed = 0
        self._message: ParsedHead | None = None

    # For the protocol.

    @property
    def empty(self) -> bool:
        """No request waits here."""
        return self._again is None

    def take(self, protocol: FastProtocol, data: bytes) -> bytes:
        """Take what has come for the lane. Returns what is left of it, for aiohttp's parser."""
        if self._coming is not None:
            data = self._more_of_the_body(self._coming, data)
        elif self._head is not None and self._fed == 0:
            data = self._with_the_same_head(protocol, self._head, data)
        if data:
            if self._fed == 0:
                self._first = data
            self._fed += len(data)
        return data

    async def run(self, protocol: FastProtocol) -> bool:
        """Serve one request after the other. Returns whether aiohttp is to go on, with one that is not hot."""
        loop = protocol._loop
        while not protocol._force_close:
            if self._again is None and not protocol._messages:
                waiter = protocol._waiter = loop.create_future()
                try:
                    await waiter
                finally:
                    protocol._waiter = None
            request, transport = self._next(protocol), protocol.transport
            if request is None or transport is None:
                return True
            protocol._request_in_progress = True
            try:
                keep_alive = await self._serve(protocol, request, transport)
                if self._message is not None:
                    self._learn(protocol, request)
            except BaseException:
                protocol.force_close()
                raise
            finally:
                protocol._request_in_progress = False
                if protocol._handler_waiter is not None:
                    protocol._handler_waiter.set_result(None)
            if not keep_alive or protocol._close or protocol._force_close:
                break
            protocol._next_keepalive_close_time = loop.time() + protocol._keepalive_timeout
            if protocol._keepalive_handle is None:
                protocol._keepalive_handle = loop.call_at(
                    protocol._next_keepalive_close_time, protocol._process_keepalive
                )
        if not protocol._force_close:
            protocol._task_handler = None
            if protocol.transport is not None:
                protocol.transport.close()
        return False

    def lost(self) -> None:
        """The client is gone."""
        if self._exchange is not None:
            self._exchange.gone = True
        if self._coming is not None:
            self._coming.set_exception(ConnectionResetError("the client went away"))
            self._coming = None
        self._again = None

    def pause(self) -> None:
        """The transport's buffer is full."""
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        if self._exchange is not None:
            self._exchange.resume()

    # Requests with the same head as the one before.

    def _with_the_same_head(self, protocol: FastProtocol, head: RepeatedHead, data: bytes) -> bytes:
        """Take the next request, where it has this head and nobody is before it. Returns what is left of `data`."""
        waiter = protocol._waiter
        if waiter is None or waiter.done() or protocol._messages or protocol._force_close or protocol._close:
            return data
        place = head.body_of(data)
        if place is None:
            return data
        begin, length = place
        if length > self._max_body_bytes:
            return data
        end = begin + length
        missing = end - len(data)
        if missing > 0:
            body = StreamReader(protocol, protocol._read_bufsize, loop=protocol._loop)
            body.feed_data(data[begin:])
            self._coming, self._missing = body, missing
            self._again = Hot(head.kind, head.headers, body, True)
        else:
            self._again = Hot(head.kind, head.headers, data[begin:end], True)
        waiter.set_result(None)
        return data[end:]

    def _more_of_the_body(self, body: StreamReader, data: bytes) -> bytes:
        """Give `body` what is its own. Returns what is left of `data`."""
        mine = data[: self._missing]
        self._missing -= len(mine)
        body.feed_data(mine)
        if self._missing == 0:
            self._coming = None
            body.feed_eof()
        return data[len(mine) :]

    def _learn(self, protocol: FastProtocol, request: Hot) -> None:
        """Remember the head of `_message`, which is `request`, once all of it has come, where the parser has been fed
        nothing else."""
        message, body = self._message, request.body
        if message is None or isinstance(body, bytes) or not body.is_eof():
            return
        length = message.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else self._max_body_bytes + 1  # the header is every later one's, too
        end = self._first.find(HEAD_END) + len(HEAD_END)
        alone = self._fed == end + size and not protocol._messages
        if alone and end >= len(HEAD_END) and size <= self._max_body_bytes:
            self._head = repeated_head(self._first[:end], message, request.kind)
            self._fed = 0
        self._first, self._message = b"", None

    # One request.

    def _next(self, protocol: FastProtocol) -> Hot | None:
        """The next request, taken; None where it is left to aiohttp."""
        again = self._again
        if again is not None:
            self._again = None
            return again
        message: Any
        message, payload = protocol._messages[0]
        kind = hot_kind(message, self._hot)
        if kind is None:
            return None
        protocol._messages.popleft()
        if protocol._parser is not None:
            protocol._parser.message_consumed()
        if protocol._buffer_paused and len(protocol._messages) <= protocol._msg_queue_resume_size:
            protocol._resume_reading_if_drained()  # the parser goes on where a pipelining client had filled the queue
        request = Hot(kind, message.headers, payload, not message.should_close)
        if self._first:
            self._message = message
            self._learn(protocol, request)
        return request

    async def _serve(self, protocol: FastProtocol, request: Hot, transport: asyncio.Transport) -> bool:
        """Serve one request inline. Returns whether the connection can be used again."""
        body = request.body
        keep_alive = request.keep_alive and not self._service.draining
        exchange = self._exchange = SocketExchange(transport, self._date.now(), keep_alive, protocol._paused)
        try:
            if isinstance(body, bytes):
                await self._service.handle(request.kind, request.headers, body, exchange)
            else:
                read = partial(read_body, body, request.headers, self._max_body_bytes, self._body_timeout)
                await self._service.handle(request.kind, request.headers, read, exchange)
        finally:
            self._exchange = None
        if not isinstance(body, bytes) and not body.is_eof():
            await _linger(body, protocol._lingering_time)
            keep_alive = keep_alive and body.is_eof()
        if protocol._paused and protocol.transport is not None:
            await protocol._drain_helper()
        return keep_alive


async def _linger(payload: StreamReader, seconds: float) -> None:
    """Read on for a while after an early answer: closing at once would reset the connection and lose the answer."""
    try:
        async with asyncio.timeout(seconds):
            while not payload.is_eof():
                await payload.readany()
    except (TimeoutError, OSError, *BROKEN_BODY):
        pass
