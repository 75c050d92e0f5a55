"""An open loop of requests at a steady rate, one half of them streams, and what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from tests.edge.wire import CHAT, HI, STREAM, Client, Seen, connect


class Load:
    """Sends to the routers on `ports` in turn. `failures` tells of every request without a whole, good answer, with
    when it was sent; `served` counts the others by the deployment that served them."""

    def __init__(self, ports: list[int], rate: float, headers: str = "") -> None:
        self._loop = asyncio.get_running_loop()
        self._ports = ports
        self._rate = rate
        self._headers = headers
        self._idle: dict[int, list[Client]] = {port: [] for port in ports}
        self._under_way: set[asyncio.Task[None]] = set()
        self.model = "m"
        self.sent = 0
        self.served: Counter[str] = Counter()
        self.failures: list[tuple[float, int, str]] = []
        self._pacing = self._loop.create_task(self._pace())

    async def more(self, answers: int, seconds: float = 60.0) -> None:
        """Wait for so many more answers."""
        goal = self.answered + answers
        async with asyncio.timeout(seconds):
            while self.answered < goal:  # noqa: ASYNC110 - the load goes on whoever waits for it
                await asyncio.sleep(0.005)

    @property
    def answered(self) -> int:
        return self.served.total() + len(self.failures)

    async def end(self) -> None:
        """Send nothing more, and wait for what is under way."""
        self._pacing.cancel()
        await asyncio.wait([self._pacing])
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=60)
        for client in [client for idle in self._idle.values() for client in idle]:
            await client.close()

    async def _pace(self) -> None:
        began = self._loop.time()
        for number in count():
            await asyncio.sleep(began + number / self._rate - self._loop.time())
            self.sent += 1
            body = STREAM if number % 2 else HI
            port = self._ports[number % len(self._ports)]
            task = self._loop.create_task(self._ask(port, body | {"model": self.model}))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _ask(self, port: int, body: dict[str, Any]) -> None:
        sent = self._loop.time()
        try:
            client = await self._client(port)
            seen = await client.ask(CHAT, body, headers=self._headers)
        except OSError as error:
            self.failures.append((sent, port, repr(error)))
            return
        wrong = _fault(seen, streams="stream" in body)
        if wrong:
            self.failures.append((sent, port, wrong))
        else:
            self.served[seen.headers.get("x-router-deployment", "")] += 1
        if wrong or seen.closed or seen.headers.get("connection") == "close":
            await client.close()
        else:
            self._idle[port].append(client)

    async def _client(self, port: int) -> Client:
        idle = self._idle[port]
        while idle:
            client = idle.pop()
            if not client.reader.at_eof() and not client.writer.is_closing():
                return client
            await client.close()
        return await connect(port)


def _fault(seen: Seen, *, streams: bool) -> str:
    """What is wrong with an answer; nothing: empty."""
    if seen.status != 200:
        return f"{seen.status} {seen.body[:300]!r}"
    if not seen.complete:
        return f"cut off after {seen.body[-200:]!r}"
    if streams and not seen.body.endswith(b"data: [DONE]\n\n"):
        return f"ended with {seen.body[-200:]!r}"
    return ""


@asynccontextmanager
async def load(*ports: int, rate: float, headers: str = "") -> AsyncIterator[Load]:
    """A load for as long as the block takes, and until its last request has been answered."""
    running = Load(list(ports), rate, headers)
    try:
        yield running
    finally:
        await running.end()
