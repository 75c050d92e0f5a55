"""A server on loopback for as long as a test needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """The port where each connection is served so. In the end, whoever is still served is cancelled, and gone."""
    served: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append((asyncio.ensure_future(meet(reader, writer)), writer))

    server = await asyncio.start_server(met, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, _ in served:
            task.cancel()
        await asyncio.gather(*(task for task, _ in served), return_exceptions=True)
        for _, writer in served:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
