"""Which proxy leads where, and how it is spoken to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.dialects.base import Origin, WireRequest
from router.upstream.client import HttpUpstream
from router.upstream.proxy import Answer, Forward, Proxies, Proxy
from tests.upstream.conftest import Certificates, Nginx
from tests.upstream.scripted import DEPLOYMENT, OK, timing, whole

HTTP = Origin("http", "a.example.com", 80)
HTTPS = Origin("https", "a.example.com", 443)
PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("environment", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": PROXY}, "proxy.test", None),
        ({"http_proxy": PROXY}, "proxy.test", None),
        ({"HTTPS_PROXY": PROXY}, None, "proxy.test"),
        ({"https_proxy": PROXY}, None, "proxy.test"),
        ({"ALL_PROXY": PROXY}, "proxy.test", "proxy.test"),
        ({"all_proxy": PROXY, "HTTPS_PROXY": "http://other.test"}, "proxy.test", "other.test"),
        ({"http_proxy": PROXY, "HTTP_PROXY": "http://other.test"}, "proxy.test", None),
        ({"HTTP_PROXY": "proxy.test:3128"}, "proxy.test", None),
        ({"HTTP_PROXY": "  "}, None, None),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "*"}, None, None),
        ({"ALL_PROXY": PROXY, "no_proxy": "b.example.com"}, "proxy.test", "proxy.test"),
    ],
)
def test_the_usual_variables(environment: dict[str, str], http: str | None, https: str | None) -> None:
    proxies = Proxies.read(environment)
    for origin, host in ((HTTP, http), (HTTPS, https)):
        proxy = proxies.to(origin)
        assert (proxy and proxy.host) == host


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://p", Proxy("p", 80)),
        ("http://[2001:db8::1]:8080/", Proxy("2001:db8::1", 8080)),
        ("http://u:p%40ss%3A@p:1", Proxy("p", 1, b"Basic dTpwQHNzOg==")),
        ("u@p:1", Proxy("p", 1, b"Basic dTo=")),
        ("http://", Proxy(problem="its address is not valid")),
        ("http://p:x", Proxy(problem="its address is not valid")),
        ("https://p", Proxy(problem="only http:// proxies can be used")),
        ("socks5://p:1080", Proxy(problem="only http:// proxies can be used")),
    ],
)
def test_the_address_of_a_proxy(url: str, proxy: Proxy) -> None:
    assert Proxies.read({"http_proxy": url}).http == proxy
    assert "dTpw" not in repr(Proxies.read({"http_proxy": url}))


@pytest.mark.parametrize(
    ("rules", "host", "port", "direct"),
    [
        ("example.com", "example.com", 80, True),
        ("example.com", "a.b.Example.COM", 80, True),
        ("example.com", "example.com.", 80, True),
        ("example.com", "notexample.com", 80, False),
        (".example.com", "a.example.com", 80, True),
        (".example.com", "example.com", 80, False),
        ("*.example.com", "a.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("a.test, example.com ,b.test", "example.com", 80, True),
        ("a.test b.test", "b.test", 80, True),
        ("192.0.2.0/24", "192.0.2.77", 80, True),
        ("192.0.2.0/24", "192.0.3.77", 80, False),
        ("192.0.2.7/24", "192.0.2.77", 80, True),
        ("192.0.2.7", "192.0.2.7", 80, True),
        ("192.0.2.7:81", "192.0.2.7", 81, True),
        ("192.0.2.7:81", "192.0.2.7", 80, False),
        ("192.0.2.0/24", "a.example.com", 80, False),
        ("2001:db8::/32", "2001:db8::7", 80, True),
        ("[2001:db8::7]", "2001:db8::7", 80, True),
        ("[2001:db8::7]:81", "2001:db8::7", 81, True),
        ("[2001:db8::7]:81", "2001:db8::7", 80, False),
        ("2001:db8::7", "2001:db8::7", 443, True),
        (",, .", "example.com", 80, False),
        ("*", "example.com", 80, True),
        ("example.com:99999999999", "example.com", 80, False),
        # This machine is never behind a proxy,
        ("", "localhost", 80, True),
        ("", "LOCALHOST", 80, True),
        ("", "api.localhost", 80, True),
        ("", "127.0.0.1", 80, True),
        ("", "127.8.9.1", 80, True),
        ("", "::1", 80, True),
        ("", "::ffff:127.0.0.1", 80, True),
        ("", "notlocalhost", 80, False),
        # unless it is asked for.
        ("<-loopback>", "127.0.0.1", 80, False),
        ("<-loopback>,localhost", "localhost", 80, True),
    ],
)
def test_who_needs_no_proxy(rules: str, host: str, port: int, direct: bool) -> None:
    proxies = Proxies.read({"ALL_PROXY": PROXY, "NO_PROXY": rules})
    for scheme in ("http", "https"):
        assert (proxies.to(Origin(scheme, host, port)) is None) == direct


def test_a_socket_in_the_file_system_is_behind_no_proxy() -> None:
    assert Proxies.read({"ALL_PROXY": PROXY}).to(Origin("unix", "/run/x", 0)) is None


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (HTTP, b"POST http://a.example.com/v1?x HTTP/1.1"),
        (HTTP._replace(port=8080), b"POST http://a.example.com:8080/v1?x HTTP/1.1"),
        (HTTP._replace(host="2001:db8::1"), b"POST http://[2001:db8::1]/v1?x HTTP/1.1"),
    ],
)
def test_a_request_for_a_proxy_has_the_whole_address(origin: Origin, line: bytes) -> None:
    head = b"POST /v1?x HTTP/1.1\r\nhost: a\r\n\r\n"
    assert Forward(origin, Proxy("p", 1)).head(head) == line + b"\r\nhost: a\r\n\r\n"
    signed = Forward(origin, Proxy("p", 1, b"Basic x")).head(head)
    assert signed == line + b"\r\nproxy-authorization: Basic x\r\nhost: a\r\n\r\n"


ANSWERS = {
    "plain": (b"HTTP/1.1 200 Connection established\r\n\r\n", 200),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nvia: x\r\n\r\n", 200),
    "a length that counts for nothing": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
    "an interim response": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
    "no content": (b"HTTP/1.1 204 OK\r\n\r\n", 204),
    "credentials wanted": (b"HTTP/1.1 407 No\r\nproxy-authenticate: Basic\r\ncontent-length: 2\r\n\r\nno", 407),
    "refused": (b"HTTP/1.1 403 No\r\n\r\nsome page\r\nor other", 403),
}


@pytest.mark.parametrize(("text", "status"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_to_connect_is_read_however_it_is_cut(text: bytes, status: int) -> None:
    for size in range(1, len(text) + 1):
        answer = Answer()
        for start in range(0, len(text), size):
            if not answer.complete:
                answer.feed(text[start : start + size])
        assert (answer.complete, answer.status) == (True, status)


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nand more",
        b"HTTP/1.1 200 OK\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\na: %b\r\n\r\n" % (b"x" * 20_000),
    ],
)
def test_what_is_no_answer_to_connect_is_a_failure(text: bytes) -> None:
    answer = Answer()
    with pytest.raises(UpstreamFailure) as caught:
        answer.feed(text)
    assert caught.value.kind is FailureKind.CONNECT
    assert str(caught.value).startswith("the proxy ")


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
        authority = b"upstream.test:%d" % nginx.ports["tls"]
        assert proxy.heads == [
            b"CONNECT %b HTTP/1.1\r\nhost: %b\r\nproxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"
            % (authority, authority)
        ], "the name is the proxy's to resolve, and nothing else reaches it unencrypted"


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
        assert proxy.heads[0].startswith(
            b"POST http://upstream.test:8080/small HTTP/1.1\r\nproxy-authorization: Basic bWU6\r\nhost: upstream.test\r\n"
        )


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
