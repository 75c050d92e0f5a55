"""Sends a request body as it comes from the client: no more of it is in memory than the transport's buffer holds."""

from __future__ import annotations

import asyncio
from typing import Protocol

from router.core.errors import RouterError
from router.dialects.base import BodySource
from router.upstream.plug import Transport


class Uploading(Protocol):
    """Who is told that a body cannot be sent to its end."""

    def source_failed(self, error: BaseException) -> None: ...


class Upload:
    """One body on its way, by a task of its own.

    The source is read only while the transport's buffer has room. `consumed` is whether any of it has been taken, so
    that it cannot be sent once more; `done`, whether all of it has been handed to the transport.
    """

    __slots__ = ("_loop", "_owner", "_room", "_stopped", "_task", "_transport", "consumed", "done")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, source: BodySource, transport: Transport, owner: Uploading
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._owner = owner
        self._room: asyncio.Future[None] | None = None
        self._stopped = False
        self.consumed = False
        self.done = False
        self._task = loop.create_task(self._run(source))

    def pause(self) -> None:
        """The transport's buffer is full."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    def stop(self) -> None:
        """Read and send nothing more."""
        self._stopped = True
        if not self.done:
            self._task.cancel()

    async def _run(self, source: BodySource) -> None:
        try:
            await self._send(source)
        except BaseException as error:
            if not self._stopped:
                self._owner.source_failed(error)
                if not isinstance(error, (Exception, asyncio.CancelledError)):
                    raise

    async def _send(self, source: BodySource) -> None:
        left = source.length
        while left != 0:
            piece = await source.read()
            if self._stopped:
                return
            if not piece:
                break
            self.consumed = True
            if left is None:
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                left -= len(piece)
                if left < 0:
                    raise _wrong_length()
                self._transport.write(piece)
            if self._room is not None:
                await self._room
        if left:
            raise _wrong_length()
        if left is None:
            self._transport.write(b"0\r\n\r\n")
        self.done = True


def _wrong_length() -> RouterError:
    return RouterError(400, "invalid_request_error", "the request body is not as long as its header said")
