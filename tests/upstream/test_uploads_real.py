"""Request bodies that are still coming from the client, over real sockets."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from router.dialects.base import WireRequest
from tests.upstream.scripted import DEPLOYMENT, timing
from tests.upstream.test_aiohttp import served

pytestmark = pytest.mark.both_loops


class Endless:
    """Produces for ever, and counts."""

    length = None

    def __init__(self, most: int) -> None:
        self.taken = 0
        self._most = most

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self.taken >= self._most:
            return b""
        self.taken += 65536
        return b"x" * 65536


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_over_a_real_socket_the_body_arrives_whole_and_back_pressure_holds() -> None:
    proceed = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.Response:
        first = await request.content.readany()
        await proceed.wait()
        size = len(first)
        while data := await request.content.readany():
            size += len(data)
        return web.Response(text=str(size))

    async with served(slow) as (upstream, plain):
        for most in (64_000_000, 1):
            proceed.clear()
            source = Endless(most)
            task = asyncio.create_task(
                upstream.send(WireRequest(plain.origin, HEAD, b"", DEPLOYMENT, source), timing(60))
            )
            before = -1
            while before != source.taken:
                before = source.taken
                await asyncio.sleep(0.1)
            assert before < 20_000_000, "the rest has not been asked for"
            proceed.set()
            assert int((await task).body) == source.taken
        assert upstream.counters.opened == 1


async def test_over_a_real_socket_an_early_reply_ends_the_upload() -> None:
    async def refuse(request: web.BaseRequest) -> web.Response:
        return web.Response(status=413, text="no")

    async with served(refuse) as (upstream, plain):
        source = Endless(10**12)
        response = await upstream.send(WireRequest(plain.origin, HEAD, b"", DEPLOYMENT, source), timing(60))
        assert (response.status, response.body) == (413, b"no")
        taken = source.taken
        await asyncio.sleep(0.05)
        assert source.taken == taken
        assert repr(upstream.pool) == "<Pool empty>"
