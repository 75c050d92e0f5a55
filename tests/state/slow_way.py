"""A way to a server that takes its time, or loses what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SlowWay:
    """A TCP proxy on loopback. `delay` in seconds holds up each answer; `swallow`: answers never arrive."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.delay = 0.0
        self.swallow = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        tasks = [
            asyncio.ensure_future(self._pass(reader, back, True)),
            asyncio.ensure_future(self._pass(there, writer, False)),
        ]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        writer.close()
        back.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: bool) -> None:
        while data := await reader.read(65536):
            if not there:
                await asyncio.sleep(self.delay)
                if self.swallow:
                    continue
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def slow_way(port: int) -> AsyncIterator[SlowWay]:
    way = SlowWay(port)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        server.close()
        for task in way._tasks:
            task.cancel()
        await asyncio.gather(*way._tasks, return_exceptions=True)
