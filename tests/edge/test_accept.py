"""Several processes listen on one socket; here they are several acceptors on one loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from typing import cast

import pytest

from router.edge.accept import Acceptor, bound

pytestmark = pytest.mark.both_loops


class Greets(asyncio.Protocol):
    def __init__(self, number: int, met: Counter[int]) -> None:
        self._number = number
        self._met = met

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._met[self._number] += 1
        cast(asyncio.Transport, transport).write(b"hello")
        transport.close()


def again(sock: socket.socket) -> socket.socket:
    """Another descriptor of the same socket, as a worker inherits it."""
    return socket.socket(fileno=os.dup(sock.fileno()))


async def greeted(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_burst_is_shared_and_nothing_is_lost_when_one_goes() -> None:
    met: Counter[int] = Counter()
    (sock,) = bound("127.0.0.1", 0, 128)
    port = sock.getsockname()[1]

    def greeter(number: int) -> Acceptor:
        mine = again(sock)
        mine.setblocking(False)
        return Acceptor(mine, lambda: Greets(number, met))

    acceptors = [greeter(number) for number in range(2)]
    for acceptor in acceptors:
        acceptor.start()
    assert await asyncio.gather(*(greeted(port) for _ in range(40))) == [b"hello"] * 40
    assert min(met.values()) >= 8
    acceptors[0].close()
    acceptors[0].close()
    assert await greeted(port) == b"hello"
    acceptors[1].close()
    waits = asyncio.create_task(greeted(port))
    await asyncio.sleep(0.02)
    assert not waits.done()
    last = greeter(3)
    last.start()
    assert await waits == b"hello"
    last.close()
    sock.close()
    with pytest.raises(ConnectionRefusedError):
        await greeted(port)


def test_an_address_that_is_taken_is_an_error_that_leaves_nothing_open() -> None:
    (sock,) = bound("127.0.0.1", 0, 1)
    with pytest.raises(OSError, match="in use"):
        bound("127.0.0.1", sock.getsockname()[1], 1)
    sock.close()


def test_a_name_with_two_addresses_is_bound_at_both_with_one_port() -> None:
    sockets = bound("localhost", 0, 1)
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()
