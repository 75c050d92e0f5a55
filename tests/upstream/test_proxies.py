"""Through a proxy, to real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.dialects.base import Origin, WireRequest
from router.upstream.client import HttpUpstream
from router.upstream.proxy import Proxies
from tests.certificates import Certificates
from tests.upstream.conftest import Nginx
from tests.upstream.scripted import DEPLOYMENT, OK, timing, whole


class FakeProxy:
    """Says `answer` to every request, and after a 2xx for CONNECT passes bytes on to `port`. Keeps what it heard."""

    def __init__(self, answer: bytes, port: int) -> None:
        self.answer = answer
        self._port = port
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                if b"content-length: 2" in head:
                    await reader.readexactly(2)
                writer.write(self.answer)
                if head.startswith(b"CONNECT") and b" 200 " in self.answer:
                    await self._pass_on(reader, writer)
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        pumps = [asyncio.create_task(pump(*pair)) for pair in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def proxied(answer: bytes, port: int = 0, user: str = "") -> AsyncIterator[tuple[FakeProxy, HttpUpstream]]:
    proxy = FakeProxy(answer, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    address = f"http://{user}127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upstream = HttpUpstream(proxies=Proxies.read({"ALL_PROXY": address, "NO_PROXY": "<-loopback>"}))
    try:
        yield proxy, upstream
    finally:
        await upstream.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


def post(origin: Origin) -> WireRequest:
    head = b"POST /small HTTP/1.1\r\nhost: upstream.test\r\ncontent-length: 2\r\n\r\n"
    return WireRequest(origin, head, b"{}", DEPLOYMENT)


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.both_loops
async def test_https_goes_through_a_tunnel_that_is_reused(nginx: Nginx, certificates: Certificates) -> None:
    async with proxied(ESTABLISHED, nginx.ports["tls"], user="me:secret@") as (proxy, upstream):
        origin = Origin("https", "upstream.test", nginx.ports["tls"], certificates.trusting)
        for _ in range(3):
            response = await upstream.send(post(origin), timing(20))
            assert await whole(response) == b"small"
        place = b"upstream.test:%d" % nginx.ports["tls"]
        signed = b"proxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        assert proxy.heads == [b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b" % (place, place, signed)], (
            "the name is the proxy's to resolve, and nothing else reaches it unencrypted"
        )


@pytest.mark.both_loops
async def test_the_far_end_of_a_tunnel_is_verified(nginx: Nginx, certificates: Certificates) -> None:
    async with proxied(ESTABLISHED, nginx.ports["tls"]) as (_, upstream):
        with pytest.raises(UpstreamFailure, match="certificate not accepted"):
            await upstream.send(post(Origin("https", "elsewhere.test", 443, certificates.trusting)), timing(20))
        with pytest.raises(UpstreamFailure, match="certificate not accepted"):
            await upstream.send(post(Origin("https", "upstream.test", 443, TLS())), timing(20))


@pytest.mark.both_loops
async def test_plain_http_is_asked_of_the_proxy_itself() -> None:
    async with proxied(OK, user="me:@") as (proxy, upstream):
        for _ in range(2):
            response = await upstream.send(post(Origin("http", "upstream.test", 8080)), timing(20))
            assert response.body == b"ok"
        assert upstream.counters.opened == 1
        assert proxy.heads[0] == proxy.heads[1]
        line = b"POST http://upstream.test:8080/small HTTP/1.1\r\n"
        assert proxy.heads[0].startswith(line + b"proxy-authorization: Basic bWU6\r\nhost: upstream.test\r\n")


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "the proxy refused the credentials (407)"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "the proxy refused to connect (503)"),
        (b"nonsense\r\n", "the proxy sent a malformed response"),
        (ESTABLISHED + b"x", "the proxy sent more than its answer"),
    ],
)
async def test_what_a_proxy_will_not_do_is_a_failure_to_connect(answer: bytes, message: str) -> None:
    async with proxied(answer) as (_, upstream):
        with pytest.raises(UpstreamFailure) as caught:
            await upstream.send(post(Origin("https", "upstream.test", 443)), timing(20))
        assert caught.value.kind is FailureKind.CONNECT
        assert str(caught.value).startswith(message)
        assert upstream.counters.not_opened == 1


@pytest.mark.both_loops
async def test_credentials_refused_for_plain_http_are_a_failure_to_connect_too() -> None:
    async with proxied(b"HTTP/1.1 407 No\r\ncontent-length: 2\r\n\r\nno") as (_, upstream):
        with pytest.raises(UpstreamFailure) as caught:
            await upstream.send(post(Origin("http", "upstream.test", 80)), timing(20))
        assert (caught.value.kind, str(caught.value)) == (
            FailureKind.CONNECT,
            "the proxy refused the credentials (407)",
        )


@pytest.mark.both_loops
async def test_without_a_proxy_a_407_is_upstream_s_own_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 407 No\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = HttpUpstream()
    response = await upstream.send(post(Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1])), timing(20))
    assert (response.status, response.body) == (407, b"no")
    await upstream.close()
    server.close()
    await server.wait_closed()


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:{port}", "the proxy cannot be reached: connection refused"),
        ("http://nowhere.invalid", "the proxy cannot be reached: name not resolved"),
        ("socks5://127.0.0.1:1080", "the proxy cannot be used: only http:// proxies can be used"),
    ],
)
async def test_a_proxy_that_is_not_there_is_a_failure_to_connect(
    address: str, message: str, unused_tcp_port: int
) -> None:
    upstream = HttpUpstream(proxies=Proxies.read({"ALL_PROXY": address.format(port=unused_tcp_port)}))
    for scheme in ("http", "https"):
        with pytest.raises(UpstreamFailure) as caught:
            await upstream.send(post(Origin(scheme, "upstream.test", 80)), timing(20))
        assert (caught.value.kind, str(caught.value)) == (FailureKind.CONNECT, message)
    await upstream.close()


@pytest.mark.both_loops
async def test_a_proxy_that_says_nothing_is_waited_for_no_longer_than_a_connection() -> None:
    async with proxied(b"") as (_, upstream):
        with pytest.raises(UpstreamFailure, match="connect timed out"):
            await upstream.send(post(Origin("https", "upstream.test", 443)), timing(20, connect=0.1))
        assert upstream.counters.not_opened == 1
