"""One suite for all real servers: nginx, HAProxy in front of it, and aiohttp, each over HTTP and over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest
import pytest_asyncio
from aiohttp import web

from router.core.types import TLS
from router.dialects.base import WireRequest
from router.upstream.client import HttpUpstream
from tests.certificates import Certificates
from tests.upstream.asking import fetch, post
from tests.upstream.conftest import EVENTS, LARGE, Nginx
from tests.upstream.scripted import DEPLOYMENT, Listener, stream_of, timing
from tests.upstream.test_uploads import Client

pytestmark = pytest.mark.both_loops


class Server(NamedTuple):
    """A server and how it is reached. `until_close`: it passes on such bodies as they are, and does not frame them."""

    port: int
    tls: TLS | None
    until_close: bool

    def post(self, path: str, body: bytes = b"{}") -> WireRequest:
        return post(self.port, path, body, tls=self.tls)


async def play(request: web.BaseRequest) -> web.StreamResponse:
    """What nginx has in its locations."""
    path = request.path
    if path == "/too_large":
        return web.Response(status=413, text="too large")
    await request.read()
    if path in ("/chunked", "/events"):
        response = web.StreamResponse()
        response.content_type = "text/event-stream" if path == "/events" else "application/json"
        response.enable_chunked_encoding()
        await response.prepare(request)
        text = EVENTS if path == "/events" else LARGE
        for at in range(0, len(text), 50_000):
            await response.write(text[at : at + 50_000])
        return response
    if path == "/until_close":
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\n\r\n" + LARGE)
        request.transport.close()
        return web.Response()
    if path == "/nothing":
        return web.Response(status=204)
    if path == "/slow_down":
        return web.Response(status=429, text="slow down", headers={"retry-after": "7"})
    bodies = {"/small": b"small", "/taken": b"small", "/empty": b"", "/large": LARGE}
    return web.Response(body=bodies[path]) if path in bodies else web.Response(status=404)


@asynccontextmanager
async def aiohttp_server(certificates: Certificates | None) -> AsyncIterator[int]:
    context = None
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    runner = web.ServerRunner(web.Server(play, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(params=["plain", "tls"])
async def tls(request: pytest.FixtureRequest, certificates: Certificates) -> TLS | None:
    return certificates.trusting if request.param == "tls" else None


@pytest_asyncio.fixture(params=["nginx", "haproxy", "aiohttp"])
async def server(
    request: pytest.FixtureRequest, tls: TLS | None, nginx: Nginx, haproxy: Nginx, certificates: Certificates
) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        if request.param == "aiohttp":
            port = await stack.enter_async_context(aiohttp_server(certificates if tls else None))
        else:
            port = {"nginx": nginx, "haproxy": haproxy}[request.param].ports["tls" if tls else "plain"]
        yield Server(port, tls, request.param != "haproxy")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/small", 200, b"small"),
        ("/empty", 200, b""),
        ("/nothing", 204, b""),
        ("/slow_down", 429, b"slow down"),
        ("/large", 200, LARGE),
        ("/chunked", 200, LARGE),
        ("/until_close", 200, LARGE),
        ("/events", 200, EVENTS),
        ("/missing", 404, None),
    ],
)
async def test_every_kind_of_reply(server: Server, path: str, status: int, body: bytes | None) -> None:
    upstream = HttpUpstream()
    for _ in range(3):
        response, received = await fetch(upstream, server.post(path))
        assert response.status == status
        assert body is None or received == body
        if path != "/until_close":
            assert (b"transfer-encoding" in response.headers) == (path in ("/chunked", "/events"))
            assert (b"content-length" in response.headers) == (path not in ("/chunked", "/events", "/nothing"))
    if path != "/until_close":
        assert upstream.counters.opened == 1
    elif server.until_close:
        assert upstream.counters.opened == 3
    assert upstream.counters.replaced == 0
    await upstream.close()


async def test_a_reply_to_head_ends_with_its_head(server: Server) -> None:
    upstream = HttpUpstream()
    for path in ("/large", "/small", "/chunked", "/nothing", "/large"):
        asked = server.post(path, b"")
        response, body = await fetch(upstream, asked._replace(head=asked.head.replace(b"POST ", b"HEAD ", 1)))
        assert (response.status, body) == (204 if path == "/nothing" else 200, b"")
        _, body = await fetch(upstream, server.post("/small"))
        assert body == b"small"
    await upstream.close()


async def test_many_at_once_share_as_many_connections_as_there_may_be(server: Server) -> None:
    upstream = HttpUpstream(max_open=7)

    async def several() -> None:
        for path, body in (("/small", b"small"), ("/chunked", LARGE), ("/events", EVENTS)) * 2:
            _, received = await fetch(upstream, server.post(path))
            assert received == body

    await asyncio.gather(*(several() for _ in range(15)))
    assert upstream.counters.opened == 7
    assert upstream.counters.waited > 0
    assert upstream.pool.sizes() == (7, 0, 0, 0)
    await upstream.close()


@pytest.mark.parametrize("length", [900_000, None], ids=["length", "chunks"])
async def test_a_request_that_is_streamed_arrives_whole(server: Server, length: int | None) -> None:
    """The answer comes once the body has been taken to its end."""
    upstream = HttpUpstream()
    for _ in range(3):
        source = Client(*[b"x" * 30_000] * 30, length=length)
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        head = b"POST /taken HTTP/1.1\r\nhost: upstream.test\r\n%b\r\n\r\n" % framing
        wire = WireRequest(server.post("/").origin, head, b"", DEPLOYMENT, source)
        response = await upstream.send(wire, timing(20))
        assert (response.status, response.body) == (200, b"small")
    assert upstream.counters.opened == 1
    await upstream.close()


async def test_a_stream_that_is_paused_over_and_over_comes_whole(server: Server) -> None:
    upstream = HttpUpstream()
    loop = asyncio.get_running_loop()

    class Halting(Listener):
        def data(self, data: bytes) -> None:
            super().data(data)
            stream.pause()
            loop.call_soon(stream.resume)

    for _ in range(3):
        stream = stream_of(await upstream.send(server.post("/events"), timing(20)))
        listener = Halting()
        stream.attach(listener)
        assert await listener.end is None
        assert listener.text == EVENTS
    assert upstream.counters.opened == 1
    await upstream.close()


@pytest.mark.parametrize("path", ["/large", "/events"])
async def test_who_leaves_in_the_middle_leaves_no_connection(server: Server, path: str) -> None:
    upstream = HttpUpstream()
    for turns in range(0, 30, 3):
        task = asyncio.create_task(fetch(upstream, server.post(path)))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
    assert upstream.pool.sizes()[1:] == (0, 0, 0), "busy, opening, waiting"
    _, body = await fetch(upstream, server.post("/small"))
    assert body == b"small"
    await upstream.close()
    assert not upstream._open
