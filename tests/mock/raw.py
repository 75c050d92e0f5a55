"""A bare HTTP client that shows what came over the socket, however broken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httptools
import orjson

from router.mock.server import MockServer
from tests.edge import wire

HI: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "say hi"}]}
CHAT = "/v1/chat/completions"


@dataclass
class Seen(wire.Seen):
    """One reply as it came. `complete` is whether its framing was fulfilled, `garbage` that there was none."""

    garbage: bool = False
    reset: bool = False


def request(path: str, body: object = None, method: str = "", headers: str = "") -> bytes:
    """The bytes of one request."""
    data = b"" if body is None else orjson.dumps(body)
    head = f"{method or ('POST' if data else 'GET')} {path} HTTP/1.1\r\nhost: mock\r\n{headers}"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, path: str, body: object = None, method: str = "", headers: str = "") -> None:
        self.writer.write(request(path, body, method, headers))

    async def receive(self) -> Seen:
        """The next reply, or what there is of it once the server has closed."""
        seen = Seen()
        parser = httptools.HttpResponseParser(seen)
        while not seen.complete:
            try:
                data = await self.reader.read(65536)
            except ConnectionResetError:
                seen.reset = True
                break
            if not data:
                break
            seen.raw += data
            try:
                parser.feed_data(data)
            except httptools.HttpParserError:
                seen.garbage = True
            else:
                seen.status = parser.get_status_code()
        return seen

    async def ask(self, path: str, body: object = None, method: str = "", headers: str = "") -> Seen:
        self.send(path, body, method, headers)
        return await self.receive()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


async def connect(server: MockServer) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", server.port))


async def ask(server: MockServer, path: str, body: object = None, method: str = "", headers: str = "") -> Seen:
    """One request on a connection of its own."""
    client = await connect(server)
    try:
        return await client.ask(path, body, method, headers)
    finally:
        await client.close()
