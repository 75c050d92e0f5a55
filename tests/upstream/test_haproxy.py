"""Against a real HAProxy: as a server of its own replies, and in front of nginx, over HTTP and TLS."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.dialects.base import WireRequest
from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from tests.upstream.conftest import LARGE, Certificates, Nginx, free_ports
from tests.upstream.scripted import DEPLOYMENT, timing
from tests.upstream.test_nginx import EVENTS, fetch, post
from tests.upstream.test_uploads import Client

pytestmark = pytest.mark.both_loops

FRONTS = ("plain", "tls", "impatient", "closing", "refusing", "down")


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory, nginx: Nginx, certificates: Certificates) -> Iterator[Nginx]:
    """Its ports by name, in the shape of nginx'."""
    folder = tmp_path_factory.mktemp("haproxy")
    ports = dict(zip(FRONTS, free_ports(len(FRONTS)), strict=True))
    pem = "".join(Path(certificates.path(name)).read_text() for name in ("server.pem", "server.key"))
    (folder / "server.pem").write_text(pem)
    nowhere = free_ports(1)[0]
    (folder / "haproxy.cfg").write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout http-keep-alive 20s
frontend plain
    bind 127.0.0.1:{ports["plain"]}
    default_backend nginx
frontend tls
    bind 127.0.0.1:{ports["tls"]} ssl crt {folder}/server.pem
    default_backend nginx
frontend impatient
    bind 127.0.0.1:{ports["impatient"]}
    timeout http-keep-alive 700ms
    http-request return status 200 content-type application/json string "own"
frontend closing
    bind 127.0.0.1:{ports["closing"]}
    option httpclose
    default_backend nginx
frontend refusing
    bind 127.0.0.1:{ports["refusing"]}
    http-request deny deny_status 429
frontend down
    bind 127.0.0.1:{ports["down"]}
    default_backend nowhere
backend nginx
    server nginx 127.0.0.1:{nginx.ports["plain"]}
backend nowhere
    server nowhere 127.0.0.1:{nowhere}
    retries 0
""")
    with (folder / "output").open("wb") as output:
        command = ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    server = Nginx(folder, ports)
    try:
        wait_for(process, server)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def wait_for(process: subprocess.Popen[bytes], server: Nginx) -> None:
    async def answers() -> bool:
        upstream = HttpUpstream()
        try:
            response, _ = await fetch(upstream, post(server.ports["refusing"], "/"))
            return response.status == 429
        except UpstreamFailure:
            return False
        finally:
            await upstream.close()

    for _ in range(500):
        if asyncio.run(answers()):
            return
        assert process.poll() is None, (server.folder / "output").read_text()
        time.sleep(0.01)
    pytest.fail("HAProxy does not answer: " + (server.folder / "output").read_text())


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/small", 200, b"small"),
        ("/empty", 200, b""),
        ("/nothing", 204, b""),
        ("/slow_down", 429, b"slow down"),
        ("/large", 200, LARGE),
        ("/chunked", 200, LARGE),
        ("/events", 200, EVENTS),
        ("/missing", 404, None),
    ],
)
@pytest.mark.parametrize("name", ["plain", "tls", "closing"])
async def test_every_kind_of_reply(
    haproxy: Nginx, certificates: Certificates, path: str, status: int, body: bytes | None, name: str
) -> None:
    upstream = HttpUpstream()
    tls = certificates.trusting if name == "tls" else None
    for _ in range(3):
        response, received = await fetch(upstream, post(haproxy.ports[name], path, tls=tls))
        assert response.status == status
        assert body is None or received == body
    assert upstream.counters.opened == (3 if name == "closing" else 1)
    assert upstream.counters.replaced == 0
    await upstream.close()


async def test_a_body_until_the_connection_closes_comes_through_whole(haproxy: Nginx) -> None:
    upstream = HttpUpstream()
    for _ in range(3):
        _, body = await fetch(upstream, post(haproxy.ports["plain"], "/until_close"))
        assert body == LARGE
    await upstream.close()


async def test_many_at_once(haproxy: Nginx) -> None:
    upstream = HttpUpstream(max_open=7)

    async def several() -> None:
        for path, body in (("/small", b"small"), ("/chunked", LARGE), ("/events", EVENTS)) * 3:
            _, received = await fetch(upstream, post(haproxy.ports["plain"], path))
            assert received == body

    await asyncio.gather(*(several() for _ in range(20)))
    assert upstream.counters.opened == 7
    assert upstream.counters.waited > 0
    await upstream.close()


async def test_its_impatience_is_learned(haproxy: Nginx) -> None:
    upstream = HttpUpstream()
    wire = post(haproxy.ports["impatient"], "/")
    for _ in range(2):
        _, body = await fetch(upstream, wire)
        assert body == b"own"
        await asyncio.sleep(1.0)
    closed = upstream.counters.closed
    assert closed[CloseReason.SERVER] == 1, "the first connection was closed by the server,"
    assert closed[CloseReason.EXPIRED] == 1, "and the second one by us, before the server could"
    await upstream.close()


async def test_its_own_errors_are_replies(haproxy: Nginx) -> None:
    upstream = HttpUpstream()
    for name, status in (("refusing", 429), ("down", 503)):
        response, body = await fetch(upstream, post(haproxy.ports[name], "/small"))
        assert response.status == status
        assert b"<html>" in body
    await upstream.close()


@pytest.mark.parametrize("length", [900_000, None])
async def test_a_streamed_request_arrives_whole(haproxy: Nginx, length: int | None) -> None:
    upstream = HttpUpstream()
    for _ in range(3):
        source = Client(*[b"x" * 30_000] * 30, length=length)
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        head = b"POST /small HTTP/1.1\r\nhost: upstream.test\r\n%b\r\n\r\n" % framing
        wire = WireRequest(post(haproxy.ports["plain"], "/").origin, head, b"", DEPLOYMENT, source)
        response = await upstream.send(wire, timing(20))
        assert (response.status, response.body) == (200, b"small")
    await upstream.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_tls_is_verified_and_resumed(haproxy: Nginx, certificates: Certificates, host: str) -> None:
    upstream = HttpUpstream()
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(upstream, post(haproxy.ports["tls"], "/small", host=host, tls=TLS()))
    assert caught.value.kind is FailureKind.CONNECT
    seen = []
    for _ in range(3):
        await fetch(upstream, post(haproxy.ports["tls"], "/small", host=host, tls=certificates.trusting))
        (connection,) = upstream.pool
        assert connection._transport is not None
        seen.append(connection._transport.get_extra_info("ssl_object").session_reused)
        connection.expired()
    assert seen == [False, True, True]
    await upstream.close()
