"""The server's manners: keep-alive, cancellation, what it counts and remembers, its control paths."""

from __future__ import annotations

import asyncio

import pytest

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.mock.raw import CHAT, HI, ask, connect, request

SLOW = Behaviour(tokens_per_second=20, output_tokens=10_000)
STREAM = HI | {"stream": True}

pytestmark = pytest.mark.both_loops


async def test_replies_share_a_connection() -> None:
    async with MockServer() as server:
        client = await connect(server)
        for body in (HI, STREAM, HI):
            seen = await client.ask(CHAT, body)
            assert (seen.status, seen.complete) == (200, True)
        await client.close()
        assert (server.accepted, server.started, server.completed) == (1, 3, 3)


async def test_connection_close_is_obeyed_and_announced() -> None:
    async with MockServer() as server:
        client = await connect(server)
        seen = await client.ask(CHAT, STREAM, headers="connection: close\r\n")
        assert seen.complete
        assert seen.headers["connection"] == "close"
        assert await client.reader.read() == b""
        await client.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with MockServer(Behaviour(script=("ok", "503", "ok"))) as server:
        client = await connect(server)
        client.writer.write(b"".join(request(CHAT, body) for body in (STREAM, HI, STREAM)))
        text = b""
        while text.count(b"HTTP/1.1") < 3 or not text.endswith(b"0\r\n\r\n"):
            text += await client.reader.read(65536)
        assert [part[:3] for part in text.split(b"HTTP/1.1 ")[1:]] == [b"200", b"503", b"200"]
        await client.close()


async def test_a_request_may_come_byte_by_byte() -> None:
    async with MockServer() as server:
        client = await connect(server)
        for byte in request(CHAT + "?api-version=1", HI):
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.receive()).status == 200
        await client.close()
        assert server.requests[0].path == CHAT


async def test_bytes_that_are_no_request_get_a_400_and_a_closed_connection() -> None:
    async with MockServer() as server:
        client = await connect(server)
        client.writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
        seen = await client.receive()
        assert (seen.status, seen.headers["connection"]) == (400, "close")
        await client.close()


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async with MockServer() as server:
        client = await connect(server)
        head, _, body = request(CHAT, HI, headers="expect: 100-continue\r\n").partition(b"\r\n\r\n")
        client.writer.write(head + b"\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(body)
        assert (await client.receive()).status == 200
        await client.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_closing_in_the_middle_of_a_stream_is_noticed_within_100_ms(reset: bool) -> None:
    async with MockServer(SLOW) as server:
        client = await connect(server)
        client.send(CHAT, STREAM)
        await client.reader.readuntil(b"Hello")
        assert (server.in_flight, server.cancelled) == (1, 0)
        loop = asyncio.get_running_loop()
        closed = loop.time()
        if reset:
            client.writer.transport.abort()
        else:
            client.writer.close()
        await server.until(lambda s: s.cancelled == 1)
        assert loop.time() - closed < 0.1
        assert (server.started, server.completed, server.in_flight) == (1, 0, 0)
        await client.close()


async def test_a_client_closing_before_the_first_token_is_noticed() -> None:
    async with MockServer(Behaviour(time_to_first_token=60)) as server:
        client = await connect(server)
        client.send(CHAT, HI)
        await server.until(lambda s: s.in_flight == 1)
        await client.close()
        async with asyncio.timeout(0.1):
            await server.until(lambda s: s.cancelled == 1)


LARGE = Behaviour(reply="word " * 5_000, tokens_per_second=25_000)  # some 700 KB, in no less than 0.2 s


async def test_a_slow_reader_gets_a_large_stream_whole() -> None:
    async with MockServer(LARGE) as server:
        client = await connect(server)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(CHAT, STREAM)
        await server.until(lambda s: s.started == 1)
        await asyncio.sleep(0.05)
        assert server.in_flight == 1
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        seen = await client.receive()
        assert seen.complete
        assert seen.body.count(b'"content":"') == 5_001
        await client.close()


async def test_a_client_that_stops_reading_and_goes_is_noticed() -> None:
    async with MockServer(LARGE) as server:
        client = await connect(server)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(CHAT, STREAM)
        await server.until(lambda s: s.started == 1)
        await asyncio.sleep(0.05)
        client.writer.transport.abort()
        async with asyncio.timeout(1.0):
            await server.until(lambda s: s.cancelled == 1)
        await client.close()


async def test_hundreds_of_pipelined_requests_in_one_read_are_all_answered() -> None:
    async with MockServer() as server:
        client = await connect(server)
        client.writer.write(request("/health") * 1000)
        text = b""
        while text.count(b"HTTP/1.1 200") < 1000:
            text += await client.reader.read(65536)
        await client.close()


async def test_concurrency_is_counted() -> None:
    async with MockServer(Behaviour(time_to_first_token=0.05)) as server:
        await asyncio.gather(*(ask(server, CHAT, HI) for _ in range(20)))
        assert (server.max_in_flight, server.in_flight, server.completed) == (20, 0, 20)


async def test_2000_streams_run_at_once() -> None:
    async with MockServer(Behaviour(time_to_first_token=4.0, tokens_per_second=50, output_tokens=10)) as server:
        seen = await asyncio.gather(*(ask(server, CHAT, STREAM) for _ in range(2000)))
        assert all(reply.complete and reply.body.endswith(b"data: [DONE]\n\n") for reply in seen)
        assert server.max_in_flight == 2000
        assert (server.completed, server.cancelled) == (2000, 0)


async def test_requests_are_remembered_as_they_came() -> None:
    async with MockServer() as server:
        await ask(server, CHAT, HI, headers="Authorization: Bearer k\r\nX-Team: search\r\n")
        (request,) = server.requests
        assert (request.method, request.path) == ("POST", CHAT)
        assert request.headers["authorization"] == "Bearer k"
        assert request.headers["x-team"] == "search"
        assert b"say hi" in request.body


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_everything_is_served_with_and_without_v1(prefix: str) -> None:
    async with MockServer() as server:
        for path, body in [
            ("/chat/completions", HI),
            ("/completions", {"model": "m", "prompt": "a"}),
            ("/embeddings", {"model": "m", "input": "a"}),
            ("/models", None),
            ("/health", None),
        ]:
            assert (await ask(server, prefix + path, body)).status == 200, path


@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("POST", "/v1/nothing"), ("GET", "/"), ("GET", "/mock/x")])
async def test_an_unknown_path_is_a_404_in_openais_shape(method: str, path: str) -> None:
    async with MockServer() as server:
        seen = await ask(server, path, HI if method == "POST" else None, method=method)
        assert seen.status == 404
        assert f"{method} {path}" in seen.json()["error"]["message"]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 401),
        ("authorization: Bearer wrong\r\n", 401),
        ("authorization: Bearer k1\r\n", 200),
        ("api-key: k1\r\n", 200),
    ],
)
async def test_a_required_key_is_checked_everywhere_but_for_health(header: str, status: int) -> None:
    async with MockServer(api_key="k1") as server:
        assert (await ask(server, CHAT, HI, headers=header)).status == status
        assert (await ask(server, "/v1/models", headers=header)).status == status
        assert (await ask(server, "/health", headers=header)).status == 200


