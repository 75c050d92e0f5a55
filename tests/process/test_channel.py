"""Messages between supervisor and worker: told, asked, and cut off."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from router.process.channel import Channel, ChannelClosed, Handler

pytestmark = pytest.mark.both_loops


@asynccontextmanager
async def pair(**handlers: Handler) -> AsyncIterator[tuple[Channel, Channel]]:
    """Two ends, of which the second has the handlers."""
    ours, theirs = socket.socketpair()
    ends = await Channel.over(ours, {}), await Channel.over(theirs, handlers)
    tasks = [asyncio.create_task(end.run()) for end in ends]
    yield ends
    for end in ends:
        end.close()
    await asyncio.wait(tasks)


async def test_what_is_told_arrives_in_its_order() -> None:
    heard: list[Any] = []
    done = asyncio.Event()

    def hear(told: Any) -> None:
        heard.append(told)
        if len(heard) == 100:
            done.set()

    async with pair(word=hear) as (ours, _):
        for number in range(100):
            ours.tell("word", {"number": number})
        await asyncio.wait_for(done.wait(), 5)
        assert heard == [{"number": number} for number in range(100)]


async def test_a_question_has_its_own_answer_whichever_comes_first() -> None:
    slow = asyncio.Event()

    async def late(told: Any) -> Any:
        await slow.wait()
        return told * 2

    async with pair(late=late, now=lambda told: told + 1) as (ours, _):
        first = asyncio.create_task(ours.ask("late", 5))
        assert await ours.ask("now", 1) == 2
        slow.set()
        assert await first == 10


async def test_a_large_message_comes_through_whole() -> None:
    async with pair(size=len) as (ours, _):
        assert await ours.ask("size", "x" * 3_000_000) == 3_000_000


async def test_who_waits_for_an_answer_hears_that_the_other_side_has_gone() -> None:
    async def never(told: Any) -> Any:
        await asyncio.Event().wait()

    async with pair(never=never) as (ours, theirs):
        asked = asyncio.create_task(ours.ask("never"))
        await asyncio.sleep(0.01)
        theirs.close()
        with pytest.raises(ChannelClosed):
            await asked
        with pytest.raises(ChannelClosed):
            ours.tell("anything")


async def test_a_question_that_nobody_waits_for_any_more_is_forgotten() -> None:
    async def slow(told: Any) -> Any:
        await asyncio.sleep(0.02)

    async with pair(slow=slow, now=lambda told: told) as (ours, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await ours.ask("slow")
        await asyncio.sleep(0.03)
        assert await ours.ask("now", 3) == 3
