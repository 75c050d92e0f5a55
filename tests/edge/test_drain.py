"""Leaving without losing a request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from router.dialects.mock.behaviour import Behaviour
from router.edge.generic_exchange import GenericExchange
from router.mock.server import MockServer
from tests.edge.house import House, Open, group, nothing_left_of, open_house, remote
from tests.edge.upstreams import HEAD, upstream
from tests.edge.wire import CHAT, HI, STREAM, request

pytestmark = pytest.mark.both_loops

STALLED = Behaviour(script=("stall",))
CONTENT = b'"content":"Hello'


async def leaving(router: House) -> asyncio.Task[None]:
    """The router has been told to stop, and has begun to."""
    task = asyncio.create_task(router.stop())
    await asyncio.sleep(0)
    return task


async def test_during_the_delay_it_is_not_ready_but_serves_and_says_goodbye(house: Open) -> None:
    async with house(drain_delay=0.2) as router:
        old = await router.connect()
        assert (await old.ask("/health/ready")).status == 200
        stopping = await leaving(router)
        seen = await router.ask("/health/ready")
        assert (seen.status, seen.json()) == (503, {"status": "draining"})
        assert (await router.ask("/health/live")).status == 200
        for body in (HI, STREAM):
            seen = await router.ask(CHAT, body)
            assert (seen.status, seen.complete, seen.headers["connection"]) == (200, True, "close")
        seen = await old.ask(CHAT, HI)
        assert (seen.status, seen.headers["connection"]) == (200, "close")
        assert await old.is_closed()
        assert not stopping.done()
        await stopping


async def test_idle_connections_are_closed_and_new_ones_refused(house: Open) -> None:
    async with house() as router:
        before = asyncio.all_tasks()
        fresh = await router.connect()
        used = await router.connect()
        await used.ask(CHAT, HI)
        page = await router.connect()
        await page.ask("/health")
        await (await leaving(router))
        for client in (fresh, used, page):
            assert await client.is_closed()
        with pytest.raises(ConnectionRefusedError):
            await router.connect()
        await nothing_left_of(before)


async def test_idle_connections_are_closed_while_others_are_still_served(house: Open) -> None:
    async with MockServer(STALLED) as mock, house(group(remote("d", mock)), drain_seconds=30) as router:
        busy, idle, used = [await router.connect() for _ in range(3)]
        await used.ask("/health")
        busy.writer.write(request(CHAT, STREAM))
        await busy.all_until(CONTENT)
        stopping = await leaving(router)
        assert await idle.is_closed()
        assert await used.is_closed()
        assert not stopping.done()
        busy.reset()
        await asyncio.wait_for(stopping, 2)


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_what_is_under_way_finishes(house: Open, body: dict[str, object]) -> None:
    slow = Behaviour(tokens_per_second=50, output_tokens=15)
    async with MockServer(slow) as mock, house(group(remote("d", mock)), drain_seconds=30) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, body))
        await mock.until(lambda server: server.in_flight == 1)
        stopping = await leaving(router)
        seen = await client.receive()
        assert (seen.status, seen.complete) == (200, True)
        assert body is HI or seen.body.endswith(b"data: [DONE]\n\n")
        await asyncio.wait_for(stopping, 1)
        assert await client.is_closed()


async def test_a_stream_that_takes_longer_than_the_drain_ends_with_an_error(house: Open) -> None:
    async with MockServer(STALLED) as mock, house(group(remote("d", mock)), drain_seconds=0.05) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, STREAM))
        await client.all_until(CONTENT)
        stopping = await leaving(router)
        rest = await client.reader.read()
        assert b"[DONE]" not in rest
        assert b'\ndata: {"error":{' in rest
        assert b'"code":"shutting_down"' in rest
        assert rest.endswith(b"\n\n\r\n0\r\n\r\n")
        await stopping
        await mock.until(lambda server: server.cancelled == 1)


async def test_any_other_request_that_takes_longer_is_a_503_that_may_be_tried_again(house: Open) -> None:
    async with (
        MockServer(Behaviour(script=("hang",))) as mock,
        house(group(remote("d", mock)), drain_seconds=0.05) as router,
    ):
        for body in (HI, STREAM):
            (await router.connect()).writer.write(request(CHAT, body))
        await mock.until(lambda server: server.in_flight == 2)
        began = asyncio.get_running_loop().time()
        stopping = await leaving(router)
        for client in router.clients:
            seen = await client.receive()
            assert (seen.status, seen.error()["code"]) == (503, "shutting_down")
            assert seen.headers["x-should-retry"] == "true"
        await stopping
        assert asyncio.get_running_loop().time() - began < 0.8
        await mock.until(lambda server: server.cancelled == 2)
        assert {line["status"] for line in await router.log_lines()} == {503}


async def test_a_client_that_sends_its_body_slowly_does_not_hold_it_up(house: Open) -> None:
    async with house(drain_seconds=0.05) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, HI)[:-5])
        await router.until_in_flight(1)
        async with asyncio.timeout(2):
            await (await leaving(router))


async def test_a_client_that_does_not_read_does_not_hold_it_up(house: Open) -> None:
    flood = Behaviour(output_tokens=60_000)
    async with MockServer(flood) as mock, house(group(remote("d", mock)), drain_seconds=0.05) as router:
        client = await router.connect(limit=1024)
        client.writer.write(request(CHAT, STREAM))
        await client.reader.readexactly(100)
        async with asyncio.timeout(5):
            await (await leaving(router))


async def test_what_has_ended_but_has_not_been_read_yet_is_not_lost(house: Open) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 8000)
    last = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with (
        upstream([HEAD, *[event] * 2000, last]) as (deployment, writing),
        house(group(deployment), drain_seconds=30) as router,
    ):
        client = await router.connect(limit=64 * 1024)
        client.writer.write(request(CHAT, STREAM))
        await writing.stuck()
        stopping = await leaving(router)
        size, tail = 0, b""
        while data := await client.reader.read(2**20):
            size += len(data)
            tail = tail[-100:] + data
        assert size > 2000 * len(event)
        assert tail.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await stopping


async def test_it_waits_for_what_is_served_but_not_yet_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, finish = asyncio.Event(), GenericExchange.finish

    async def slowly(exchange: GenericExchange) -> web.StreamResponse:
        await written.wait()
        return await finish(exchange)

    monkeypatch.setattr(GenericExchange, "finish", slowly)
    async with open_house(tmp_path / "access.log", fast_path=False, drain_seconds=30) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, HI))
        while await router.metric('router_attempts_total{deployment="d",model="m",outcome="ok"}') < 1:
            pass
        stopping = await leaving(router)
        assert await asyncio.wait([stopping], timeout=0.15) == (set(), {stopping})
        written.set()
        assert (await client.receive()).status == 200
        await stopping
