"""Reads responses from bytes, one at a time, and refuses what could be read two ways. Sans-I/O.

llhttp does the parsing, with none of its leniencies, and so refuses bare line feeds, folded and invalid fields,
repeated or conflicting lengths and unclean chunks. What it would let pass is refused here: other protocols and
versions, transfer codings other than a single `chunked`, bodies in a coding nobody asked for, heads and bodies past
their limits, and endless framing around few bytes of body. What follows a complete response is never read: it costs
the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from httptools import HttpParserError, HttpResponseParser

from router.upstream.refusal import Malformed, Refusal, parser_s

_NEWLINE = (10, 13)
_BLANKS = (b" ", b"\t")
AWS_EVENT_STREAM = b"application/vnd.amazon.eventstream"
_CONTROLS = bytes({*range(32), 127} - {9})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a response may measure.

    `head` in bytes: of status line and fields, of all interim responses together, and of framing (chunk extensions,
    trailers) between two bytes of body. `fields` and `interim` are counts. `body` is in bytes and holds for whole
    replies; a stream may go on for ever. `unattached` is how many bytes of a stream are held while nobody listens.
    """

    head: int = 65536
    fields: int = 256
    interim: int = 8
    body: int = 64 * 1024 * 1024
    unattached: int = 65536


class ResponseReader:
    """`expect` a response, `feed` it bytes, and look at what is known: `head`, then `complete`.

    `headers` has lower-cased names and repeated fields joined by `, `. `streams` is whether this is a 2xx
    `text/event-stream` or AWS' binary kind of it, whose bytes are taken with `take` as they come; other bodies are kept
    for `body`.
    `until_close`: the end of the connection is the end of the body. `reusable`, once complete: this response leaves the
    connection fit for another. `between_chunks`: the parser has read up to the end of a chunk of a stream, so that a
    whole chunk need not be read by it.
    """

    __slots__ = (
        "_bodiless",
        "_execute",
        "_in_chunk",
        "_interim_seen",
        "_keep_alive",
        "_limits",
        "_overhead",
        "_permits",
        "_previous",
        "_reason",
        "_repeated",
        "_status",
        "_unasked_coding",
        "_version",
        "_version_checked",
        "_whole",
        "between_chunks",
        "complete",
        "head",
        "headers",
        "on_body",
        "on_chunk_complete",
        "on_chunk_header",
        "on_message_begin",
        "on_status",
        "parts",
        "received",
        "reusable",
        "status",
        "streams",
        "until_close",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bodiless = False
        self.parts: list[bytes] = []
        self._reason: list[bytes] = []
        # One permit per response expected: a message that begins without one stops the parser. Built-in methods as
        # callbacks cost a third of a Python function.
        self._permits: list[None] = []
        self.on_message_begin = self._permits.pop
        self.on_status = self._reason.append
        self.on_body = self.parts.append
        self._in_chunk = [False, True]  # its first item, turned over at both ends of each chunk
        self.on_chunk_header = self.on_chunk_complete = self._in_chunk.reverse
        parser = HttpResponseParser(self)
        self._execute: Callable[[bytes], None] = parser.feed_data
        self._status: Callable[[], int] = parser.get_status_code
        self._version: Callable[[], str] = parser.get_http_version
        self._keep_alive: Callable[[], bool] = parser.should_keep_alive
        self._reset()

    def expect(self, bodiless: bool = False) -> None:
        """Begin with a new response, which to a HEAD is `bodiless`. The last one must be complete and `reusable`."""
        self._reset()
        self._bodiless = bodiless
        self._permits.append(None)

    def drop(self) -> None:
        """The last call: let go of the parser, which holds its reader, so that both are free at once."""
        self._execute = self._status = self._version = self._keep_alive = _dropped

    def _reset(self) -> None:
        self.head = self.complete = self.streams = self.until_close = self.reusable = self.between_chunks = False
        self._in_chunk[:] = (False, True)
        self.status = self.received = 0
        self.headers: dict[bytes, bytes] = {}
        self._interim_seen = self._overhead = self._repeated = 0
        self._unasked_coding = self._version_checked = False
        self._previous = b""
        self._whole: bytearray | None = None
        if self._reason:
            self._reason.clear()

    def feed(self, data: bytes) -> None:
        """Read `data`, one or more bytes. Raises Malformed; then, and after `complete`, nothing more may be fed."""
        had_head = self.head
        received = self.received
        self.received = received + len(data)
        if not received:
            if data.startswith(b"HTTP/1.1 "):
                self._version_checked = True
            elif not b"HTTP/1.".startswith(data[:7]):
                raise Malformed(Refusal.NOT_HTTP, "not an HTTP/1 response")
        try:
            self._execute(data)
        except HttpParserError as error:
            if not self.complete:
                raise _reason_of(error) from error
            self.reusable = False
        if self._unasked_coding and self.parts:
            raise Malformed(Refusal.CONTENT_CODING, "a content coding that was not asked for")
        if self.complete:
            if self.reusable and data[-1] in _NEWLINE:
                self.reusable = self._ends_with(data, had_head)
            self._previous = b""
            return
        self._previous = data if len(data) < 1024 else data[-6:]
        if not self.parts:
            self._overhead += len(data)
            if self._overhead > self._limits.head:
                raise Malformed(Refusal.HEAD_SIZE, f"more than {self._limits.head} bytes of head or framing")
        else:
            self._overhead = 0
            if not self.streams:
                self._keep()
            else:
                # A line break at the end: nothing of the next chunk's size has been read either.
                self.between_chunks = not self._in_chunk[0] and data.endswith(b"\r\n") and self._is_chunked()

    def _is_chunked(self) -> bool:
        return b"transfer-encoding" in self.headers and not self._unasked_coding

    def eof(self) -> bool:
        """The server has closed its side, in order. Returns whether that completed the response."""
        if self.until_close:
            self.complete = True
            self.reusable = False
        return self.complete

    def take(self) -> bytes:
        """Body bytes since the last call."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return data

    def body(self) -> bytes:
        """The whole body, once complete. Raises Malformed where it is larger than allowed."""
        body = self.take()
        if self._bodiless:
            return b""
        if self._whole is not None:
            body = bytes(self._whole) + body
            self._whole = None
        if len(body) > self._limits.body:
            raise Malformed(Refusal.BODY_SIZE, f"a body of more than {self._limits.body} bytes")
        return body

    def _keep(self) -> None:
        # One buffer instead of a list: a body in tiny chunks would otherwise take fifty times its size.
        if self._whole is None:
            self._whole = bytearray()
        self._whole += self.take()
        if len(self._whole) > self._limits.body:
            raise Malformed(Refusal.BODY_SIZE, f"a body of more than {self._limits.body} bytes")

    # The parser's callbacks.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head:
            return  # a trailer: nothing here needs one, and none may change what has been decided
        name = name.lower()
        if value[-1:] in _BLANKS:
            if name == b"transfer-encoding":  # llhttp takes `chunked\t` for another coding
                raise Malformed(Refusal.TRANSFER_CODING, "an unclear transfer coding")
            value = value.rstrip(b" \t")
        headers = self.headers
        if name in headers:
            self._repeated += 1
            if self._repeated > self._limits.fields:
                raise Malformed(Refusal.FIELD_COUNT, f"more than {self._limits.fields} header fields")
            value = headers[name] + b", " + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        headers = self.headers
        self._check_head(headers)
        status = self.status = self._status()
        if not 200 <= status <= 599:
            self._interim(status)
            return
        self.head = self.reusable = True
        length = headers.get(b"content-length")
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            raise Malformed(Refusal.TRANSFER_CODING, "an unclear transfer coding")
        if status in (204, 304):
            # No body, whatever the head says; but if it says something else, the server may go on to send one.
            self.reusable = coding is None and (length is None or int(length) == 0)
            length = None
        elif self._bodiless:
            if coding is not None or length != b"0":
                self.complete, self.reusable = True, False  # the parser knows of no HEAD, and waits for a body
            return
        elif coding is None and length is None:
            self.until_close = True
        if status < 300 and _is_stream(headers.get(b"content-type", b"")):
            self.streams = True
        elif length is not None and int(length) > self._limits.body:
            raise Malformed(Refusal.BODY_SIZE, f"a body of more than {self._limits.body} bytes")
        encoding = headers.get(b"content-encoding")
        self._unasked_coding = encoding is not None and encoding.lower() not in (b"identity", b"")

    def _check_head(self, headers: dict[bytes, bytes]) -> None:
        limits = self._limits
        if len(headers) + self._repeated > limits.fields:
            raise Malformed(Refusal.FIELD_COUNT, f"more than {limits.fields} header fields")
        if self.received > limits.head and sum(map(len, headers)) + sum(map(len, headers.values())) > limits.head:
            raise Malformed(Refusal.HEAD_SIZE, f"a head of more than {limits.head} bytes")
        reason = b"".join(self._reason)
        if reason != b"OK" and reason.translate(None, _CONTROLS) != reason:
            raise Malformed(Refusal.SYNTAX, "a control character in the status line")
        if not self._version_checked:
            version = self._version()
            if version != "1.1" and (version != "1.0" or b"transfer-encoding" in headers):
                raise Malformed(Refusal.NOT_HTTP, "not an HTTP/1 response")

    def on_message_complete(self) -> None:
        if self.head:
            self.complete = True
            # Not asked before now: a trailer may say `connection: close` too, and the parser obeys it.
            self.reusable = self.reusable and self._keep_alive()
        else:
            self.headers = {}
            self._repeated = 0
            self._version_checked = False
            self._permits.append(None)

    def _interim(self, status: int) -> None:
        if not 100 <= status <= 199:
            raise Malformed(Refusal.STATUS, "a status outside 100 to 599")
        if status == 101:
            raise Malformed(Refusal.STATUS, "a switch of protocols that was not asked for")
        if self.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self.headers:
            raise Malformed(Refusal.INTERIM, "an interim response with a body")
        self._interim_seen += 1
        if self._interim_seen > self._limits.interim:
            raise Malformed(Refusal.INTERIM, f"more than {self._limits.interim} interim responses")

    def _ends_with(self, data: bytes, had_head: bool) -> bool:
        """Whether a response that ended within `data` ended with it. The parser skips line breaks between messages, so
        only they can hide here; a doubtful case counts as no."""
        if len(data) == 1:
            return True
        if b"transfer-encoding" in self.headers:
            tail = (self._previous[-6:] + data)[-6:]
            return len(tail) == 6 and tail.endswith(b"\r\n\r\n") and tail[:2] != b"\r\n"
        size = sum(map(len, self.parts))
        if had_head:
            return size == len(data)
        text = self._previous[-3:] + data
        blank_line = text.find(b"\r\n\r\n")
        return blank_line >= 0 and blank_line + 4 + size == len(text)


def _dropped(*_: object) -> Any:
    raise RuntimeError("nothing can be read any more")


def _reason_of(error: HttpParserError) -> Malformed:
    """What a callback of ours refused, or the parser itself."""
    cause = error.__context__
    return Malformed(cause.reason, str(cause)) if isinstance(cause, Malformed) else parser_s(str(error))


def _is_stream(content_type: bytes) -> bool:
    return content_type[:17].lower() == b"text/event-stream" or content_type.startswith(AWS_EVENT_STREAM)
