"""One client connection of the mock server: requests in, one after the other; answers out, on time."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

from router.dialects.mock.errors import rejection
from router.dialects.mock.playback import Answer, Ending, Playback

if TYPE_CHECKING:
    from router.mock.server import MockServer

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger


class Request(NamedTuple):
    """One request as it came. Header names are lower-cased; `path` has no query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """Parses requests and plays the server's answers to them, one at a time."""

    def __init__(self, server: MockServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._playback: Playback | None = None
        self._answer: Answer | None = None
        self._counted = False
        self._keep_alive = True
        self._head_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is none by inheritance
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._waiting.append((Request("", "", {}, b""), False))
        self._next()

    def eof_received(self) -> None:
        self._gone()
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self._server.closed(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._playback is not None and self._timer is None:
            self._wake(self._loop.time())

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        for name, value in self._headers:
            if name.lower() == b"expect" and value.lower() == b"100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = Request(
            self._parser.get_method().decode(),
            self._url.partition(b"?")[0].decode("latin-1"),
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._headers},
            b"".join(self._body),
        )
        keep_alive = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
        self._waiting.append((request, keep_alive))
        self._url = b""
        self._headers = []
        self._body = []

    def _next(self) -> None:
        while self._waiting and self._playback is None:
            request, self._keep_alive = self._waiting.popleft()
            if request.method:
                self._answer, self._counted = self._server.answer(request)
            else:
                self._answer, self._counted = rejection(400, "This is no HTTP/1.1 request."), False
            now = self._loop.time()
            self._playback = Playback(self._answer, now)
            self._head_due = self._answer.status != 0
            self._tick(now)

    def _wake(self, at: float) -> None:
        self._tick(at)
        self._next()

    def _tick(self, at: float) -> None:
        """Send what is due. `at` is the moment this was meant for: timers may fire a little early."""
        playback, answer = self._playback, self._answer
        assert playback is not None
        assert answer is not None
        self._timer = None
        pieces = playback.due(max(at, self._loop.time()))
        ended = playback.ended
        chunked = answer.length is None and answer.status != 0
        if chunked:
            pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
            if ended and answer.ending is Ending.DONE:
                pieces.append(b"0\r\n\r\n")
        if self._head_due and (chunked or pieces):
            self._head_due = False
            pieces.insert(0, self._head(answer))
        if pieces:
            self._transport.write(b"".join(pieces))
        if ended:
            self._finish(answer.ending)
        elif not self._paused:
            self._timer = self._loop.call_at(playback.next_at, self._wake, playback.next_at)

    def _finish(self, ending: Ending) -> None:
        if ending is Ending.HANG:
            return
        self._playback = None
        if self._counted:
            self._server.finished(cancelled=False)
        if ending is Ending.RESET:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()
        elif ending is Ending.CLOSE or not self._keep_alive:
            self._waiting.clear()
            self._transport.close()

    def _gone(self) -> None:
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._playback is not None:
            self._playback = None
            if self._counted:
                self._server.finished(cancelled=True)

    def _head(self, answer: Answer) -> bytes:
        lines = [f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Unknown')}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in answer.headers]
        if answer.length is None:
            lines.append("transfer-encoding: chunked\r\n")
        lines.append("\r\n" if self._keep_alive else "connection: close\r\n\r\n")
        return "".join(lines).encode("latin-1")
