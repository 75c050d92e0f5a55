"""The generic path's exchange: responses through aiohttp's public API, streams pumped by a task of their own."""

from __future__ import annotations

import asyncio

from aiohttp import web

from router.core.errors import RouterError
from router.core.events import Finished
from router.dialects.base import Headers
from router.edge.errors import error_body, error_event, error_fields
from router.edge.fields import EVENT_STREAM, JSON, id_fields, pairs, served_fields
from router.upstream.base import BodyStream

GOODBYE_SECONDS = 0.5
"""How long a client may take to read why its request was cut off."""

BUFFER_LIMIT = 16 * 1024
"""Bytes waiting for a slow client above which upstream is no longer read; and the most that aiohttp is handed at once,
since it copies what it is handed, and keeps both while the client does not read."""


class GenericExchange:
    """See `Exchange` and `EdgeExchange`. `response` is what the handler returns to aiohttp."""

    def __init__(self, request: web.BaseRequest, keep_alive: bool) -> None:
        self._request = request
        self._keep_alive = keep_alive
        self._waiting = b""
        self._wake = asyncio.Event()
        self._over = False
        self._stream: BodyStream | None = None
        self._holding = False
        self._pump: asyncio.Task[None] | None = None
        self.response: web.StreamResponse = web.Response(status=500)
        self.committed = False

    @property
    def gone(self) -> bool:
        return self._request.transport is None

    def reply(self, body: bytes, record: Finished, upstream: Headers) -> None:
        self._whole(200, JSON + served_fields(record, upstream), body)

    def refuse(self, error: RouterError, record: Finished) -> None:
        self._whole(error.status, JSON + id_fields(record) + error_fields(error), error_body(error))

    def start(self, frames: bytes, record: Finished, upstream: Headers) -> None:
        self.committed = True
        self.response = web.StreamResponse(headers=pairs(EVENT_STREAM + served_fields(record, upstream)))
        if not self._keep_alive:
            self.response.force_close()
        self._pump = asyncio.create_task(self._run(self.response))
        self.write(frames)

    def write(self, frames: bytes) -> None:
        self._waiting += frames
        self._wake.set()
        self._hold_back()

    def end(self, frames: bytes = b"") -> None:
        self._over = True
        self.write(frames)

    def fail(self, error: RouterError) -> None:
        self.end(error_event(error))

    def hold(self, stream: BodyStream | None) -> None:
        self._stream = stream
        self._holding = False
        self._hold_back()

    async def finish(self) -> web.StreamResponse:
        """Wait until all has been handed to aiohttp; the response to return to it."""
        if self._pump is not None:
            try:
                await self._pump
            finally:
                self._pump.cancel()
        return self.response

    async def part(self) -> None:
        """The request was cancelled, so aiohttp sends nothing more: say what there is to say, if anybody listens."""
        try:
            if not self.gone:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await (self._pump or self.response.prepare(self._request))
                    await self.response.write_eof()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            if self._pump is not None:
                self._pump.cancel()

    def _hold_back(self) -> None:
        if self._stream is not None and not self._holding and len(self._waiting) > BUFFER_LIMIT:
            self._holding = True
            self._stream.pause()

    def _whole(self, status: int, fields: str, body: bytes) -> None:
        self.committed = True
        self.response = web.Response(status=status, headers=pairs(fields), body=body)
        if not self._keep_alive:
            self.response.force_close()

    async def _run(self, response: web.StreamResponse) -> None:
        await response.prepare(self._request)
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                frames, self._waiting = self._waiting[:BUFFER_LIMIT], self._waiting[BUFFER_LIMIT:]
                await response.write(frames)
                del frames
                await self._request.protocol._drain_helper()  # `write` waits only now and then
            if self._holding and self._stream is not None:
                self._holding = False
                self._stream.resume()
            if self._over and not self._waiting:
                return
