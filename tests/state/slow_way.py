"""A way to a server that takes its time, or loses what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.state.listening import listening


class SlowWay:
    """A TCP proxy on loopback. `delay` in seconds holds up each answer; `swallow`: answers never arrive."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.delay = 0.0
        self.swallow = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        tasks = [
            asyncio.ensure_future(self._pass(reader, back, True)),
            asyncio.ensure_future(self._pass(there, writer, False)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            back.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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
    async with listening(way.serve) as way.port:
        yield way
