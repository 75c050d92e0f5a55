"""The project's own HTTP/1.1 client: pools, stale connections, time to connect, and what to do on cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import Origin, WireRequest
from router.upstream.base import Timing, UpstreamResponse
from router.upstream.connect import Dial, Dialer
from router.upstream.connection import Connection
from router.upstream.counters import CloseReason, Counters
from router.upstream.framing import Limits
from router.upstream.pool import Pool
from router.upstream.proxy import NO_PROXIES, Proxies
from router.upstream.reading import new_scratch
from router.upstream.refusal import Refusal

IDLE_SECONDS = 30.0
MAX_IDLE = 256
"""Idle connections kept per origin."""

MAX_OPEN = 2000
"""Connections open or being opened per origin. A connection carries one request at a time: who finds no room waits."""


class HttpUpstream:
    """`Upstream` for `http`, `https` and `unix` origins. Use one per event loop, from that loop only.

    `dial` is the way to the network, and another one in tests; `proxies` are those of the usual one. `scratch`
    and `counters` may be shared with others of the loop. `emptied` is called, perhaps more than once, when a connection
    has been closed, or not opened, and no other is open.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        idle_seconds: float = IDLE_SECONDS,
        max_idle: int = MAX_IDLE,
        max_open: int = MAX_OPEN,
        proxies: Proxies = NO_PROXIES,
        dial: Dial | None = None,
        scratch: memoryview | None = None,
        counters: Counters | None = None,
        emptied: Callable[[HttpUpstream], None] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._dial: Dial = dial or Dialer(proxies)
        self._open: set[Connection] = set()
        self._all_lost: asyncio.Future[None] | None = None
        self._closed = False
        self._emptied = emptied
        self.pool: Pool[Connection] = Pool(max_idle, max_open, idle_seconds)
        self.counters = counters or Counters()
        self.scratch = scratch or new_scratch()

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        """See `Upstream.send`.

        A reused connection that the server turns out to have closed before is replaced once by a fresh one, within the
        same call and the same limits: not one byte of a response had come, and none of a body's source been taken.
        """
        connection = self.pool.take(wire.origin)
        if connection is None:
            connection = await self._connect(wire.origin, timing, fresh=False)
        if connection.exchanges:
            self.counters.reused += 1
            waiter = connection.start(wire, timing)
            try:
                return await waiter
            except UpstreamFailure:
                if not connection.stale:
                    raise
            except BaseException:
                connection.abandon(waiter)
                raise
            self.counters.replaced += 1
            connection = await self._connect(wire.origin, timing, fresh=True)
        waiter = connection.start(wire, timing)
        try:
            return await waiter
        except BaseException:
            connection.abandon(waiter)
            raise

    async def close(self) -> None:
        """Close every connection, failing what is under way, and wait until the sockets are gone."""
        self._closed = True
        self.pool.refuse(_shutting_down())
        for connection in (*self.pool, *self._open):
            connection.shut_down()
        if self._open:
            if self._all_lost is None:
                self._all_lost = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_lost)

    async def _connect(self, origin: Origin, timing: Timing, *, fresh: bool) -> Connection:
        """A connection of our own: a `fresh` one, or one that has become idle while we waited for room."""
        if self._closed:
            raise _shutting_down()
        now = asyncio.get_running_loop().time()
        limit = min(now + timing.connect, timing.deadline, timing.first_token)
        doing = "connecting"
        try:
            async with asyncio.timeout_at(limit):
                if not self.pool.reserve(origin, now):
                    doing = "waiting for a free connection"
                    connection = await self._wait(origin, fresh)
                    if connection is not None:
                        return connection
                    doing = "connecting"
                return await self._open_one(origin)
        except TimeoutError as error:
            raise _too_slow(limit, timing, doing) from error

    async def _wait(self, origin: Origin, fresh: bool) -> Connection | None:
        """Wait in the queue for an idle connection, or for room to open one (None)."""
        loop = asyncio.get_running_loop()
        self.counters.waited += 1
        first = False
        while True:
            waiter: asyncio.Future[Connection | None] = loop.create_future()
            self.pool.wait(origin, waiter, first=first)
            try:
                connection = await waiter
            except BaseException:
                self.pool.leave(origin, waiter)
                raise
            if connection is not None and connection.closed is None:
                if not fresh:
                    return connection
                self.pool.exchange(connection)
                connection.close(CloseReason.SURPLUS)
                return None
            if connection is None or self.pool.reserve(origin, loop.time()):
                return None
            first = True

    async def _open_one(self, origin: Origin) -> Connection:
        """A new connection, where there is room for it."""
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self, self._limits)
        try:
            connection.forward = await self._dial(origin, connection)
            if self._closed:
                raise _shutting_down()
            if connection.closed is not None:
                raise UpstreamFailure(FailureKind.DISCONNECTED, "closed before the request was sent")
        except BaseException:
            self.counters.not_opened += 1
            connection.close(CloseReason.CANCELLED)
            # After `connection_lost`, which uvloop leaves out where it was cancelled in the moment of its opening.
            loop.call_soon(self.lost, connection)
            self.pool.release(origin)
            raise
        self.counters.opened += 1
        self.pool.add(origin, connection)
        return connection

    # For connections: router.upstream.connection.Owner.

    def made(self, connection: Connection) -> None:
        self._open.add(connection)

    def idle(self, connection: Connection) -> None:
        surplus = self.pool.put_back(connection)
        if surplus is not None:
            surplus.close(CloseReason.SURPLUS)

    def refused(self, reason: Refusal) -> None:
        self.counters.refused[reason] += 1

    def closing(self, connection: Connection, reason: CloseReason) -> None:
        if connection.shelf is not None:
            self.counters.closed[reason] += 1
            self.pool.discard(connection)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._open:
            return
        if self._all_lost is not None:
            self._all_lost.set_result(None)
            self._all_lost = None
        if self._emptied is not None:
            self._emptied(self)


def _shutting_down() -> UpstreamFailure:
    return UpstreamFailure(FailureKind.CONNECT, "the router is shutting down")


def _too_slow(limit: float, timing: Timing, doing: str) -> UpstreamFailure:
    if limit == timing.deadline:
        return UpstreamFailure(FailureKind.ATTEMPT_TIMEOUT, f"the attempt took too long, and was still {doing}")
    if limit == timing.first_token:
        return UpstreamFailure(FailureKind.FIRST_TOKEN_TIMEOUT, f"no token in time, and still {doing}")
    return UpstreamFailure(FailureKind.CONNECT, "connect timed out" if doing == "connecting" else "no free connection")
