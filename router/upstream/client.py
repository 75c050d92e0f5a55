"""The project's own HTTP/1.1 client: pools, stale connections, time to connect, and what to do on cancellation."""

from __future__ import annotations

import asyncio

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import Origin, WireRequest
from router.upstream.base import Timing, UpstreamResponse
from router.upstream.connect import Dial, Dialer
from router.upstream.connection import Connection
from router.upstream.counters import CloseReason, Counters
from router.upstream.framing import Limits
from router.upstream.pool import Pool

IDLE_SECONDS = 30.0
MAX_IDLE = 256
"""Idle connections kept per origin."""


class HttpUpstream:
    """`Upstream` for `http` and `https` origins. Use one per event loop, from that loop only.

    `dial` is the way to the network, and another one in tests.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        idle_seconds: float = IDLE_SECONDS,
        max_idle: int = MAX_IDLE,
        dial: Dial | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._idle_seconds = idle_seconds
        self._dial: Dial = dial or Dialer()
        self._open: set[Connection] = set()
        self._all_lost: asyncio.Future[None] | None = None
        self._closed = False
        self.pool: Pool[Connection] = Pool(max_idle)
        self.counters = Counters()

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        """See `Upstream.send`.

        A reused connection that the server turns out to have closed before is replaced once by a fresh one, within the
        same call and the same limits: not one byte of a response had come.
        """
        connection = self.pool.take(wire.origin)
        if connection is not None:
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
        connection = await self._connect(wire.origin, timing)
        waiter = connection.start(wire, timing)
        try:
            return await waiter
        except BaseException:
            connection.abandon(waiter)
            raise

    async def close(self) -> None:
        """Close every connection, failing what is under way, and wait until the sockets are gone."""
        self._closed = True
        for connection in self.pool:
            connection.shut_down()
        if self._open:
            if self._all_lost is None:
                self._all_lost = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_lost)

    async def _connect(self, origin: Origin, timing: Timing) -> Connection:
        loop = asyncio.get_running_loop()
        limit = min(loop.time() + timing.connect, timing.deadline, timing.first_token)
        connection = Connection(loop, self, self._limits, self._idle_seconds)
        try:
            async with asyncio.timeout_at(limit):
                await self._dial(origin, connection)
            if self._closed:
                raise UpstreamFailure(FailureKind.CONNECT, "the router is shutting down")
            if connection.closed is not None:
                raise UpstreamFailure(FailureKind.DISCONNECTED, "closed before the request was sent")
        except BaseException as error:
            self.counters.not_opened += 1
            connection.close(CloseReason.CANCELLED)
            if isinstance(error, TimeoutError):
                raise _too_slow(limit, timing) from error
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

    def closing(self, connection: Connection, reason: CloseReason) -> None:
        if connection.shelf is not None:
            self.counters.closed[reason] += 1
            self.pool.discard(connection)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._all_lost is not None and not self._open:
            self._all_lost.set_result(None)
            self._all_lost = None


def _too_slow(limit: float, timing: Timing) -> UpstreamFailure:
    if limit == timing.deadline:
        return UpstreamFailure(FailureKind.ATTEMPT_TIMEOUT, "the attempt took too long, and was still connecting")
    if limit == timing.first_token:
        return UpstreamFailure(FailureKind.FIRST_TOKEN_TIMEOUT, "no token in time, and still connecting")
    return UpstreamFailure(FailureKind.CONNECT, "connect timed out")
