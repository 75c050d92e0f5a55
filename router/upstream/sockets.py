"""Connected sockets: one address, or the quickest of several."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

Address = tuple[socket.AddressFamily, int, tuple[object, ...] | str]
"""Family, protocol and socket address."""

STAGGER = 0.25
"""Seconds one address gets before the next is tried beside it (RFC 8305: "Connection Attempt Delay")."""


async def race(
    loop: asyncio.AbstractEventLoop, addresses: Sequence[Address], stagger: float = STAGGER
) -> socket.socket:
    """The first socket to connect ("happy eyeballs", RFC 8305): an address is tried when the ones before it have
    failed, or have had `stagger` seconds each. Raises the first address's error where all fail."""
    if len(addresses) == 1:
        return await connect(loop, addresses[0])
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        for position, address in enumerate(addresses):
            attempts.append(loop.create_task(connect(loop, address)))
            timeout = stagger if position + 1 < len(addresses) else None
            winner = await _first_success(attempts, timeout)
            if winner is not None:
                return winner.result()
        return attempts[0].result()
    finally:
        losers = [attempt for attempt in attempts if attempt is not winner]
        for attempt in losers:
            attempt.add_done_callback(_drop)
            attempt.cancel()
        if losers:
            try:
                await asyncio.wait(losers)
            except asyncio.CancelledError:
                if winner is not None:
                    _drop(winner)
                raise


def _drop(attempt: asyncio.Task[socket.socket]) -> None:
    """Nobody wants what this attempt, which is over, has come to."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _first_success(
    attempts: Sequence[asyncio.Task[socket.socket]], timeout: float | None
) -> asyncio.Task[socket.socket] | None:
    """An attempt that connected, or None after `timeout` seconds or once all have failed."""
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    while True:
        for attempt in attempts:
            if attempt.done() and attempt.exception() is None:
                return attempt
        pending = [attempt for attempt in attempts if not attempt.done()]
        left = None if end is None else end - loop.time()
        if not pending or (left is not None and left <= 0):
            return None
        await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)


async def connect(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    """A connected, non-blocking socket; none is left behind on an error or cancellation."""
    family, proto, where = address
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A model may think for minutes without a byte: keep middle boxes from forgetting us, notice dead peers.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock
