"""The providers of a chaos run: one HTTP server in this process that plays every deployment, and notes what came."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_MODEL = re.compile(rb'"model" ?: ?"([^"]*)"')
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_BODY = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}'
)


def answer(status: int, *headers: bytes) -> bytes:
    body = _BODY if status == 200 else b'{"error":{"message":"no","type":"x","code":"x"}}'
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (status, len(body))
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


class Upstream:
    """`takes` gives the seconds that a request for a model takes, `says` its answer."""

    def __init__(self) -> None:
        self.url = ""
        self.takes: Callable[[str], float] = lambda model: 0.0
        self.says: Callable[[str], bytes] = lambda model: OK
        self.arrivals: list[tuple[float, str]] = []
        self.in_flight: Counter[str] = Counter()
        self._came = asyncio.Condition()
        self._since: defaultdict[str, float] = defaultdict(time.monotonic)
        self._busy: Counter[str] = Counter()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until it is so after some arrival."""
        async with asyncio.timeout(20.0), self._came:
            await self._came.wait_for(condition)

    def count(self, model: str) -> int:
        return sum(each == model for _, each in self.arrivals)

    def busy_seconds(self) -> dict[str, float]:
        """Request-seconds by model since the last `reset`: the time-averaged in-flight, but for a factor."""
        for model in list(self.in_flight):
            self._book(model, 0)
        return dict(self._busy)

    def reset(self) -> None:
        self.busy_seconds()
        self._busy.clear()
        self.arrivals.clear()

    def _book(self, model: str, change: int) -> None:
        now = time.monotonic()
        self._busy[model] += (now - self._since[model]) * self.in_flight[model]  # type: ignore[assignment]
        self._since[model] = now
        self.in_flight[model] += change

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                found = _MODEL.search(body)
                model = found[1].decode() if found else ""
                self.arrivals.append((time.monotonic(), model))
                async with self._came:
                    self._came.notify_all()
                said = self.says(model)
                self._book(model, 1)
                try:
                    seconds = self.takes(model)
                    if seconds:
                        await asyncio.sleep(seconds)
                finally:
                    self._book(model, -1)
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the router has gone, or the test is over
        finally:
            writer.close()


OK = answer(200)


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    played = Upstream()
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0, backlog=1000)
    played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield played
    finally:
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task() and task.get_coro().__qualname__ == "Upstream.serve":  # type: ignore[union-attr]
                task.cancel()
