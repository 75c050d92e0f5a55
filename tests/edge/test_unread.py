"""A client that reads nothing, long after its answer was ready."""

from __future__ import annotations

import asyncio
import socket

import pytest

from router.dialects.mock.behaviour import Behaviour
from tests.edge.house import Open, eventually, group, inside, nothing_left_of
from tests.edge.wire import CHAT, HI, request


async def test_it_is_let_go_in_the_end_and_with_it_all_that_was_kept_for_it(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.edge.protocol.UNREAD_SECONDS", 0.3)
    async with house(group(inside(behaviour=Behaviour(reply="word " * 2_000_000)))) as router:
        before = asyncio.all_tasks()
        client = await router.connect(limit=1024)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.writer.transport.pause_reading()
        client.writer.write(request(CHAT, HI))
        await eventually(lambda: any(each._paused for each in router.app._listener._connections()), 10)
        await eventually(lambda: not router.app._listener._connections(), 20)
        await nothing_left_of(before)
        assert await router.in_flight() == 0
