from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest

from router.upstream.timer import Timer
from tests.virtual_time import VirtualTimeLoop, virtual_time


class CountingLoop(VirtualTimeLoop):
    """Counts what a timer asks of it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.calls += 1
        return super().call_at(when, callback, *args, context=context)


@virtual_time
async def test_it_expires_at_the_moment_last_asked_for_and_once() -> None:
    loop = asyncio.get_running_loop()
    fired: list[float] = []
    timer = Timer(loop, lambda: fired.append(loop.time()))
    for moment in (1050.0, 1010.0, 1030.0):
        timer.arm(moment)
    await asyncio.sleep(100)
    assert fired == [pytest.approx(1030)]


@virtual_time
async def test_a_moment_that_has_passed_expires_soon_but_not_within_the_call() -> None:
    fired: list[None] = []
    timer = Timer(asyncio.get_running_loop(), lambda: fired.append(None))
    timer.arm(1.0)
    assert fired == []
    await asyncio.sleep(0.01)
    assert fired == [None]


@virtual_time
async def test_infinity_never_comes_and_takes_back_what_was_asked_before() -> None:
    fired: list[None] = []
    timer = Timer(asyncio.get_running_loop(), lambda: fired.append(None))
    timer.arm(inf)
    timer.arm(1010.0)
    timer.arm(inf)
    await asyncio.sleep(1e6)
    assert fired == []


@virtual_time
async def test_a_stopped_timer_holds_nothing_and_can_be_armed_again() -> None:
    fired: list[None] = []
    timer = Timer(asyncio.get_running_loop(), lambda: fired.append(None))
    timer.arm(1010.0)
    timer.stop()
    await asyncio.sleep(100)
    assert fired == []
    timer.arm(1200.0)
    await asyncio.sleep(200)
    assert fired == [None]


def test_a_steady_flow_of_requests_asks_the_loop_for_next_to_nothing() -> None:
    loop = CountingLoop()

    async def flow() -> None:
        timer = Timer(loop, lambda: None)
        for _ in range(10_000):
            timer.arm(loop.time() + 300)  # a request
            loop.jump(0.01)
            timer.arm(loop.time() + 30)  # idle
            await asyncio.sleep(0)
        timer.stop()

    loop.run_until_complete(flow())
    loop.close()
    assert loop.time() == pytest.approx(1100)
    assert loop.calls <= 2 + 2 * 100 / 30


@virtual_time
async def test_it_may_be_armed_again_by_what_it_calls() -> None:
    loop = asyncio.get_running_loop()
    fired: list[float] = []

    def again() -> None:
        fired.append(loop.time())
        if len(fired) < 3:
            timer.arm(loop.time() + 10)

    timer = Timer(loop, again)
    timer.arm(1010.0)
    await asyncio.sleep(100)
    assert fired == [pytest.approx(moment) for moment in (1010, 1020, 1030)]
