"""A bare HTTP client that shows what came over the socket: exact bytes, early closes, several replies."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

import httptools
import orjson

CHAT = "/v1/chat/completions"
HI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "say hi"}]}
STREAM: dict[str, Any] = HI | {"stream": True}
PATIENCE = 30.0
"""Seconds after which a test that still waits has failed."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Seen:
    """One reply as it came. Header names are lower-cased, `raw` is everything, `closed` whether the server closed."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    closed: bool = False
    raw: bytes = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode().lower()
        assert key not in self.headers, f"{key} came twice"
        self.headers[key] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True

    def json(self) -> Any:
        return orjson.loads(self.body)

    def error(self) -> dict[str, Any]:
        """The error, in the one shape that errors have."""
        assert self.headers["content-type"] == "application/json"
        document = self.json()
        assert list(document) == ["error"]
        assert set(document["error"]) == {"message", "type", "param", "code"}
        return dict(document["error"])


def request(
    path: str = CHAT, body: object = None, *, method: str = "", headers: str = "", version: str = "1.1"
) -> bytes:
    """The bytes of one request. A body of bytes goes as it is, any other as JSON."""
    data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    verb = method or ("GET" if body is None else "POST")
    head = f"{verb} {path} HTTP/{version}\r\nhost: router\r\n{headers}"
    if body is not None:
        head += f"content-length: {len(data)}\r\n"
    return f"{head}\r\n".encode() + data


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = b""

    async def receive(self) -> Seen:
        """The next reply, or what there is of it once the server has closed."""
        seen = Seen()
        parser = httptools.HttpResponseParser(seen)
        while not seen.complete:
            try:
                async with asyncio.timeout(PATIENCE):
                    data = await self.reader.read(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                seen.closed = True
                break
            seen.raw += data
            parser.feed_data(data)
            seen.status = parser.get_status_code()
        return seen

    async def ask(
        self, path: str = CHAT, body: object = None, *, method: str = "", headers: str = "", version: str = "1.1"
    ) -> Seen:
        self.writer.write(request(path, body, method=method, headers=headers, version=version))
        return await self.receive()

    async def all_until(self, end: bytes) -> bytes:
        """The bytes up to and with the first `end`."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(end)

    async def is_closed(self) -> bool:
        """Wait until the server has closed; whether nothing came before that."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.reader.read() == b""
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """Hang up without a word."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


async def connect(port: int, limit: int = 2**20) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port, limit=limit))
