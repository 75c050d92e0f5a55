"""Every failure step as a bare socket client sees it."""

from __future__ import annotations

import asyncio

import pytest

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.mock.raw import CHAT, HI, ask, connect

STREAM = HI | {"stream": True}

pytestmark = pytest.mark.both_loops


@pytest.mark.parametrize("body", [HI, STREAM])
async def test_reset_sends_no_byte_and_resets_the_connection(body: object) -> None:
    async with MockServer(Behaviour(script=("reset",))) as server:
        seen = await ask(server, CHAT, body)
        assert (seen.raw, seen.reset) == (b"", True)
        assert (server.completed, server.cancelled, server.in_flight) == (1, 0, 0)


@pytest.mark.parametrize("body", [HI, STREAM])
async def test_garbage_is_no_http(body: object) -> None:
    async with MockServer(Behaviour(script=("garbage",))) as server:
        seen = await ask(server, CHAT, body)
        assert seen.garbage
        assert not seen.raw.startswith(b"HTTP/")


async def test_truncate_closes_halfway_through_the_promised_length() -> None:
    async with MockServer(Behaviour(script=("truncate",))) as server:
        seen = await ask(server, CHAT, HI)
        assert (seen.status, seen.complete, seen.reset) == (200, False, False)
        assert 0 < len(seen.body) < int(seen.headers["content-length"])


async def test_truncate_closes_a_stream_without_its_terminator() -> None:
    async with MockServer(Behaviour(script=("truncate",))) as server:
        seen = await ask(server, CHAT, STREAM)
        assert (seen.status, seen.complete, seen.reset) == (200, False, False)
        assert seen.body.count(b'"delta":{"content":') == 3
        assert not seen.raw.endswith(b"0\r\n\r\n")
        assert b"[DONE]" not in seen.body


@pytest.mark.parametrize("body", [HI, STREAM])
async def test_hang_never_answers_and_ends_when_the_client_goes(body: object) -> None:
    async with MockServer(Behaviour(script=("hang",))) as server:
        client = await connect(server)
        client.send(CHAT, body)
        await server.until(lambda s: s.in_flight == 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.receive(), 0.02)
        await client.close()
        await server.until(lambda s: s.cancelled == 1)
        assert (server.started, server.completed, server.in_flight) == (1, 0, 0)


@pytest.mark.parametrize("body", [HI, STREAM])
async def test_stall_sends_half_and_keeps_the_connection_open(body: object) -> None:
    async with MockServer(Behaviour(script=("stall",))) as server:
        client = await connect(server)
        client.send(CHAT, body)
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        await client.reader.readuntil(b"Hello" if body is STREAM else b'"id"')
        assert server.in_flight == 1
        await client.close()
        await server.until(lambda s: s.cancelled == 1)


@pytest.mark.parametrize("step", ["400-context", "401", "404", "429", "429-quota", "500", "503", "529"])
async def test_an_error_status_keeps_the_connection_alive(step: str) -> None:
    async with MockServer(Behaviour(script=(step, "ok"))) as server:
        client = await connect(server)
        failed = await client.ask(CHAT, STREAM)
        assert failed.status == int(step[:3])
        assert set(failed.json()) == {"error"}
        assert ("retry-after" in failed.headers) == (step == "429")
        assert (await client.ask(CHAT, HI)).status == 200
        await client.close()


async def test_steps_come_in_the_scripts_order_over_all_connections() -> None:
    async with MockServer(Behaviour(script=("ok", "503", "429"))) as server:
        statuses = [(await ask(server, CHAT, HI)).status for _ in range(6)]
        assert statuses == [200, 503, 429] * 2


async def test_a_new_behaviour_holds_from_the_next_request_on_and_starts_its_script_anew() -> None:
    async with MockServer(Behaviour(script=("503", "500"))) as server:
        assert (await ask(server, CHAT, HI)).status == 503
        server.behaviour = Behaviour(script=("ok", "429"))
        assert (await ask(server, CHAT, HI)).status == 200
        assert (await ask(server, CHAT, HI)).status == 429
