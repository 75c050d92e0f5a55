"""What the way to hosts that clients name keeps of a request; what it lets pass is in tests/edge/test_ssrf.py."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from router.core.errors import UpstreamFailure
from router.core.grants import Grants, HostRule
from router.dialects.base import WireRequest
from router.upstream.client import HttpUpstream
from router.upstream.counters import Counters
from router.upstream.guard import GuardedUpstream
from router.upstream.sockets import Address
from tests.upstream.asking import post
from tests.upstream.scripted import DEPLOYMENT, OK, SSE, chunk, stream_of, timing

GUARD = Grants(frozenset(), frozenset({HostRule("127.0.0.1")}))


def asked(port: int, path: str = "/", host: str = "127.0.0.1") -> WireRequest:
    return post(port, path, host=host)._replace(deployment=replace(DEPLOYMENT, guard=GUARD))


async def nobody(host: str, port: int) -> Sequence[Address]:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n{}")
        writer.write(SSE + chunk(b"data: 1\n\n") if b"/stream" in head else OK)
        await reader.read()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    writer.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def emptied(upstream: GuardedUpstream) -> None:
    async with asyncio.timeout(10):
        while upstream._open:  # noqa: ASYNC110 - there is no event to wait for: the loop closes sockets in its own time
            await asyncio.sleep(0.001)


@pytest.mark.both_loops
async def test_nothing_is_kept_of_a_request_that_is_over_however_it_ended(port: int, unused_tcp_port: int) -> None:
    upstream = GuardedUpstream(resolve=nobody)
    assert (await upstream.send(asked(port), timing(20))).body == b"ok"
    stream_of(await upstream.send(asked(port, "/stream"), timing(20))).abort()
    for wire in (asked(unused_tcp_port), asked(port, host="no.example"), asked(port, host="10.0.0.1")):
        with pytest.raises(UpstreamFailure):
            await upstream.send(wire, timing(20))
    with pytest.raises(UpstreamFailure):
        await upstream.send(asked(port), timing(-1.0))
    for turns in [*range(14)] * 3:
        task = asyncio.ensure_future(upstream.send(asked(port, "/stream"), timing(20)))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            stream_of(task.result()).abort()
        await asyncio.gather(task, return_exceptions=True)
    await emptied(upstream)


async def test_its_connections_are_counted_with_all_others(port: int) -> None:
    counters = Counters()
    upstream = GuardedUpstream(counters=counters)
    for _ in range(3):
        await upstream.send(asked(port), timing(20))
    assert (counters.opened, counters.reused) == (3, 0)
    await emptied(upstream)


@pytest.mark.both_loops
async def test_closing_ends_what_is_under_way(port: int) -> None:
    upstream = GuardedUpstream()
    await upstream.send(asked(port, "/stream"), timing(20))
    assert len(upstream._open) == 1
    await upstream.close()
    assert not upstream._open


async def test_what_a_request_took_is_free_when_it_is_over(port: int) -> None:
    upstream = GuardedUpstream()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await upstream.send(asked(port), timing(20))
        await emptied(upstream)
        assert sum(isinstance(item, HttpUpstream) for item in gc.get_objects()) < 3
    finally:
        gc.enable()
