"""The load that wrk cannot make: many streams at once, and requests at a fixed rate."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter  # uvloop's own time() has a resolution of 1 ms
from typing import Any

import httptools

from bench.payload import TOKEN, request_body, request_head


@dataclass(slots=True)
class Target:
    """Where requests go, and what each carries."""

    port: int
    headers: Mapping[str, str]

    def request(self, stream_events: int = 0) -> bytes:
        body = request_body(stream_events)
        headers = {"Content-Type": "application/json", **self.headers}
        return request_head(f"127.0.0.1:{self.port}", headers, len(body)) + body


class Stream(asyncio.Protocol):
    """One streamed request. Its content events are counted by a mark that each of them holds once."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._answered = False
        self._sent = 0.0
        self._last = 0.0
        self._transport: Any = None
        self.events = 0
        self.first: float | None = None
        """Seconds from the request to the first content event."""
        self.gaps: list[float] | None = None
        """Seconds between two arrivals; recorded while this is a list."""
        self.failure = ""
        self.begun = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._sent = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if not self._answered:
            self._answered = True
            if not data.startswith(b"HTTP/1.1 200"):
                head, _, body = data[:2000].partition(b"\r\n\r\n")
                self.failure = f"{head.splitlines()[0].decode()}: {body[:200].decode(errors='replace')}"
                self.close()
        if events := data.count(TOKEN):
            if self.first is None and not self.begun.done():
                self.first = now - self._sent
                self.begun.set_result(None)
            elif self.gaps is not None:
                self.gaps.append(now - self._last)
            self._last = now
            self.events += events
        if data.endswith(b"0\r\n\r\n"):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.failure = self.failure or "closed before the end of the stream"
        self.close()

    def close(self) -> None:
        for future in (self.begun, self.done):
            if not future.done():
                future.set_result(None)
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class Streams:
    """So many streams at once: opened, watched and awaited."""

    target: Target
    number: int
    events: int
    """Content events that each stream asks for."""
    streams: list[Stream] = field(default_factory=list)

    async def open(self, seconds: float) -> None:
        """Opens them evenly over `seconds`, then waits at most 3 s for each to have had its first event."""
        loop = asyncio.get_running_loop()
        request, start = self.target.request(self.events), loop.time()
        for number in range(self.number):
            await asyncio.sleep(start + seconds * number / self.number - loop.time())
            stream = Stream(request)
            self.streams.append(stream)
            try:
                await loop.create_connection(lambda stream=stream: stream, "127.0.0.1", self.target.port)  # type: ignore[misc]
            except OSError as error:
                stream.failure = str(error)
                stream.close()
        await asyncio.wait([stream.begun for stream in self.streams], timeout=3)

    @property
    def started(self) -> int:
        return sum(stream.first is not None for stream in self.streams)

    @property
    def failure(self) -> str:
        return next((stream.failure for stream in self.streams if stream.failure), "")

    def received(self) -> int:
        return sum(stream.events for stream in self.streams)

    def record_gaps(self) -> list[float]:
        gaps: list[float] = []
        for stream in self.streams:
            stream.gaps = gaps
        return gaps

    async def finish(self, seconds: float) -> None:
        """Waits for the streams to end, and hangs up on those that have not after `seconds`."""
        ends = [stream.done for stream in self.streams if stream.first is not None]
        if ends:
            await asyncio.wait(ends, timeout=seconds)
        for stream in self.streams:
            stream.close()


class Connection(asyncio.Protocol):
    """A kept connection that carries one request after the other."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser: Any = None
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> int:
        """Sends a request; returns the status once the reply is whole. Raises ConnectionError."""
        self._parser = httptools.HttpResponseParser(self)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed before the reply"))

    def close(self) -> None:
        self._transport.close()


async def at_rate(target: Target, rate: int, seconds: float) -> tuple[list[float], int]:
    """Sends requests at a fixed rate, whether or not earlier ones were answered.

    Returns the seconds each took, from when it was let go (a wait for a connection included) to when its reply was
    whole, and the number of failures.
    """
    loop = asyncio.get_running_loop()
    request, idle, took = target.request(), list[Connection](), list[float]()
    failed = 0

    async def one() -> None:
        nonlocal failed
        start = perf_counter()
        try:
            connection = idle.pop() if idle else await connect()
            status = await connection.ask(request)
        except OSError:
            failed += 1
            return
        took.append(perf_counter() - start)
        failed += status != 200
        idle.append(connection)

    async def connect() -> Connection:
        return (await loop.create_connection(Connection, "127.0.0.1", target.port))[1]

    for _ in range(4):  # most requests find a connection open
        idle.append(await connect())
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            await asyncio.sleep(start + number / rate - loop.time())
            group.create_task(one())
    for connection in idle:
        connection.close()
    return took, failed
