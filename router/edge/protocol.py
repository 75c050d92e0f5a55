"""aiohttp's server protocol as the edge needs it: buffers that stay small, ways to leave, errors in OpenAI's shape.

What the private names used here, in `fast_protocol` and in `hot_lane` must mean is held by
`tests/edge/test_aiohttp_contract.py`; aiohttp's minor version is pinned.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from router.core.errors import RouterError
from router.edge.body import BROKEN_BODY
from router.edge.errors import error_body, internal_error

TOO_MANY_FIELDS = "Too many headers received"
"""What aiohttp's parser says of a header with more fields than it takes."""

UNSENT = 32768
"""Bytes that the kernel takes for a client that does not read, and as many that wait before it, until upstream is held
back: the kernel would grow its buffer to megabytes. What is on its way to a client that reads does not count."""

UNREAD_SECONDS = 600.0
"""How long a client may take nothing of what it is sent. Then the kernel ends the connection: an answer, or the end of
a stream, has no other limit in time."""


class EdgeProtocol(RequestHandler):
    """Every route by aiohttp's generic path; errors of HTTP itself are answered in OpenAI's shape."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=UNSENT)
        sock = transport.get_extra_info("socket")
        if sock is None or sock.family == socket.AF_UNIX:
            return
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_SECONDS * 1000))

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

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that aiohttp finds broken once its request has been answered is nothing that the log should tell."""
        if not isinstance(kw.get("exc_info"), BROKEN_BODY):
            super().log_exception(*args, **kw)

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
