"""Against a real nginx: what is told by its counters, and its TLS. The rest is in `test_real_servers.py`."""

from __future__ import annotations

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.upstream.client import HttpUpstream
from router.upstream.framing import Limits
from tests.certificates import Certificates
from tests.upstream.asking import fetch, post
from tests.upstream.conftest import EVENTS, LARGE, Nginx

pytestmark = pytest.mark.both_loops


async def test_a_hundred_requests_share_one_connection(nginx: Nginx) -> None:
    upstream = HttpUpstream()
    before = nginx.connections()
    for _ in range(100):
        response, body = await fetch(upstream, post(nginx.ports["plain"], "/small"))
        assert (response.status, body, response.headers[b"content-length"]) == (200, b"small", b"5")
    assert nginx.connections() - before == 2, "ours, and the one that asks"
    assert (upstream.counters.opened, upstream.counters.reused) == (1, 99)
    await upstream.close()


@pytest.mark.parametrize("name", ["no_keepalive", "three_requests"])
async def test_connection_close_is_honoured(nginx: Nginx, name: str) -> None:
    upstream = HttpUpstream()
    for _ in range(9):
        for path, body in (("/small", b"small"), ("/chunked", LARGE), ("/events", EVENTS)):
            _, received = await fetch(upstream, post(nginx.ports[name], path))
            assert received == body
    assert upstream.counters.opened == (27 if name == "no_keepalive" else 9)
    assert upstream.counters.replaced == 0
    await upstream.close()


async def test_a_large_request_arrives_whole(nginx: Nginx) -> None:
    upstream = HttpUpstream()
    _, body = await fetch(upstream, post(nginx.ports["plain"], "/small", b"x" * 900_000))
    assert body == b"small"
    _, body = await fetch(upstream, post(nginx.ports["plain"], "/small"))
    assert upstream.counters.reused == 1
    await upstream.close()


async def test_an_early_reply_to_a_request_too_large_is_the_reply(nginx: Nginx) -> None:
    upstream = HttpUpstream()
    for _ in range(5):
        response, _ = await fetch(upstream, post(nginx.ports["small_bodies"], "/small", b"x" * 20_000_000))
        assert response.status == 413
    assert upstream.counters.opened == 5, "no connection carries half a request and then another"
    await upstream.close()


async def test_a_body_past_the_limit_is_refused(nginx: Nginx) -> None:
    upstream = HttpUpstream(limits=Limits(body=len(LARGE) - 1))
    for path in ("/large", "/chunked", "/until_close"):
        with pytest.raises(UpstreamFailure) as caught:
            await fetch(upstream, post(nginx.ports["plain"], path))
        assert caught.value.kind is FailureKind.PROTOCOL
    await upstream.close()


async def test_a_compressed_reply_that_nobody_asked_for_is_refused(nginx: Nginx) -> None:
    upstream = HttpUpstream()
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(upstream, post(nginx.ports["plain"], "/gzip"))
    assert caught.value.kind is FailureKind.PROTOCOL
    await upstream.close()


async def test_plain_text_on_a_tls_port_is_an_error_of_the_server_s(nginx: Nginx) -> None:
    upstream = HttpUpstream()
    response, _ = await fetch(upstream, post(nginx.ports["tls"], "/small"))
    assert response.status == 400
    await upstream.close()


@pytest.mark.parametrize(
    ("name", "host", "tls", "message"),
    [
        ("tls_selfsigned", "localhost", TLS(ca_file="ca.pem"), "certificate not accepted: self-signed certificate"),
        ("tls", "localhost", TLS(), "certificate not accepted: unable to get local issuer certificate"),
        ("tls", "localhost", TLS("ca.pem", server_name="other.test"), "certificate not accepted: hostname mismatch"),
        ("tls", "127.0.0.2", TLS("ca.pem"), "connection refused"),
        ("plain", "localhost", TLS("ca.pem"), "TLS handshake failed: wrong version number"),
        ("tls_old", "localhost", TLS("ca.pem"), "TLS handshake failed: "),
    ],
)
async def test_what_cannot_be_verified_is_a_failure_to_connect(
    nginx: Nginx, certificates: Certificates, name: str, host: str, tls: TLS, message: str
) -> None:
    upstream = HttpUpstream()
    if tls.ca_file:
        tls = TLS(certificates.path(tls.ca_file), server_name=tls.server_name)
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(upstream, post(nginx.ports[name], "/small", host=host, tls=tls))
    assert caught.value.kind is FailureKind.CONNECT
    assert str(caught.value).startswith(message)
    assert (upstream.counters.opened, upstream.counters.not_opened) == (0, 1)
    assert repr(upstream.pool) == "<Pool empty>"
    await upstream.close()


@pytest.mark.parametrize(
    ("host", "server_name"), [("127.0.0.1", None), ("localhost", None), ("127.0.0.1", "upstream.test")]
)
async def test_a_certificate_is_good_for_its_names_and_addresses(
    nginx: Nginx, certificates: Certificates, host: str, server_name: str | None
) -> None:
    upstream = HttpUpstream()
    tls = TLS(certificates.path("ca.pem"), server_name=server_name)
    for _ in range(3):
        _, body = await fetch(upstream, post(nginx.ports["tls"], "/small", host=host, tls=tls))
        assert body == b"small"
    assert upstream.counters.opened == 1
    await upstream.close()


async def test_a_client_certificate_is_shown_where_there_is_one(nginx: Nginx, certificates: Certificates) -> None:
    upstream = HttpUpstream()
    ca, cert, key = (certificates.path(name) for name in ("ca.pem", "client.pem", "client.key"))
    with_one = post(nginx.ports["tls_client"], "/small", tls=TLS(ca, cert, key))
    without = post(nginx.ports["tls_client"], "/small", tls=TLS(ca))
    response, _ = await fetch(upstream, with_one)
    assert response.status == 200
    response, _ = await fetch(upstream, without)
    assert response.status == 400, "the connection of the one with a certificate is not the other's"
    assert upstream.counters.opened == 2
    await upstream.close()


@pytest.mark.parametrize("path", ["/small", "/chunked", "/until_close", "/events"])
async def test_tls_with_an_orderly_end(nginx: Nginx, certificates: Certificates, path: str) -> None:
    upstream = HttpUpstream()
    bodies = {"/small": b"small", "/events": EVENTS}
    for _ in range(3):
        wire = post(nginx.ports["tls_no_keepalive"], path, tls=certificates.trusting)
        _, body = await fetch(upstream, wire)
        assert body == bodies.get(path, LARGE)
    assert upstream.counters.opened == 3
    await upstream.close()
