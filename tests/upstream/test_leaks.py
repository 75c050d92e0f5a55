"""After a thousand requests that went well, badly or nowhere: nothing is open, pending or armed but what is idle."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest
from httptools import HttpResponseParser

from router.core.errors import UpstreamFailure
from router.dialects.base import Origin
from router.upstream.client import HttpUpstream
from router.upstream.connection import Connection
from router.upstream.framing import ResponseReader
from router.upstream.plug import Receiver
from tests.upstream.scripted import (
    EOF,
    LAST,
    OK,
    REQUEST,
    RESET,
    SSE,
    ScriptedNetwork,
    Step,
    armed,
    chunk,
    timing,
    whole,
)
from tests.upstream.test_raw_servers import wire
from tests.virtual_time import virtual_time

STEPS: list[list[Step]] = [
    [OK],
    [OK],
    [0.5, OK],
    [3.0, OK],
    [OK[:20], 0.5, OK[20:]],
    [OK + b"x"],
    [OK, 0.5, EOF],
    [EOF],
    [RESET],
    [OK[:20], RESET],
    [b"nonsense"],
    [SSE + chunk(b"a"), 0.5, chunk(b"b"), LAST],
    [SSE + chunk(b"a"), 60.0],
    [SSE + chunk(b"a"), RESET],
    [b"HTTP/1.1 200 OK\r\n\r\nhello", 0.1, EOF],
    [],
]


class RandomNetwork(ScriptedNetwork):
    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    async def __call__(self, origin: Origin, receiver: Receiver) -> None:
        await asyncio.sleep(self._rng.choice([0, 0, 0.1, 20]))
        self._connections.append([self._rng.choice(STEPS) for _ in range(5)])
        await super().__call__(origin, receiver)


@pytest.mark.parametrize("seed", range(5))
@virtual_time
async def test_a_thousand_mixed_requests_leave_nothing_but_idle_connections(seed: int) -> None:
    rng = random.Random(seed)
    network = RandomNetwork(rng)
    upstream = HttpUpstream(dial=network, max_idle=10)
    outcomes = {"done": 0, "failed": 0, "cancelled": 0}

    async def one() -> None:
        await asyncio.sleep(rng.random() * 100)
        try:
            async with asyncio.timeout(rng.choice([0.2, 1.0, 100.0])):
                response = await upstream.send(REQUEST, timing(10, connect=5, first_token=6))
                if response.stream is not None and rng.random() < 0.3:
                    response.stream.abort()
                else:
                    await whole(response)
            outcomes["done"] += 1
        except UpstreamFailure:
            outcomes["failed"] += 1
        except TimeoutError:
            outcomes["cancelled"] += 1

    await asyncio.gather(*(one() for _ in range(1000)))
    assert min(outcomes.values()) > 50, outcomes
    await asyncio.sleep(10)

    idle = len(list(upstream.pool))
    expected = f"<Pool http://upstream.test:80 {idle} idle, 0 busy>" if idle else "<Pool empty>"
    assert repr(upstream.pool) == expected
    assert network.open == idle <= 10
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(armed()) <= idle
    counters = upstream.counters
    assert counters.opened - sum(counters.closed.values()) == idle

    await upstream.close()
    assert (network.open, armed()) == (0, [])


@pytest.mark.both_loops
async def test_a_closed_connection_is_garbage() -> None:
    async def ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(ok, "127.0.0.1", 0)
    upstream = HttpUpstream()
    gc.collect()
    kinds = (Connection, ResponseReader, HttpResponseParser)
    before = sum(isinstance(item, kinds) for item in gc.get_objects())
    for _ in range(20):
        await upstream.send(wire(server.sockets[0].getsockname()[1]), timing(20))
    while upstream._open:  # noqa: ASYNC110 - there is no event to wait for: the loop closes sockets in its own time
        await asyncio.sleep(0)
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)
    left = [item for item in gc.get_objects() if isinstance(item, kinds)]
    assert len(left) - before < 3, "free when it is closed, not when the collector comes"
    del left
    gc.collect()
    assert [item for item in gc.get_objects() if isinstance(item, Connection) and item._owner is upstream] == []
    await upstream.close()
