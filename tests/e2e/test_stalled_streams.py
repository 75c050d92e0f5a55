"""A thousand clients that read nothing: what each costs, and that nobody else notices."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

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
    """An upstream that writes as fast as it is read."""

    port = 0
    streams = 0
    sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.streams += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            for _ in range(EVENTS):
                writer.write(EVENT)
                await writer.drain()
                self.sent += len(EVENT)
            writer.write(END)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # a cancelled handler would be reported on Python 3.11
        finally:
            self.streams -= 1
            writer.close()

    async def stuck(self) -> None:
        """Wait until nothing is taken any more."""
        before = -1
        async with asyncio.timeout(60):
            while before != self.sent or self.streams < STALLED:
                before = self.sent
                await asyncio.sleep(0.5)


@asynccontextmanager
async def flooding() -> AsyncIterator[Flood]:
    flood = Flood()
    listener = socket.create_server(("127.0.0.1", 0), backlog=STALLED)
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDBUF, 16384
    )  # what waits here is not to be taken for the router's
    server = await asyncio.start_server(flood.serve, sock=listener)
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


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "generic"])
async def test_a_thousand_clients_that_read_nothing(
    fast_path: bool, many_files: Callable[[int], None], tmp_path: Path, figure: Figure
) -> None:
    many_files(STALLED)
    async with flooding() as flood:
        with (
            mock_process() as mock,
            router_process(
                settings(
                    deployment(mock, "short"),
                    {"model_name": "long", "provider": "openai", "api_base": f"http://127.0.0.1:{flood.port}/v1"},
                    server={"drain_delay": 0, "drain_seconds": 0, "fast_path": fast_path},
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
            path = "fast" if fast_path else "generic"
            figure(
                f"{path} path, per stalled stream: {held * 1024 / STALLED:.0f} KB resident, "
                f"{kernel:.0f} KB in the kernel; a short stream takes {beside:.1f} ms beside them, {alone:.1f} ms alone"
            )
            assert flood.sent < STALLED * len(EVENT) * EVENTS / 4, "upstream is held back"
            assert held * 1024 / STALLED + kernel < KILOBYTES
            assert later - held < 5, "what stands still does not grow"
            assert beside < 3 * alone + 20, "nobody else is slowed down"
            texts = await asyncio.gather(*(reader.read() for reader, _ in clients[:8]))
            assert {text.count(b'"content":') for text in texts} == {EVENTS}
            assert all(text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for text in texts)
            leaving.close()
            async with asyncio.timeout(20):
                while await asyncio.to_thread(router.in_flight):  # noqa: ASYNC110 - another process does not tell us
                    await asyncio.sleep(0.05)
