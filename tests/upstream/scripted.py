"""A scripted network: lists of byte strings are the servers. It plugs into `HttpUpstream(dial=...)`.

A network is a list of connections, in the order they will be opened. A connection is a list of scripts, one for each
request it will be sent; or an exception, or a number of seconds, with which opening it fails or is held up. A script is
what happens once the request has been written: bytes arrive in one read each, a float is that many seconds of silence,
`EOF` the server closing in order, `RESET` the connection breaking. After its last script a connection is silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from enum import Enum
from math import inf

from router.core.errors import UpstreamFailure
from router.core.types import Deployment
from router.dialects.base import Origin, WireRequest
from router.upstream.base import BodyStream, Timing, UpstreamResponse
from router.upstream.client import HttpUpstream
from router.upstream.plug import BufferedPlug, Plug, Receiver


class End(Enum):
    EOF = "eof"
    RESET = "reset"


EOF = End.EOF
RESET = End.RESET

Step = bytes | float | End
Script = Sequence[Step]

ORIGIN = Origin("http", "upstream.test", 80)
DEPLOYMENT = Deployment("d", "m", "openai", "m")
REQUEST = WireRequest(ORIGIN, b"POST / HTTP/1.1\r\nhost: upstream.test\r\ncontent-length: 2\r\n\r\n", b"{}", DEPLOYMENT)

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
LOOPS_READ = 256 * 1024


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class ScriptedTransport(asyncio.Transport):
    """One connection. `unsent` is what the client has written and the network not yet taken."""

    def __init__(self, receiver: Receiver, scripts: Iterable[Script]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.set_protocol(BufferedPlug(receiver))
        self._scripts = list(scripts)
        self._steps: list[Step] = []
        self._playing: asyncio.Handle | None = None
        self._lost = False
        self.sent: list[bytes] = []
        self.reads: list[int] = []
        """How many bytes each brought."""
        self.unsent = 0
        self.reading = True
        self.ending: str | None = None  # "closed" or "aborted", by the client
        self._protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, Plug | BufferedPlug)
        self._protocol = protocol

    @property
    def open(self) -> bool:
        return not self._lost

    def say(self, *steps: Step) -> None:
        """Play these steps now, asked or not."""
        self._steps += steps
        self._play()

    def receive(self, data: bytes) -> None:
        """In one read, or as many as the loop's or the client's buffer makes of it."""
        while data and self.reading and self.ending is None and not self._lost:
            protocol = self._protocol
            if isinstance(protocol, Plug):
                size = min(len(data), LOOPS_READ)
                self.reads.append(size)
                protocol.data_received(data[:size])
            else:
                buffer = memoryview(protocol.get_buffer(-1))
                size = min(len(data), len(buffer))
                self.reads.append(size)
                buffer[:size] = data[:size]
                protocol.buffer_updated(size)
            data = data[size:]
        if data:
            self._steps.insert(0, data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.ending is None, "a write on a closed connection"
        self.sent.append(bytes(data))
        if data[:4] in (b"POST", b"HEAD") and self._scripts:
            self.say(*self._scripts.pop(0))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.ending is not None or self._lost

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self._play()

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, how: str) -> None:
        if self.ending is None and not self._lost:
            self.ending = how
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._playing is not None:
            self._playing.cancel()
        self._lost = True
        self._loop.call_soon(self._protocol.connection_lost, error)

    def _play(self) -> None:
        if self._playing is None and self._steps and self.reading and not self._lost:
            step = self._steps[0]
            if isinstance(step, float):
                self._playing = None if step == inf else self._loop.call_later(step, self._next)
            else:
                self._playing = self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._playing = None
        if self._lost or not self.reading:
            return
        step = self._steps.pop(0)
        if isinstance(step, bytes):
            self.receive(step)
        elif step is EOF:
            self._protocol.eof_received()
            if self.ending is None:
                self.ending = "closed"
                self._lose(None)
        elif step is RESET:
            self._lose(ConnectionResetError(104, "Connection reset by peer"))
        self._play()


class ScriptedNetwork:
    """`Dial` for tests."""

    def __init__(self, *connections: Sequence[Script] | Exception | float) -> None:
        self._connections = list(connections)
        self.transports: list[ScriptedTransport] = []
        self.dials = 0

    async def __call__(self, origin: Origin, receiver: Receiver) -> None:
        self.dials += 1
        assert self._connections, "one connection more than the script has"
        connection = self._connections.pop(0)
        if isinstance(connection, Exception):
            raise connection
        if isinstance(connection, float):
            await asyncio.sleep(connection)
            connection = []
        self.transports.append(ScriptedTransport(receiver, connection))

    @property
    def open(self) -> int:
        """How many sockets are open."""
        return sum(transport.open for transport in self.transports)


def timing(
    attempt: float = 300.0, *, connect: float = 5.0, first_token: float = inf, stream_idle: float = 60.0
) -> Timing:
    """Limits in seconds from now."""
    now = asyncio.get_running_loop().time()
    return Timing(now + attempt, connect, now + first_token, stream_idle)


class Listener:
    """A sink that keeps what it hears. `end` resolves with the failure, or None, when the body ends; who waits for
    it and is cancelled hears no more."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.end: asyncio.Future[UpstreamFailure | None] = asyncio.get_running_loop().create_future()

    @property
    def text(self) -> bytes:
        return b"".join(self.heard)

    def data(self, data: bytes) -> None:
        assert data, "a sink is not called for nothing"
        if self.end.cancelled():
            return
        assert not self.end.done(), "data after the end"
        self.heard.append(data)

    def closed(self, failure: UpstreamFailure | None) -> None:
        if self.end.cancelled():
            return
        assert not self.end.done(), "closed twice"
        self.end.set_result(failure)


def stream_of(response: UpstreamResponse) -> BodyStream:
    assert response.stream is not None
    assert response.body == b""
    return response.stream


async def whole(response: UpstreamResponse) -> bytes:
    """The body, streamed or not. Raises the failure that ended a stream; cancelled, it aborts the stream."""
    if response.stream is None:
        return response.body
    listener = Listener()
    response.stream.attach(listener)
    try:
        failure = await listener.end
    except asyncio.CancelledError:
        response.stream.abort()
        raise
    if failure is not None:
        raise failure
    return listener.text


async def fetch(network: ScriptedNetwork, upstream: HttpUpstream | None = None) -> tuple[UpstreamResponse, bytes]:
    """One request over a scripted network, and its whole body."""
    upstream = upstream or HttpUpstream(dial=network)
    response = await upstream.send(REQUEST, timing(60))
    return response, await whole(response)


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def armed() -> list[asyncio.TimerHandle]:
    """The timers that the loop holds."""
    handles: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [handle for handle in handles if not handle.cancelled()]
