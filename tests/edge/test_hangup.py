"""Whoever hangs up costs upstream nothing more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, nothing_left_of, remote
from tests.edge.wire import CHAT, HI, STREAM, Client, request

pytestmark = pytest.mark.both_loops

PROMPTLY = 0.1  # seconds
MOMENTS: dict[str, tuple[dict[str, Any], Behaviour, bytes]] = {
    "waiting for a head": (HI, Behaviour(script=("hang",)), b""),
    "waiting for a stream's head": (STREAM, Behaviour(script=("hang",)), b""),
    "waiting for the whole body": (HI, Behaviour(script=("stall",)), b""),
    "before the first token": (STREAM, Behaviour(time_to_first_token=30), b""),
    "in the middle of a stream": (STREAM, Behaviour(tokens_per_second=20, output_tokens=1000), b'"content":"Hello'),
    "in a stream that stands still": (STREAM, Behaviour(script=("stall",)), b'"content":"Hello'),
}


async def begin(router: Any, mock: MockServer, body: dict[str, Any], seen_first: bytes) -> Client:
    client: Client = await router.connect()
    client.writer.write(request(CHAT, body))
    await mock.until(lambda server: server.in_flight == 1)
    if seen_first:
        await client.all_until(seen_first)
    return client


@pytest.mark.parametrize(("body", "behaviour", "seen_first"), MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_upstream_is_cancelled_at_once_and_nothing_is_left(
    house: Open, body: dict[str, Any], behaviour: Behaviour, seen_first: bytes, how: str
) -> None:
    async with MockServer(behaviour) as mock, house(group(remote("d", mock))) as router:
        before = asyncio.all_tasks()
        client = await begin(router, mock, body, seen_first)
        assert await router.in_flight() == 1
        began = asyncio.get_running_loop().time()
        if how == "closed":
            await client.close()
        else:
            client.reset()
        await mock.until(lambda server: server.cancelled == 1)
        assert asyncio.get_running_loop().time() - began < PROMPTLY
        await nothing_left_of(before)
        assert await router.in_flight() == 0
        assert await router.metric('router_deployment_in_flight{deployment="d",model="m"}') == 0
        assert await router.metric('router_attempts_total{deployment="d",model="m",outcome="client_gone"}') == 1
        assert mock.started == 1
        (line,) = await router.log_lines()
        assert (line["outcome"], line["status"], line["error"]) == ("client_gone", 499, "client_gone")
        assert line["deployment"] == "d"


async def test_it_says_nothing_about_the_deployment(house: Open) -> None:
    async with MockServer(Behaviour(script=("hang",))) as mock, house(group(remote("d", mock))) as router:
        for gone in range(10):
            client = await begin(router, mock, HI, b"")
            client.reset()
            await mock.until(lambda server, gone=gone: server.cancelled == gone + 1)  # type: ignore[misc]
        mock.behaviour = Behaviour()
        assert (await router.ask(CHAT, HI)).status == 200
        assert await router.metric('router_deployment_breaker_state{deployment="d",model="m"}') == 0


async def test_no_further_attempt_is_made_for_whoever_hung_up_between_two(house: Open) -> None:
    async with (
        MockServer(Behaviour(script=("503",))) as mock,
        house(group(remote("d", mock), num_retries=5)) as router,
    ):
        before = asyncio.all_tasks()
        client = await router.connect()
        client.writer.write(request(CHAT, HI))
        await mock.until(lambda server: server.completed >= 1)
        client.reset()
        await nothing_left_of(before)
        made = mock.started
        assert await router.in_flight() == 0
        assert made < 6
        assert mock.started == made


async def test_requests_pipelined_behind_one_that_was_hung_up_on_are_not_served(house: Open) -> None:
    async with MockServer(Behaviour(script=("hang",))) as mock, house(group(remote("d", mock))) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, HI) * 3)
        await mock.until(lambda server: server.in_flight == 1)
        client.reset()
        await mock.until(lambda server: server.cancelled == 1)
        assert await router.in_flight() == 0
        assert mock.started == 1
