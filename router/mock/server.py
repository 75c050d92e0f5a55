"""The mock provider on a socket: an OpenAI-compatible upstream that misbehaves on demand."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Self

from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.errors import error_answer, json_answer, rejection
from router.dialects.mock.playback import Answer
from router.dialects.mock.replies import answer, kind_of, models_answer
from router.mock.connection import Connection, Request
from router.mock.control import control

_BACKLOG = 4096
_REMEMBERED = 1000
_DEFAULT_MODELS = ("mock-chat", "mock-embedding")


class MockServer:
    """Serves chat completions, completions, embeddings, models and health, each with and without `/v1`.

    `behaviour` may be replaced at any time: it holds from the next request on, and its script starts anew. `requests`
    are the latest 1,000 requests. `started`, `completed` (played to the end, be it a scripted bad one), `cancelled`
    (the client closed first), `in_flight` and `max_in_flight` count inference requests; `accepted` counts connections.
    With `api_key`, everything but health and the control paths (`router/mock/control.py`) wants it as a bearer token
    or as `api-key`. `seed` makes ids and random failures repeatable, `wall` gives `created` in seconds since 1970.
    Any model name is served; `models` are those listed.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        api_key: str = "",
        models: Sequence[str] = _DEFAULT_MODELS,
        seed: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.api_key = api_key
        self.models = tuple(models)
        self.host = ""
        self.port = 0
        self._first_behaviour = behaviour or Behaviour()
        self._rng = Random(seed)
        self._wall = wall
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._waiters: list[tuple[Callable[[MockServer], bool], asyncio.Future[None]]] = []
        self.in_flight = 0
        self.accepted = 0
        self.reset()

    def reset(self) -> None:
        """Back to the first behaviour, with all counters at 0 (but `in_flight`) and nothing remembered."""
        self.behaviour = self._first_behaviour
        self.requests: deque[Request] = deque(maxlen=_REMEMBERED)
        self.started = self.in_flight
        self.completed = 0
        self.cancelled = 0
        self.max_in_flight = self.in_flight

    @property
    def behaviour(self) -> Behaviour:
        """How the next requests are answered."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._position = 0

    @property
    def url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    @property
    def open_connections(self) -> int:
        """How many connections clients hold now."""
        return len(self._connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port (chosen by the system for 0). Raises OSError where it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self, loop), host, port, backlog=_BACKLOG)
        self.host = host
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Stop listening and close every connection at once."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        await self.until(lambda server: not server.open_connections)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def until(self, condition: Callable[[MockServer], bool], timeout: float = 5.0) -> None:
        """Wait until the counters fulfil a condition; it is looked at on every change of theirs. Raises TimeoutError
        after `timeout` seconds."""
        if condition(self):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        await asyncio.wait_for(future, timeout)

    def answer(self, request: Request) -> tuple[Answer, bool]:
        """The answer to a request, and whether it counts as an inference request. Called by a connection."""
        if request.path.startswith("/mock/"):
            return control(self, request), False
        self.requests.append(request)
        kind = kind_of(request.path) if request.method == "POST" else None
        if kind is None:
            return self._answer_other(request), False
        self.started += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if self._waiters:
            self._changed()
        if not self._authorized(request):
            return error_answer("401", "", self._behaviour), True
        step = self._behaviour.step(self._position, self._rng)
        self._position += 1
        return answer(kind, request.body, self._behaviour, step, self._rng, int(self._wall())), True

    def finished(self, *, cancelled: bool) -> None:
        """An inference request has been answered, or its client has gone. Called by a connection."""
        self.in_flight -= 1
        if cancelled:
            self.cancelled += 1
        else:
            self.completed += 1
        if self._waiters:
            self._changed()

    def opened(self, connection: Connection) -> None:
        """A client has connected. Called by the connection."""
        self.accepted += 1
        self._connections.add(connection)
        if self._waiters:
            self._changed()

    def closed(self, connection: Connection) -> None:
        """The connection is closed. Called by the connection."""
        self._connections.discard(connection)
        if self._waiters:
            self._changed()

    def _answer_other(self, request: Request) -> Answer:
        path = request.path.removeprefix("/v1")
        if request.method == "GET" and path == "/health":
            return (
                json_answer(200, b'{"status":"ok"}')
                if self._behaviour.healthy
                else json_answer(503, b'{"status":"down"}')
            )
        if not self._authorized(request):
            return error_answer("401", "", self._behaviour)
        if request.method == "GET" and path == "/models":
            return models_answer(self.models, int(self._wall()))
        return rejection(404, f"Invalid URL ({request.method} {request.path})", code="not_found")

    def _authorized(self, request: Request) -> bool:
        if not self.api_key:
            return True
        given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("api-key", "")
        return hmac.compare_digest(given.encode(), self.api_key.encode())

    def _changed(self) -> None:
        waiting = []
        for condition, future in self._waiters:
            if future.done():
                continue
            if condition(self):
                future.set_result(None)
            else:
                waiting.append((condition, future))
        self._waiters = waiting
