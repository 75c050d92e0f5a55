"""The server protocol with the hot routes served inline.

`FastProtocol.start` peeks at the next parsed message. A plain POST to a hot path is served within the connection's own
task: no task, request object or body reader of its own, and an answer in one write. Anything else, parse errors
included, is left in place, and the connection goes on in aiohttp's own `start`.

A request whose head is the last one's again (`RepeatedHead`) does not even go through aiohttp's parser. That needs the
parser to stand between two messages, which is known where all that it has been fed is one whole message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy

from router.core.types import Kind
from router.edge.body import BROKEN_BODY, read_body
from router.edge.date import HttpDate
from router.edge.protocol import EdgeProtocol
from router.edge.repeated_head import HEAD_END, RepeatedHead, repeated_head
from router.edge.service import Service
from router.edge.socket_exchange import SocketExchange

if TYPE_CHECKING:
    from router.edge.server import EdgeServer


@dataclass(slots=True)
class Hot:
    """A request to be served inline. `body` is whole, or still coming."""

    kind: Kind
    headers: CIMultiDictProxy[str]
    body: bytes | StreamReader
    keep_alive: bool


class FastProtocol(EdgeProtocol):
    """Serves the hot routes inline.

    `_again` is a request that has come with `_head`, the head before it, again; `_coming` its body while that is not
    whole, and `_missing` how much of it is not here. `_fed` counts the bytes given to aiohttp's parser since it stood
    between two messages for the last time, beginning with `_first`; 0: it does so now.
    """

    __slots__ = ("_again", "_body_timeout", "_coming", "_date", "_exchange", "_fed", "_first", "_head", "_hot",
                 "_max_body_bytes", "_missing", "_service")  # fmt: skip

    def __init__(
        self,
        manager: EdgeServer,
        *,
        hot: Mapping[str, Kind],
        service: Service,
        max_body_bytes: int,
        body_timeout: float,
        date: HttpDate,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
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

    def data_received(self, data: bytes) -> None:
        if data:  # aiohttp itself calls with nothing, for the parser to go on with what it has
            if self._coming is not None:
                data = self._more_of_the_body(self._coming, data)
            elif self._head is not None and not self._fed:
                data = self._with_the_same_head(self._head, data)
            if not data:
                return
            if not self._fed:
                self._first = data
            self._fed += len(data)
        super().data_received(data)

    async def start(self) -> None:
        loop = self._loop
        while not self._force_close:
            if self._again is None and not self._messages:
                self._waiter = loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            request, transport = self._next(), self.transport
            if request is None or transport is None:
                await super().start()
                return
            self._request_in_progress = True
            try:
                keep_alive = await self._serve(request, transport)
            except BaseException:
                self.force_close()
                raise
            finally:
                self._request_in_progress = False
                if self._handler_waiter is not None:
                    self._handler_waiter.set_result(None)
            if not keep_alive or self._close or self._force_close:
                break
            self._next_keepalive_close_time = loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._keepalive_handle = loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    def close_if_idle(self) -> None:
        if self._again is None:
            super().close_if_idle()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._exchange is not None:
            self._exchange.gone = True
        if self._coming is not None:
            self._coming.set_exception(ConnectionResetError("the client went away"))
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._exchange is not None:
            self._exchange.resume()

    # Requests with the same head as the one before.

    def _with_the_same_head(self, head: RepeatedHead, data: bytes) -> bytes:
        """Take the next request, where it has this head and nobody is before it. Returns what is left of `data`."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages or self._force_close or self._close:
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
            body = StreamReader(self, self._read_bufsize, loop=self._loop)
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
        if not self._missing:
            self._coming = None
            body.feed_eof()
        return data[len(mine) :]

    def _learn(self, message: RawRequestMessage, kind: Kind) -> None:
        """Remember the head of `message`, all of which has come, where the parser has been fed nothing else."""
        length = message.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else self._max_body_bytes + 1  # the header is every later one's, too
        end = self._first.find(HEAD_END) + len(HEAD_END)
        if end >= len(HEAD_END) and size <= self._max_body_bytes and self._fed == end + size and not self._messages:
            self._head = repeated_head(self._first[:end], message, kind)
            self._fed = 0
        self._first = b""

    # One request.

    def _next(self) -> Hot | None:
        """The next request, taken; None where it is left to aiohttp."""
        again = self._again
        if again is not None:
            self._again = None
            return again
        message, payload = self._messages[0]
        kind = hot_kind(message, self._hot)
        if kind is None:
            return None
        message = cast(RawRequestMessage, message)
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()  # the parser goes on where a pipelining client had filled the queue
        if self._first and payload.is_eof():
            self._learn(message, kind)
        return Hot(kind, message.headers, payload, not message.should_close)

    async def _serve(self, request: Hot, transport: asyncio.Transport) -> bool:
        """Serve one request inline. Returns whether the connection can be used again."""
        body = request.body
        keep_alive = request.keep_alive and not self._service.draining
        exchange = self._exchange = SocketExchange(transport, self._date.now(), keep_alive, self._paused)
        try:
            if isinstance(body, bytes):
                await self._service.handle(request.kind, request.headers, body, exchange)
            else:
                read = partial(read_body, body, request.headers, self._max_body_bytes, self._body_timeout)
                await self._service.handle(request.kind, request.headers, read, exchange)
        finally:
            self._exchange = None
        if not isinstance(body, bytes) and not body.is_eof():
            await self._linger(body)
            keep_alive = keep_alive and body.is_eof()
        if self._paused and self.transport is not None:
            await self._drain_helper()
        return keep_alive

    async def _linger(self, payload: StreamReader) -> None:
        """Read on for a while after an early answer: closing at once would reset the connection and lose the answer."""
        try:
            async with asyncio.timeout(self._lingering_time):
                while not payload.is_eof():
                    await payload.readany()
        except (TimeoutError, OSError, *BROKEN_BODY):
            pass


def hot_kind(message: object, hot: Mapping[str, Kind]) -> Kind | None:
    """What a parsed message asks for, where it is a plain POST to a hot path."""
    if (
        isinstance(message, RawRequestMessage)
        and message.method == "POST"
        and message.version == HttpVersion11
        and not message.upgrade
        and "Expect" not in message.headers
    ):
        return hot.get(message.path)
    return None
