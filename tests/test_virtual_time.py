from __future__ import annotations

import asyncio
import time

import pytest

from tests.virtual_time import VirtualTimeLoop, virtual_time


@virtual_time
async def test_a_day_passes_at_once_and_to_the_second() -> None:
    started = time.monotonic()
    await asyncio.sleep(86400)
    assert asyncio.get_running_loop().time() == pytest.approx(1000 + 86400)
    assert time.monotonic() - started < 5


@virtual_time
async def test_timers_fire_in_their_order() -> None:
    loop = asyncio.get_running_loop()
    fired: list[float] = []
    for seconds in (3.0, 1.0, 2.0):
        loop.call_later(seconds, fired.append, seconds)
    await asyncio.sleep(2.5)
    assert fired == [1.0, 2.0]


def test_waiting_for_what_never_comes_is_an_error_and_no_hang() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    loop = VirtualTimeLoop()
    task = loop.create_task(wait())
    with pytest.raises(RuntimeError, match="nothing will ever bring about"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


@virtual_time
async def test_the_clock_stands_still_while_there_is_work() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, lambda: None)
    for _ in range(100):
        await asyncio.sleep(0)
    assert loop.time() == 1000.0
