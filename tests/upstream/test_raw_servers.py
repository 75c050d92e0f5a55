"""Against servers of a few lines, for what no decent server does: truncation over TLS, resets, bad timing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.dialects.base import Origin, WireRequest
from router.upstream.client import HttpUpstream
from tests.certificates import Certificates
from tests.upstream.scripted import DEPLOYMENT, timing, whole

pytestmark = pytest.mark.both_loops

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


@contextmanager
def server(serve: Callable[[socket.socket], None], connections: int = 1) -> Iterator[int]:
    """A thread that serves connections one after the other, and closes each."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def run() -> None:
        for _ in range(connections):
            connection, _ = listener.accept()
            connection.settimeout(20)
            with connection:
                serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


def wire(port: int, tls: TLS | None = None, body: bytes = b"{}") -> WireRequest:
    origin = Origin("https", "localhost", port, tls) if tls else Origin("http", "127.0.0.1", port)
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
    return WireRequest(origin, head, body, DEPLOYMENT)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def fetch(upstream: HttpUpstream, request: WireRequest) -> bytes:
    return await whole(await upstream.send(request, timing(20)))


@pytest.mark.parametrize("head", [HEAD, EVENTS])
@pytest.mark.parametrize("orderly", [True, False])
async def test_over_tls_a_body_until_the_end_is_whole_only_if_the_server_says_goodbye(
    certificates: Certificates, head: bytes, orderly: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as secure:
            secure.recv(65536)
            secure.sendall(head + b"half")
            if orderly:
                try:
                    secure.unwrap()
                except OSError:
                    pass  # the client may close without an answer
            # Without `unwrap` the socket just closes: anybody on the way could have cut it.

    with server(serve) as port:
        upstream = HttpUpstream()
        if orderly:
            assert await fetch(upstream, wire(port, certificates.trusting)) == b"half"
        else:
            with pytest.raises(UpstreamFailure) as caught:
                await fetch(upstream, wire(port, certificates.trusting))
            assert caught.value.kind is FailureKind.DISCONNECTED
        await upstream.close()


@pytest.mark.parametrize("head", [HEAD, EVENTS])
async def test_a_reset_is_never_an_orderly_end(head: bytes) -> None:
    received = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head + b"half")
        received.wait(20)
        reset(connection)

    with server(serve) as port:
        upstream = HttpUpstream()
        task = asyncio.create_task(fetch(upstream, wire(port)))
        while not any(connection._reader.head for connection in upstream.pool):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0)
        received.set()
        with pytest.raises(UpstreamFailure) as caught:
            await task
        assert caught.value.kind is FailureKind.DISCONNECTED
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        await upstream.close()


async def test_an_early_reply_survives_the_reset_that_follows_it() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
        # Closing with the request unread resets the connection.

    for _ in range(5):
        with server(serve) as port:
            upstream = HttpUpstream()
            response = await upstream.send(wire(port, body=b"x" * 30_000_000), timing(20))
            assert (response.status, response.body) == (413, b"big")
            assert repr(upstream.pool) == "<Pool empty>"
            await upstream.close()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_server_that_closes_idle_connections_costs_no_request(how: str) -> None:
    closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        if how == "reset":
            reset(connection)
        else:
            connection.shutdown(socket.SHUT_WR)
        closed.set()

    with server(serve, connections=10) as port:
        upstream = HttpUpstream()
        for _ in range(10):
            closed.clear()
            assert await fetch(upstream, wire(port)) == b"ok"
            closed.wait(20)  # blocks the loop: the next request goes out before the end has been seen
        assert upstream.counters.opened == 10
        await upstream.close()


async def test_a_server_that_closes_on_the_second_request_costs_none() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        connection.recv(65536)

    with server(serve, connections=2) as port:
        upstream = HttpUpstream()
        assert await fetch(upstream, wire(port)) == b"ok"
        assert await fetch(upstream, wire(port)) == b"ok"
        assert (upstream.counters.reused, upstream.counters.replaced, upstream.counters.opened) == (1, 1, 2)
        await upstream.close()