async def test_health_says_what_the_behaviour_says() -> None:
    async with MockServer(Behaviour(healthy=False)) as server:
        assert (await ask(server, "/health")).status == 503


async def test_the_control_paths_show_and_change_a_running_server() -> None:
    async with MockServer() as server:
        changed = await ask(server, "/mock/behaviour", {"script": [503], "retry_after": 2}, method="PUT")
        assert changed.json()["script"] == ["503"]
        assert (await ask(server, CHAT, HI)).headers["retry-after"] == "2"
        stats = (await ask(server, "/mock/stats")).json()
        assert (stats["started"], stats["completed"], stats["in_flight"]) == (1, 1, 0)
        assert stats["behaviour"]["retry_after"] == 2
        (remembered,) = (await ask(server, "/mock/requests")).json()
        assert "say hi" in remembered["body"]
        again = (await ask(server, "/mock/reset", method="POST")).json()
        assert (again["started"], again["behaviour"]["script"]) == (0, [])
        assert not server.requests


@pytest.mark.parametrize("changes", [{"script": ["sleep"]}, {"colour": 1}, [1], {"failure_rate": "all"}])
async def test_a_behaviour_that_cannot_be_played_changes_nothing(changes: object) -> None:
    async with MockServer() as server:
        before = server.behaviour
        seen = await ask(server, "/mock/behaviour", changes, method="PUT")
        assert (seen.status, server.behaviour) == (400, before)


async def test_stopping_closes_what_is_under_way_and_frees_the_port() -> None:
    server = MockServer(Behaviour(script=("hang",)))
    port = await server.start()
    client = await connect(server)
    client.send(CHAT, HI)
    await server.until(lambda s: s.in_flight == 1)
    await server.stop()
    assert (server.in_flight, server.open_connections) == (0, 0)
    assert not (await client.receive()).raw
    await client.close()
    assert await server.start(port=port) == port
    await server.stop()
