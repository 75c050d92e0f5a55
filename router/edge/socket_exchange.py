"""The hot routes' exchange: responses written straight to the transport, in as few writes as can be."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from router.core.errors import RouterError
from router.core.events import Finished
from router.dialects.base import Headers
from router.edge.errors import error_body, error_event, error_fields
from router.edge.fields import EVENT_STREAM, JSON, id_fields, served_fields
from router.upstream.base import BodyStream

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_CHUNKED = "transfer-encoding: chunked\r\n"
_END = b"0\r\n\r\n"


def render_head(status: int, fields: str) -> bytes:
    """A response head; unknown statuses (529) have no phrase."""
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    return f"{line}{fields}\r\n".encode("latin-1", "replace")


class SocketExchange:
    """See `Exchange` and `EdgeExchange`. Speaks HTTP/1.1 only: streams are chunked."""

    __slots__ = ("_over", "_stream", "_transport", "committed", "date", "gone", "keep_alive", "paused")

    def __init__(self, transport: asyncio.Transport, date: str, keep_alive: bool, paused: bool) -> None:
        """`paused`: the transport's buffer is full already."""
        self._transport = transport
        self._stream: BodyStream | None = None
        self._over = False
        self.date = date
        self.keep_alive = keep_alive
        self.paused = paused
        self.committed = False
        self.gone = False

    def reply(self, body: bytes, record: Finished, upstream: Headers) -> None:
        self._whole(200, JSON + served_fields(record, upstream), body)

    def refuse(self, error: RouterError, record: Finished) -> None:
        self._whole(error.status, JSON + id_fields(record) + error_fields(error), error_body(error))

    def start(self, frames: bytes, record: Finished, upstream: Headers) -> None:
        self.committed = True
        fields = EVENT_STREAM + _CHUNKED + served_fields(record, upstream) + self._own()
        self._transport.write(b"%b%x\r\n%b\r\n" % (render_head(200, fields), len(frames), frames))

    def write(self, frames: bytes) -> None:
        if not self.gone:
            self._transport.write(b"%x\r\n%b\r\n" % (len(frames), frames))

    def write_chunk(self, chunk: bytes) -> None:
        if not self.gone:
            self._transport.write(chunk)

    def end(self, frames: bytes = b"") -> None:
        if self.gone or self._over:
            return  # cut off in the very moment of its end: there is nothing to add
        self._over = True
        self._transport.write(b"%x\r\n%b\r\n%b" % (len(frames), frames, _END) if frames else _END)

    def fail(self, error: RouterError) -> None:
        self.end(error_event(error))

    def hold(self, stream: BodyStream | None) -> None:
        self._stream = stream
        if stream is not None and self.paused:
            stream.pause()

    def pause(self) -> None:
        """The transport's buffer is full: the client reads slower than the model writes."""
        self.paused = True
        if self._stream is not None:
            self._stream.pause()

    def resume(self) -> None:
        self.paused = False
        if self._stream is not None:
            self._stream.resume()

    def _whole(self, status: int, fields: str, body: bytes) -> None:
        self.committed = self._over = True
        if not self.gone:
            head = render_head(status, f"{fields}content-length: {len(body)}\r\n{self._own()}")
            self._transport.write(head + body)

    def _own(self) -> str:
        return f"date: {self.date}\r\n" if self.keep_alive else f"date: {self.date}\r\nconnection: close\r\n"
