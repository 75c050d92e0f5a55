"""Messages between the supervisor and a worker, over a pair of unix sockets: JSON documents, each after its length.

Both sides may tell and ask. What one side receives is handled in its order; the answer to a question may take its time.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import orjson

Handler = Callable[[Any], Any]
"""Takes what was told. What it returns, or what the coroutine that it returns does, is the answer to a question."""


class ChannelClosed(ConnectionError):
    """The other side has gone."""


class Channel:
    """One side. `handlers` by what is told or asked; a message nobody handles is a mistake of ours: KeyError."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, Handler]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def over(cls, sock: socket.socket, handlers: Mapping[str, Handler]) -> Channel:
        """Takes the socket over."""
        return cls(*await asyncio.open_unix_connection(sock=sock), handlers)

    def tell(self, what: str, told: Any = None) -> None:
        """Raises ChannelClosed."""
        self._send([0, what, told])

    async def ask(self, what: str, told: Any = None, within: float | None = None) -> Any:
        """The answer. Raises ChannelClosed, and TimeoutError where it does not come `within` so many seconds."""
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        answer = self._waiting[number] = loop.create_future()
        late = None if within is None else loop.call_later(within, _late, answer)
        try:
            self._send([number, what, told])
            return await answer
        finally:
            self._waiting.pop(number, None)
            if late is not None:
                late.cancel()

    async def run(self) -> None:
        """Receive until the other side has gone."""
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                number, what, told = orjson.loads(await self._reader.readexactly(size))
                if what is None:
                    answer = self._waiting.get(number)
                    if answer is not None and not answer.done():
                        answer.set_result(told)
                else:
                    self._handle(number, what, told)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Whoever waits for an answer is told that there will be none."""
        self._closed = True
        self._writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ChannelClosed("the other side has gone"))

    def _handle(self, number: int, what: str, told: Any) -> None:
        result = self._handlers[what](told)
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(self._answer(number, result))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif number:
            self._reply(number, result)

    async def _answer(self, number: int, result: Any) -> None:
        answer = await result
        if number:
            self._reply(number, answer)

    def _reply(self, number: int, answer: Any) -> None:
        try:
            self._send([number, None, answer])
        except ChannelClosed:
            pass  # nobody is left to hear it

    def _send(self, message: list[Any]) -> None:
        if self._closed or self._writer.is_closing():
            raise ChannelClosed("the other side has gone")
        data = orjson.dumps(message)
        self._writer.write(len(data).to_bytes(4, "big") + data)


def _late(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError("no answer in time"))
