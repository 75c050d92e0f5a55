"""What `router/edge/protocol.py`, `fast_protocol.py` and `hot_lane.py` take for granted of aiohttp's private parts.

Where this is red after an update, read what the new version does before pinning it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections import deque
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from router.edge import fast_protocol, hot_lane, protocol
from router.edge.hot import hot_kind
from router.edge.protocol import TOO_MANY_FIELDS
from tests.edge.house import eventually

PRIVATE = {
    "_buffer_paused", "_close", "_drain_helper", "_force_close", "_handler_waiter", "_keepalive_handle",
    "_keepalive_timeout", "_lingering_time", "_loop", "_messages", "_msg_queue_resume_size",
    "_next_keepalive_close_time", "_parser", "_paused", "_process_keepalive", "_read_bufsize", "_request_in_progress",
    "_resume_reading_if_drained", "_task_handler", "_waiter",
}  # fmt: skip
"""Every name of aiohttp's that starts with an underscore and is used there."""

REQUEST = b"POST /a?b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


class Transport(asyncio.Transport):
    """Notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Handler(RequestHandler):
    """Never takes a message by itself."""

    __slots__ = ()

    async def start(self) -> None:
        await asyncio.Event().wait()


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hi")


def connected(cls: type[RequestHandler] = Handler, keepalive_timeout: float = 75.0) -> tuple[RequestHandler, Transport]:
    server = web.Server(answer, access_log=None, handler_cancellation=True)
    handler = cls(server, loop=asyncio.get_running_loop(), access_log=None, keepalive_timeout=keepalive_timeout)  # type: ignore[arg-type]
    transport = Transport()
    handler.connection_made(transport)
    return handler, transport


def test_the_minor_version_is_the_one_that_was_read() -> None:
    assert aiohttp.__version__.startswith("3.14.")


@pytest.mark.interpreted
def test_this_list_is_complete() -> None:
    files = [Path(inspect.getfile(module)) for module in (protocol, fast_protocol, hot_lane)]
    own = {
        name
        for cls in (protocol.EdgeProtocol, fast_protocol.FastProtocol, hot_lane.HotLane)
        for name in (*cls.__slots__, *vars(cls))
        if name.startswith("_")
    }
    used = {
        node.attr
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }
    assert used - own == PRIVATE


async def test_every_name_is_there() -> None:
    handler, _ = connected()
    assert {name for name in PRIVATE if not hasattr(handler, name)} == set()
    handler.force_close()


async def test_a_parsed_message_waits_with_its_payload_in_messages() -> None:
    handler, _ = connected()
    assert isinstance(handler._messages, deque)
    handler.data_received(REQUEST)
    ((message, payload),) = handler._messages
    assert isinstance(message, RawRequestMessage)
    assert (message.method, message.path, message.version, message.upgrade) == ("POST", "/a?b", HttpVersion11, False)
    assert message.should_close is False
    assert message.headers["Content-Length"] == "2"
    assert isinstance(payload, StreamReader)
    assert payload.is_eof()
    assert payload.read_nowait(-1) == b"{}"
    handler.force_close()


async def test_a_parse_error_waits_there_too_and_is_no_message() -> None:
    handler, _ = connected()
    handler.data_received(b"\x16\x03\x01 no HTTP\r\n\r\n")
    message = handler._messages[0][0]
    assert not isinstance(message, RawRequestMessage)
    assert hot_kind(message, {"/a?b": "chat"}) is None
    assert message.status == 400
    handler.force_close()


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [(b"x: " + b"y" * 10_000 + b"\r\n", LineTooLong, None), (b"x: y\r\n" * 1000, BadHttpMessage, TOO_MANY_FIELDS)],
)
async def test_a_header_that_is_too_large_is_told_from_other_errors(
    fields: bytes, kind: type[BadHttpMessage], told: str | None
) -> None:
    handler, _ = connected()
    handler.data_received(b"POST / HTTP/1.1\r\nhost: x\r\n" + fields + b"\r\n")
    error = handler._messages[0][0]
    assert not isinstance(error, RawRequestMessage)
    assert type(error.exc) is kind
    if told:
        assert error.message == told
    handler.force_close()


async def test_whoever_waits_for_a_message_is_woken_by_the_future_in_waiter() -> None:
    handler, _ = connected()
    assert handler._waiter is None
    waiter = handler._waiter = asyncio.get_running_loop().create_future()
    handler.data_received(REQUEST)
    assert waiter.done()
    handler._waiter = asyncio.get_running_loop().create_future()
    handler.force_close()
    assert handler._waiter.cancelled()


async def test_a_full_queue_pauses_reading_until_enough_is_consumed() -> None:
    handler, transport = connected()
    handler.data_received(REQUEST * 1000)
    assert handler._buffer_paused
    assert not transport.reading
    taken = 0
    while handler._messages:
        handler._messages.popleft()
        taken += 1
        assert handler._parser is not None
        handler._parser.message_consumed()
        if len(handler._messages) <= handler._msg_queue_resume_size and handler._buffer_paused:
            handler._resume_reading_if_drained()
    assert taken == 1000
    assert not handler._buffer_paused
    assert transport.reading
    handler.force_close()


async def test_force_close_closes_and_forgets_the_transport() -> None:
    handler, transport = connected()
    assert handler._force_close is False
    assert handler._close is False
    handler.force_close()
    assert handler._force_close is True
    assert handler.transport is None
    assert transport.closed


async def test_a_lost_connection_cancels_the_task_in_task_handler() -> None:
    handler, _ = connected()
    task = handler._task_handler
    assert task is not None
    await asyncio.sleep(0)
    handler.connection_lost(None)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handler._parser is None


async def test_shutdown_waits_for_a_request_in_progress_through_handler_waiter() -> None:
    handler, _ = connected()
    handler._request_in_progress = True
    stopping = asyncio.ensure_future(handler.shutdown(5.0))
    await asyncio.sleep(0)
    assert handler._handler_waiter is not None
    assert handler._task_handler is not None
    handler._task_handler.cancel()
    handler._handler_waiter.set_result(None)
    await asyncio.wait_for(stopping, 1)


async def test_the_keepalive_timer_closes_a_connection_that_waits() -> None:
    loop = asyncio.get_running_loop()
    handler, transport = connected()
    assert handler._keepalive_timeout == 75.0
    assert handler._keepalive_handle is not None
    handler._next_keepalive_close_time = loop.time() + 50
    handler._process_keepalive()  # too early: it is set anew
    assert handler._keepalive_handle is not None
    assert not transport.closed
    handler._next_keepalive_close_time = loop.time() - 1
    handler._process_keepalive()
    assert not transport.closed  # nobody waits: a request is being served
    handler._waiter = loop.create_future()
    handler._process_keepalive()
    assert transport.closed


async def test_a_full_transport_shows_in_paused_and_drain_helper_waits_for_it() -> None:
    handler, _ = connected()
    assert issubclass(RequestHandler, BaseProtocol)
    handler.pause_writing()
    assert handler._paused
    draining = asyncio.ensure_future(handler._drain_helper())
    await asyncio.sleep(0)
    assert not draining.done()
    handler.resume_writing()
    await draining
    assert not handler._paused
    handler.force_close()


async def test_start_takes_up_whatever_has_been_left_in_messages() -> None:
    class Peeking(RequestHandler):
        __slots__ = ()

        async def start(self) -> None:
            while not self._messages:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            await super().start()

    handler, transport = connected(Peeking)
    await asyncio.sleep(0)
    handler.data_received(REQUEST)
    await eventually(lambda: transport.written.endswith(b"hi"))
    assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not handler._request_in_progress
    assert handler._lingering_time > 0
    handler.force_close()


def test_handle_error_has_the_signature_that_is_overridden() -> None:
    assert list(inspect.signature(RequestHandler.handle_error).parameters) == list(
        inspect.signature(protocol.EdgeProtocol.handle_error).parameters
    )
