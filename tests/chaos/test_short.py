"""Replicas as processes around a real Redis, in seconds. The long forms are in `test_long.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.chaos.fleet import Fleet, fleet, percentile
from tests.chaos.upstream import OK, answer
from tests.e2e.processes import Router

Figure = Callable[[str], None]


async def test_a_replica_avoids_what_its_sibling_has_made_busy(tmp_path: Path) -> None:
    """Both replicas know the backends of d0 and d1 under a second name, which only the one is asked for."""
    more = [{"model_name": "busy", "id": f"b{number}", "model": f"m{number}"} for number in (0, 1)]
    async with fleet(tmp_path, 2, 3, more=more) as run:
        run.upstream.takes = lambda model: 3.0
        one, other = run.routers
        busy = [asyncio.ensure_future(run.ask(one, "busy")) for _ in range(20)]
        await run.upstream.wait_for(lambda: len(run.upstream.arrivals) == 20)
        await asyncio.sleep(0.2)
        before = len(run.upstream.arrivals)
        picks = [asyncio.ensure_future(run.ask(other)) for _ in range(8)]
        await run.upstream.wait_for(lambda: len(run.upstream.arrivals) == before + 8)
        assert {model for _, model in run.upstream.arrivals[before:]} == {"m2"}
        assert set(await asyncio.gather(*busy, *picks)) == {200}


async def test_a_killed_replicas_requests_are_forgotten_within_four_seconds(tmp_path: Path, figure: Figure) -> None:
    async with fleet(tmp_path, 2, 1) as run:
        run.upstream.takes = lambda model: 30.0
        victim, other = run.routers
        tasks = [asyncio.ensure_future(run.ask(victim)) for _ in range(200)]

        async def siblings() -> int:
            return int((await run.status(other))["d0"]["siblings_in_flight"])

        async def all_seen() -> bool:
            return await siblings() == 200

        async def gone() -> bool:
            return await siblings() == 0

        await run.until(all_seen)
        victim.process.kill()
        took = await run.until(gone)
        figure(f"a killed replica's 200 requests are forgotten after {took:.1f} s")
        assert took < 4.0
        await asyncio.gather(*tasks)


async def test_redis_hung_stopped_and_restarted_under_load_fails_no_request(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2, 3) as run:

        async def trouble() -> None:
            await asyncio.sleep(1.5)
            run.redis.hang()
            await asyncio.sleep(2.0)
            run.redis.wake()
            await asyncio.sleep(1.0)
            run.redis.stop()
            await asyncio.sleep(1.5)
            await asyncio.to_thread(run.redis.start)

        _, _ = await asyncio.gather(run.load(run.routers, 50, 7.5), trouble())
        assert {reply.status for reply in run.replies} == {200}

        async def whole() -> bool:
            return all([await run.metric(router, "router_state_degraded") == 0 for router in run.routers])

        await run.until(whole)
        for router in run.routers:
            told = [event["event"] for event in router.events() if "sharing state" in event["event"]]
            assert told == ["sharing state"] + ["not sharing state", "sharing state"] * 2


async def test_a_router_started_without_redis_serves_and_joins_when_it_comes(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2, 1, redis=False) as run:
        assert [await run.ask(router) for router in run.routers] == [200, 200]
        assert [await run.metric(router, "router_state_degraded") for router in run.routers] == [1.0, 1.0]
        await asyncio.to_thread(run.redis.start)
        await run.together(2)
        assert [await run.metric(router, "router_state_degraded") for router in run.routers] == [0.0, 0.0]


async def rests(run: Fleet, router: Router, deployment: str) -> bool:
    return bool((await run.status(router))[deployment]["keys"][0]["cooldown"])


async def test_a_429_is_obeyed_by_the_others_within_fifty_milliseconds_at_the_median(
    tmp_path: Path, figure: Figure
) -> None:
    """A deployment for each try. Asked for the picture of the other over and over: its own time counts, too."""
    tries = 11
    more = [{"model_name": f"t{number}", "id": f"t{number}", "model": f"t{number}"} for number in range(tries)]
    async with fleet(tmp_path, 2, 1, more=more, routing={"num_retries": 0}) as run:
        run.upstream.says = lambda model: answer(429, b"retry-after: 60") if model[0] == "t" else OK
        one, other = run.routers
        took = []
        for number in range(tries):
            assert await run.ask(one, f"t{number}") == 429
            began = time.monotonic()
            await run.until(partial(rests, run, other, f"t{number}"), pause=0.002)
            took.append(time.monotonic() - began)
        figure(f"a 429 is obeyed by the other replica after {1000 * percentile(took, 0.5):.0f} ms at the median")
        assert percentile(took, 0.5) < 0.05, took
