"""Against a real HAProxy: what it does that others do not. The rest is in `test_real_servers.py`."""

from __future__ import annotations

import asyncio

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from tests.certificates import Certificates
from tests.upstream.asking import fetch, post
from tests.upstream.conftest import Nginx

pytestmark = pytest.mark.both_loops


async def test_connection_close_is_honoured(haproxy: Nginx) -> None:
    upstream = HttpUpstream()
    for _ in range(3):
        _, body = await fetch(upstream, post(haproxy.ports["closing"], "/small"))
        assert body == b"small"
    assert (upstream.counters.opened, upstream.counters.replaced) == (3, 0)
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
