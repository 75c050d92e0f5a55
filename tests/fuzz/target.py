"""What the fuzzer runs: bytes as a server might send them, through the response path, with its promises checked.

An input is two bytes of choices (how it is cut, how it ends, when somebody listens, which limits) and what the server
sends. Needs no event loop, no socket and no fuzzer, so the committed corpus is replayed by the ordinary tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Deployment
from router.dialects.base import Origin, WireRequest
from router.upstream.base import BodyStream, Timing, UpstreamResponse
from router.upstream.connection import Connection
from router.upstream.counters import CloseReason
from router.upstream.framing import Limits, ResponseReader
from router.upstream.patience import Patience
from router.upstream.pool import Shelf
from router.upstream.proxy import Answer
from router.upstream.reading import new_scratch
from router.upstream.refusal import Malformed, Refusal

ORIGIN = Origin("http", "upstream.test", 80)
REQUEST = WireRequest(ORIGIN, b"POST / HTTP/1.1\r\n\r\n", b"{}", Deployment("d", "m", "openai", "m"))
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TIMING = Timing(600.0, 5.0, 60.0, 60.0)
USUAL = Limits()
TIGHT = Limits(head=200, fields=4, interim=2, body=64, unattached=32)

Outcome = tuple[int, dict[bytes, bytes], bytes] | None
"""Status, headers and body of a whole response; None: refused, or cut short."""


class Choices(NamedTuple):
    cut: int
    end: str
    listens: str
    limits: Limits


def choices(flags: int, cut: int) -> Choices:
    return Choices(
        1 + cut % 64,
        ("eof", "reset", "silence")[flags % 3],
        ("at once", "when full", "in the end")[flags // 4 % 3],
        TIGHT if flags & 64 else USUAL,
    )


def run(data: bytes) -> None:
    """Raises for a broken promise, whatever it is."""
    if len(data) < 3:
        return
    chosen, text = choices(data[0], data[1]), data[2:]
    size = max(chosen.cut, len(text) // 64)
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    whole, split = read([text], chosen.limits), read(pieces, chosen.limits)
    heard_whole, heard_split = exchange([text], chosen), exchange(pieces, chosen)
    if chosen.limits is USUAL:
        # Limits are counted by the read; everything else must not depend on how the bytes arrive.
        assert whole == split, "one text, two readings"
        assert heard_whole == heard_split, "one text, two responses"
    if chosen.end == "eof":
        assert heard_split == split, "the connection and its reader disagree"
    answer_to_connect(pieces)


def read(pieces: list[bytes], limits: Limits) -> Outcome:
    """By the reader alone, up to the end of the connection."""
    reader = ResponseReader(limits)
    reader.expect()
    body = b""
    try:
        for piece in pieces:
            reader.feed(piece)
            if reader.streams:
                body += reader.take() if reader.parts else b""
            else:
                assert sum(map(len, reader.parts)) + len(reader._whole or b"") <= limits.body + len(piece)
            if reader.complete:
                break
        if not reader.eof():
            return None
        return (reader.status, reader.headers, body if reader.streams else reader.body())
    except Malformed:
        return None


def answer_to_connect(pieces: list[bytes]) -> None:
    answer = Answer()
    try:
        for piece in pieces:
            answer.feed(piece)
    except UpstreamFailure:
        return
    assert not answer.complete or 200 <= answer.status <= 599


def exchange(pieces: list[bytes], chosen: Choices) -> Outcome:
    """By a connection, to whatever end."""
    owner = Owner()
    connection = Connection(owner.loop, owner, chosen.limits)
    connection.shelf = Shelf(ORIGIN, Patience(30.0))
    transport = Transport()
    connection.connection_made(cast(asyncio.Transport, transport))
    waiter = connection.start(REQUEST, TIMING)
    sink = Sink()
    for piece in pieces:
        if connection.closed is not None or owner.resting:
            break
        stream = stream_of(waiter)
        if stream is not None and not sink.attached and (chosen.listens == "at once" or transport.paused):
            sink.listen(stream)
        assert not transport.paused, "nobody listens, though somebody does"
        connection.data_received(piece)
        if connection._body is not None and not sink.attached:
            assert sum(map(len, connection._body._held)) <= chosen.limits.unattached + len(piece)
    if connection.closed is None and not owner.resting:
        END[chosen.end](connection)
    if connection.closed is not None:
        connection.connection_lost(None)
    stream = stream_of(waiter)
    if stream is not None and not sink.attached:
        sink.listen(stream)
    result = outcome(waiter, sink)
    if owner.resting:
        assert result is not None
        assert (connection.closed, transport.ended) == (None, False)
        again = connection.start(REQUEST, TIMING)
        connection.data_received(OK)
        assert outcome(again, Sink()) == (200, {b"content-length": b"2"}, b"ok"), "the next response is not its own"
        connection.close(CloseReason.SHUTDOWN)
    assert transport.ended
    assert not owner.loop.armed, "a timer outlives its connection"
    return result


END: dict[str, Callable[[Connection], object]] = {
    "eof": lambda connection: connection.eof_received(),
    "reset": lambda connection: connection.connection_lost(ConnectionResetError()),
    "silence": lambda connection: connection.timed_out(FailureKind.ATTEMPT_TIMEOUT, "too late"),
}


def stream_of(waiter: asyncio.Future[UpstreamResponse]) -> BodyStream | None:
    done = waiter.done() and waiter.exception() is None
    return waiter.result().stream if done else None


def outcome(waiter: asyncio.Future[UpstreamResponse], sink: Sink) -> Outcome:
    assert waiter.done(), "nobody was told"
    failure = waiter.exception()
    if failure is not None:
        assert isinstance(failure, UpstreamFailure), failure
        return None
    response = waiter.result()
    if response.stream is None:
        return (response.status, dict(response.headers), response.body)
    assert sink.ended, "the end was not told"
    return None if sink.failure is not None else (response.status, dict(response.headers), b"".join(sink.heard))


class Sink:
    def __init__(self) -> None:
        self.attached = self.ended = False
        self.heard: list[bytes] = []
        self.failure: UpstreamFailure | None = None

    def listen(self, stream: BodyStream) -> None:
        self.attached = True
        stream.attach(self)

    def data(self, data: bytes) -> None:
        assert data
        assert not self.ended
        self.heard.append(data)

    def closed(self, failure: UpstreamFailure | None) -> None:
        assert not self.ended
        self.ended, self.failure = True, failure


class Transport:
    """As much of one as a connection uses."""

    def __init__(self) -> None:
        self.ended = self.paused = False

    def get_extra_info(self, name: str) -> None:
        return None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def write(self, data: bytes) -> None:
        assert not self.ended

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.ended = True

    abort = close


class Handle:
    def __init__(self, armed: set[Handle]) -> None:
        self._armed = armed
        armed.add(self)

    def cancel(self) -> None:
        self._armed.discard(self)


class Loop:
    """As much of an event loop as a connection uses; time stands still."""

    def __init__(self) -> None:
        self.armed: set[Handle] = set()

    def time(self) -> float:
        return 0.0

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=cast(asyncio.AbstractEventLoop, self))

    def call_at(self, when: float, callback: Callable[..., object]) -> Handle:
        return Handle(self.armed)


class Owner:
    """Keeps one connection."""

    def __init__(self) -> None:
        self._loop = Loop()
        self.scratch = new_scratch()
        self.resting = False

    @property
    def loop(self) -> Any:
        return self._loop

    def made(self, connection: Connection) -> None:
        pass

    def idle(self, connection: Connection) -> None:
        self.resting = True

    def closing(self, connection: Connection, reason: CloseReason) -> None:
        pass

    def refused(self, reason: Refusal) -> None:
        pass

    def lost(self, connection: Connection) -> None:
        pass
