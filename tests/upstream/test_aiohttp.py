"""Against a real aiohttp server in the same process, which can be made to misbehave in the middle of things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import Origin, WireRequest
from router.upstream.client import HttpUpstream
from tests.upstream.scripted import DEPLOYMENT, Listener, settle, stream_of, timing, whole

pytestmark = pytest.mark.both_loops

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[tuple[HttpUpstream, WireRequest]]:
    """An upstream, and a request for this handler."""
    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    upstream = HttpUpstream()
    try:
        yield upstream, request(port)
    finally:
        await upstream.close()
        await runner.cleanup()


def request(port: int, body: bytes = b"{}") -> WireRequest:
    head = f"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    return WireRequest(Origin("http", "127.0.0.1", port), head.encode(), body, DEPLOYMENT)


async def test_the_body_that_was_sent_is_the_body_that_arrives() -> None:
    async def echo(request: web.BaseRequest) -> web.Response:
        return web.Response(body=await request.read())

    async with served(echo) as (upstream, wire):
        for size in (0, 1, 65_000, 65_536, 65_537, 1_000_000):
            body = bytes(i % 251 for i in range(size))
            response = await upstream.send(request(wire.origin.port, body), timing(20))
            assert response.body == body
        assert upstream.counters.opened == 1


async def test_a_stream_arrives_as_it_is_written() -> None:
    said = asyncio.Event()

    async def talk(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for i in range(50):
            await response.write(b"data: %d\n\n" % i)
            await said.wait()
            said.clear()
        return response

    class Prompter(Listener):
        def data(self, data: bytes) -> None:
            super().data(data)
            said.set()

    async with served(talk) as (upstream, wire):
        for _ in range(2):
            listener = Prompter()
            stream_of(await upstream.send(wire, timing(20))).attach(listener)
            assert await listener.end is None
            assert listener.heard == [b"data: %d\n\n" % i for i in range(50)]
        assert upstream.counters.opened == 1


async def test_an_aborted_stream_is_noticed_by_the_server() -> None:
    gone = asyncio.Event()

    async def talk(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            while request.transport is not None:
                await response.write(b"data: x\n\n")
                await asyncio.sleep(0.001)
        finally:
            gone.set()
        return response

    async with served(talk) as (upstream, wire):
        stream_of(await upstream.send(wire, timing(20))).abort()
        await asyncio.wait_for(gone.wait(), 10)
        assert repr(upstream.pool) == "<Pool empty>"


async def test_a_cancelled_request_is_noticed_by_the_server() -> None:
    reached = asyncio.Event()
    gone = asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.Response:
        reached.set()
        for _ in range(10_000):
            if request.transport is None:
                gone.set()
                break
            await asyncio.sleep(0.001)
        return web.Response()

    async with served(hang) as (upstream, wire):
        task = asyncio.create_task(upstream.send(wire, timing(20)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 10)


async def test_back_pressure_reaches_the_server() -> None:
    written = 0

    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * 65536)
            written += 65536
        return response

    async with served(flood) as (upstream, wire):
        stream = stream_of(await upstream.send(wire, timing(60)))
        before = -1
        while written != before:
            before = written
            await asyncio.sleep(0.1)
        assert written < 20_000_000, "the rest waits in the server"
        listener = Listener()
        stream.attach(listener)
        assert await listener.end is None
        assert sum(map(len, listener.heard)) == 65_536_000
        assert upstream.counters.opened - sum(upstream.counters.closed.values()) == 1


async def test_a_server_that_was_restarted_costs_no_request() -> None:
    async def ok(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(text="ok")

    port = 0
    upstream = HttpUpstream()
    for _ in range(3):
        runner = web.ServerRunner(web.Server(ok, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        port = runner.addresses[0][1]
        for _ in range(3):
            response = await upstream.send(request(port), timing(20))
            assert response.body == b"ok"
        await runner.cleanup()
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(request(port), timing(20))
    assert caught.value.kind in (FailureKind.CONNECT, FailureKind.DISCONNECTED)
    await upstream.close()


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_a_server_that_dies_in_the_middle_is_a_disconnection(kind: str) -> None:
    async def die(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        await response.write(b"data: x\n\n")
        assert request.transport is not None
        request.transport.abort()
        await settle()
        return response

    async with served(die) as (upstream, wire):

        async def fetch() -> bytes:
            return await whole(await upstream.send(wire, timing(20)))

        with pytest.raises(UpstreamFailure) as caught:
            await fetch()
        assert caught.value.kind is FailureKind.DISCONNECTED
        assert repr(upstream.pool) == "<Pool empty>"


async def test_an_interim_response_is_passed_over() -> None:
    async def expecting(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return web.Response(text="ok")

    async with served(expecting) as (upstream, wire):
        for _ in range(3):
            response = await upstream.send(wire, timing(20))
            assert (response.status, response.body) == (200, b"ok")
        assert upstream.counters.opened == 1
