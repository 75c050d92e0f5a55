"""A thousand clients that read nothing: what each costs, and that nobody else notices."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.certificates import Certificates
from tests.e2e.conftest import Figure
from tests.e2e.processes import Router, deployment, mock_process, router_process, settings

STALLED = 1_000
KILOBYTES = 256
"""What one stalled stream may cost, the kernel's buffers for it included."""

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 4000)
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
EVENTS = 1_000  # 4 MB in each stream
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"


class Flood:
    """An upstream that writes as fast as it is read; in `chunks`, after a few events that come one by one."""

    def __init__(self, chunks: bool) -> None:
        self.chunks = chunks
        self.port = self.streams = self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.streams += 1
        writer.transport.set_write_buffer_limits(high=65536)  # over TLS it would be 512 KB
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n")
            writer.write(b"transfer-encoding: chunked\r\n\r\n" if self.chunks else b"\r\n")
            for count in range(EVENTS):
                if self.chunks and count < 4:
                    await asyncio.sleep(0.2)
                writer.write(self.framed(EVENT))
                await writer.drain()
                self.sent += len(EVENT)
            writer.write(self.framed(END))
            if self.chunks:
                writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # a cancelled handler would be reported on Python 3.11
        finally:
            self.streams -= 1
            writer.close()

    def framed(self, content: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(content), content) if self.chunks else content

    async def stuck(self) -> None:
        """Wait until nothing is taken any more."""
        before = -1
        async with asyncio.timeout(60):
            while before != self.sent or self.streams < STALLED:
                before = self.sent
                await asyncio.sleep(0.5)


@asynccontextmanager
async def flooding(chunks: bool, tls: ssl.SSLContext | None) -> AsyncIterator[Flood]:
    flood = Flood(chunks)
    listener = socket.create_server(("127.0.0.1", 0), backlog=STALLED)
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDBUF, 16384
    )  # what waits here is not to be taken for the router's
    server = await asyncio.start_server(flood.serve, sock=listener, ssl=tls)
    flood.port = listener.getsockname()[1]
    try:
        yield flood
    finally:
        server.close()


async def ask(router: Router, model: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", router.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    writer.write(HEAD % len(body) + body)
    return reader, writer


async def milliseconds(router: Router, times: int = 100) -> float:
    """How long a short stream takes, by the median."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        reader, writer = await ask(router, "short")
        assert (await reader.read()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        taken.append(time.perf_counter() - began)
        writer.close()
    return statistics.median(taken) * 1000


def kernel_kilobytes(router: Router, flood: Flood) -> float:
    """What waits in the kernel on the router's sockets, towards the clients and from upstream."""
    held = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if int(local.partition(":")[2], 16) == router.port or int(remote.partition(":")[2], 16) == flood.port:
            held += sum(int(queue, 16) for queue in queues.split(":"))
    return held / 1024


class Kind(NamedTuple):
    fast_path: bool = True
    chunks: bool = False
    tls: bool = False
    more: int = 0
    """Kilobytes that it may cost beyond."""


KINDS = {
    "fast": Kind(),
    "fast, in chunks": Kind(chunks=True, more=64),  # one read of all that was there, and a window that grew by it
    "fast, TLS": Kind(tls=True, more=32),  # OpenSSL's own, and a read of ciphertext
    "generic": Kind(fast_path=False),
}


@pytest.mark.parametrize("name", KINDS)
async def test_a_thousand_clients_that_read_nothing(
    name: str, many_files: Callable[[int], None], tmp_path: Path, figure: Figure, certificates: Certificates
) -> None:
    kind = KINDS[name]
    many_files(STALLED)
    tls, scheme, trusting = None, "http", {}
    if kind.tls:
        tls, scheme, trusting = (
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            "https",
            {"ca_file": certificates.path("ca.pem")},
        )
        tls.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    async with flooding(kind.chunks, tls) as flood:
        base = f"{scheme}://127.0.0.1:{flood.port}/v1"
        with (
            mock_process() as mock,
            router_process(
                settings(
                    deployment(mock, "short"),
                    {"model_name": "long", "provider": "openai", "api_base": base, "tls": trusting},
                    server={"drain_delay": 0, "drain_seconds": 0, "fast_path": kind.fast_path},
                ),
                tmp_path,
            ) as router,
            ExitStack() as leaving,
        ):
            await milliseconds(router)
            alone = await milliseconds(router)
            empty = router.resident_megabytes()
            clients = [await ask(router, "long") for _ in range(STALLED)]
            for _, writer in clients:
                leaving.callback(writer.close)
            await flood.stuck()
            held = router.resident_megabytes() - empty
            kernel = kernel_kilobytes(router, flood) / STALLED
            beside = await milliseconds(router)
            later = router.resident_megabytes() - empty
            figure(
                f"{name}, per stalled stream: {held * 1024 / STALLED:.0f} KB resident, "
                f"{kernel:.0f} KB in the kernel; a short stream takes {beside:.1f} ms beside them, {alone:.1f} ms alone"
            )
            assert flood.sent < STALLED * len(EVENT) * EVENTS / 4, "upstream is held back"
            assert held * 1024 / STALLED + kernel < KILOBYTES + kind.more
            assert later - held < 5, "what stands still does not grow"
            assert beside < 3 * alone + 20, "nobody else is slowed down"
            texts = await asyncio.gather(*(reader.read() for reader, _ in clients[:8]))
            assert {text.count(b'"content":') for text in texts} == {EVENTS}
            assert all(text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for text in texts)
            leaving.close()
            async with asyncio.timeout(20):
                while await asyncio.to_thread(router.in_flight):  # noqa: ASYNC110 - another process does not tell us
                    await asyncio.sleep(0.05)
