"""aiohttp's server protocol, with the hot routes served inline.

`FastProtocol.start` peeks at the next parsed message. A plain POST to a hot path is served within the connection's own
task: no task, request object or body reader of its own, and an answer in one write. Anything else, parse errors
included, is left in place, and the connection goes on in aiohttp's own `start`. What the private names used here must
mean is held by `tests/edge/test_aiohttp_contract.py`; aiohttp's minor version is pinned.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from router.core.errors import RouterError
from router.core.types import Kind
from router.edge.body import read_body
from router.edge.date import HttpDate
from router.edge.errors import error_body, internal_error
from router.edge.service import Service
from router.edge.socket_exchange import SocketExchange

if TYPE_CHECKING:
    from router.edge.server import EdgeServer

TOO_MANY_FIELDS = "Too many headers received"
"""What aiohttp's parser says of a header with more fields than it takes."""

UNSENT = 32768
"""Bytes that the kernel takes for a client that does not read, and as many that wait before it, until upstream is held
back: the kernel would grow its buffer to megabytes. What is on its way to a client that reads does not count."""


class EdgeProtocol(RequestHandler):
    """Every route by aiohttp's generic path; errors of HTTP itself are answered in OpenAI's shape."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=UNSENT)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT") and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    @property
    def busy(self) -> bool:
        """A request has not been answered to its last byte."""
        return self._request_in_progress

    def close_if_idle(self) -> None:
        """Close a kept-alive connection that waits for its next request."""
        if self._waiter is not None and not self._messages:
            self.force_close()

    def cut_off(self) -> None:
        """Cancel whatever this connection is serving."""
        if self._task_handler is not None:
            self._task_handler.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun already") from exc
        if isinstance(exc, LineTooLong) or message == TOO_MANY_FIELDS:
            error = RouterError(431, "header_too_large", "the request line or the header is too large")
        elif status == 400:
            error = RouterError(400, "bad_http", "this is no well-formed HTTP/1.1 request")
        else:
            self.log_exception("unexpected error in the edge", exc_info=exc)
            error = internal_error()
        response = web.Response(status=error.status, body=error_body(error), content_type="application/json")
        response.force_close()
        return response


class FastProtocol(EdgeProtocol):
    """Serves the hot routes inline."""

    __slots__ = ("_body_timeout", "_date", "_exchange", "_hot", "_max_body_bytes", "_service")

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

    async def start(self) -> None:
        loop = self._loop
        while not self._force_close:
            if not self._messages:
                self._waiter = loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message, payload = self._messages[0]
            kind = hot_kind(message, self._hot)
            if kind is None or self.transport is None:
                await super().start()
                return
            self._messages.popleft()
            self._consumed()
            self._request_in_progress = True
            try:
                keep_alive = await self._serve(kind, cast(RawRequestMessage, message), payload, self.transport)
            except asyncio.CancelledError:
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

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._exchange is not None:
            self._exchange.gone = True
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._exchange is not None:
            self._exchange.resume()

    def _consumed(self) -> None:
        """A message has left the queue: the parser may go on where a pipelining client had filled it."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    async def _serve(
        self, kind: Kind, message: RawRequestMessage, payload: StreamReader, transport: asyncio.Transport
    ) -> bool:
        """Serve one request inline. Returns whether the connection can be used again."""
        headers = message.headers

        async def read() -> bytes:
            return await read_body(payload, headers, self._max_body_bytes, self._body_timeout)

        keep_alive = not message.should_close and not self._service.draining
        exchange = self._exchange = SocketExchange(transport, self._date.now(), keep_alive, self._paused)
        try:
            await self._service.handle(kind, headers, read, exchange)
        finally:
            self._exchange = None
        if not payload.is_eof():
            await self._linger(payload)
            keep_alive = keep_alive and payload.is_eof()
        if self._paused and self.transport is not None:
            await self._drain_helper()
        return keep_alive

    async def _linger(self, payload: StreamReader) -> None:
        """Read on for a while after an early answer: closing at once would reset the connection and lose the answer."""
        try:
            async with asyncio.timeout(self._lingering_time):
                while not payload.is_eof():
                    await payload.readany()
        except (TimeoutError, OSError):
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
