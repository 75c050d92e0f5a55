"""An upstream that streams: each stream gets an event every 25 ms, and all of them are spread over those 25 ms.

Run as `python -m bench.stream_upstream PORT…`. A raw protocol under one timer, so that it costs little beside what it
measures. `max_tokens` of the request says how many events a stream has.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count
from typing import Any

import httptools
import uvloop

from bench.payload import EVENTS_PER_SECOND, PAGES, TOKEN, event, reply_body

TICK = 0.001  # seconds
SLOTS = round(1 / EVENTS_PER_SECOND / TICK)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _page(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
CONTENT = _chunk(event({"content": TOKEN.decode()}))
FIRST = HEAD + _chunk(event({"role": "assistant", "content": ""})) + CONTENT
LAST = _chunk(event({}, "stop")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
ANSWERS = {path: _page(body.encode()) for path, body in PAGES.items()}
REPLY = _page(reply_body())
MISSING = _page(b"{}", b"404 Not Found")


class Wheel:
    """One timer for all streams. A stream lives in a slot, and each slot's turn comes every `SLOTS` ticks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[dict[Upstream, int]] = [{} for _ in range(SLOTS)]
        self._places = count()
        self._started = loop.time()
        self._turned = 0
        self._tick()

    def add(self, stream: Upstream, events: int) -> None:
        place = next(self._places) * 7 % SLOTS  # 7 and 25 have no common divisor: neighbours in time end up apart
        self._slots[place][stream] = events

    def _tick(self) -> None:
        due = int((self._loop.time() - self._started) / TICK)
        while self._turned < due:  # a late timer catches up
            self._turned += 1
            self._turn(self._slots[self._turned % SLOTS])
        self._loop.call_at(self._started + (due + 1) * TICK, self._tick)

    def _turn(self, slot: dict[Upstream, int]) -> None:
        for stream, left in list(slot.items()):
            if left and not stream.gone:
                slot[stream] = left - 1
                stream.write(CONTENT)
            else:
                del slot[stream]
                stream.write(LAST)


class Upstream(asyncio.Protocol):
    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._path = ""
        self._body = b""
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def write(self, data: bytes) -> None:
        if not self.gone:
            self._transport.write(data)

    def on_url(self, url: bytes) -> None:
        self._path = url.decode().partition("?")[0]
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() != b"POST":
            self.write(ANSWERS.get(self._path, MISSING))
            return
        request = json.loads(self._body)
        if request.get("stream"):
            self.write(FIRST)
            self._wheel.add(self, (request.get("max_tokens") or request["max_completion_tokens"]) - 1)
        else:
            self.write(REPLY)


async def main(ports: list[int]) -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    for port in ports:
        await loop.create_server(lambda: Upstream(wheel), "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main([int(port) for port in sys.argv[1:]]))
