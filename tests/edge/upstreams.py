"""An upstream of which every byte is the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from router.core.types import Deployment

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class Writing:
    """What an upstream has sent so far, and whether the reader has stopped reading."""

    def __init__(self) -> None:
        self.sent = 0
        self.done = False

    async def stuck(self, still: float = 0.25) -> int:
        """Wait until nothing has been taken for `still` seconds; returns the bytes sent."""
        before = -1
        while before != self.sent:
            before = self.sent
            await asyncio.sleep(still)
        return before


@asynccontextmanager
async def upstream(pieces: Iterable[bytes]) -> AsyncIterator[tuple[Deployment, Writing]]:
    """A deployment that answers its one request with these bytes, as fast as they are taken."""
    writing = Writing()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                writing.sent += len(piece)
            writing.done = True
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        base = f"http://127.0.0.1:{port}"
        yield Deployment(id="d", model_name="m", provider="openai", model="x", api_base=base), writing
    finally:
        server.close()
        await server.wait_closed()


def refusing_port() -> Deployment:
    """A deployment where nobody listens."""
    return Deployment(id="down", model_name="m", provider="openai", model="x", api_base="http://127.0.0.1:1")
