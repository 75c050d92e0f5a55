"""`make chaos`: what takes minutes, and the figures of docs/redis.md."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.fleet import fleet, percentile
from tests.chaos.upstream import OK, answer

pytestmark = pytest.mark.chaos

Figure = Callable[[str], None]
RATE = 40.0
"""Requests a second: four times what `rpm: 600` allows."""


def per_minute(moments: list[float], since: float, until: float) -> tuple[float, float]:
    """The least and the most in any 60 seconds within, over 600."""
    counts = []
    end = since + 60.0
    while end <= until:
        counts.append(sum(end - 60.0 < each <= end for each in moments) / 600.0)
        end += 0.25
    return min(counts) - 1.0, max(counts) - 1.0


def told(found: tuple[float, float]) -> str:
    return f"{100 * found[0]:+.1f} % to {100 * found[1]:+.1f} %"


async def test_four_replicas_balance_eight_deployments(tmp_path: Path, figure: Figure) -> None:
    async with fleet(tmp_path, 4, 8) as run:
        lengths = iter(range(10**9))
        run.upstream.takes = lambda model: 1.0 + (next(lengths) * 7919 % 1000) / 1000.0
        stop = time.monotonic() + 25.0

        async def client(number: int) -> None:
            while time.monotonic() < stop:
                assert await run.ask(run.routers[number % 4]) == 200

        clients = asyncio.gather(*(client(number) for number in range(400)))
        await asyncio.sleep(5.0)
        run.upstream.reset()
        await asyncio.sleep(18.0)
        busy = list(run.upstream.busy_seconds().values())
        await clients
        ratio = max(busy) / (sum(busy) / len(busy))
        figure(f"four replicas, eight deployments, 400 at once: max/mean in flight {ratio:.3f}")
        assert len(busy) == 8
        assert ratio <= 1.25


@pytest.mark.parametrize("strict", ["", "open", "closed"])
async def test_a_limit_over_four_replicas_for_two_minutes(tmp_path: Path, figure: Figure, strict: str) -> None:
    rpm = {"limit": 600, "strict": bool(strict), "unavailable": strict or "open"}
    async with fleet(tmp_path, 4, 1, key={"rpm": rpm}) as run:
        began = time.monotonic()
        await run.load(run.routers, RATE, 120.0)
        moments = [at for at, _ in run.upstream.arrivals]
        found = per_minute(moments, began, began + 120.0)
        figure(f"rpm: 600 over four replicas, even load{strict and f', strict and {strict}'}: {told(found)}")
        assert found[1] <= (0.0 if strict else 0.03)
        assert found[0] >= (-0.2 if strict else -0.03)


async def test_a_limit_with_all_the_load_on_one_replica(tmp_path: Path, figure: Figure) -> None:
    async with fleet(tmp_path, 4, 1, key={"rpm": 600}) as run:
        began = time.monotonic()
        await run.load(run.routers[:1], RATE, 120.0)
        found = per_minute([at for at, _ in run.upstream.arrivals], began, began + 120.0)
        figure(f"rpm: 600 over four replicas, all load on one: {told(found)}")
        assert -0.10 <= found[0] <= found[1] <= 0.10


async def test_a_limit_while_redis_is_gone_and_afterwards(tmp_path: Path, figure: Figure) -> None:
    async with fleet(tmp_path, 4, 1, key={"rpm": 600}) as run:
        began = time.monotonic()
        load = asyncio.ensure_future(run.load(run.routers, RATE, 240.0))
        await asyncio.sleep(60.0)
        run.redis.stop()
        await asyncio.sleep(60.0)
        await asyncio.to_thread(run.redis.start)
        await load
        moments = [at for at, _ in run.upstream.arrivals]
        over, after = per_minute(moments, began, began + 240.0), per_minute(moments, began + 120.0, began + 240.0)
        figure(f"rpm: 600, Redis gone for a minute: {told(over)}; from then on: {told(after)}")
        assert -0.10 <= over[0] <= over[1] <= 0.10
        assert -0.03 <= after[0] <= after[1] <= 0.03


async def test_redis_in_trouble_costs_nobody_time(tmp_path: Path, figure: Figure) -> None:
    async with fleet(tmp_path, 2, 3) as run:
        run.upstream.takes = lambda model: 0.02
        await run.load(run.routers, 200, 10.0)
        healthy = [reply.seconds for reply in run.replies]
        run.replies.clear()
        load = asyncio.ensure_future(run.load(run.routers, 200, 16.0))
        await asyncio.sleep(2.0)
        run.redis.hang()
        await asyncio.sleep(4.0)
        run.redis.wake()
        await asyncio.sleep(2.0)
        run.redis.stop()
        await asyncio.sleep(4.0)
        await asyncio.to_thread(run.redis.start)
        await load
        assert {reply.status for reply in run.replies} == {200}
        worse = [percentile([reply.seconds for reply in run.replies], share) for share in (0.5, 0.99)]
        before = [percentile(healthy, share) for share in (0.5, 0.99)]
        figure(f"200 req/s, Redis hung, stopped and restarted: 0 of {len(run.replies)} failed")
        figure(f"  p99 {1000 * worse[1]:.1f} ms, with Redis up {1000 * before[1]:.1f}")
        figure(f"  median {1000 * worse[0]:.1f} ms, with Redis up {1000 * before[0]:.1f}")
        assert worse[1] - before[1] <= 0.005


async def test_redis_has_as_much_to_do_at_any_rate(tmp_path: Path, figure: Figure) -> None:
    async with fleet(tmp_path, 2, 3) as run:
        counts = []
        for rate in (100, 600):
            await run.load(run.routers, rate, 1.0)
            before, began = run.commands(), time.monotonic()
            await run.load(run.routers, rate, 10.0)
            counts.append((run.commands() - before) / (time.monotonic() - began))
        figure(f"Redis commands/s at 100 and 600 req/s, two replicas: {counts[0]:.1f} and {counts[1]:.1f}")
        assert counts[1] == pytest.approx(counts[0], rel=0.1)


async def test_what_a_hundred_killed_replicas_leave_behind(tmp_path: Path, figure: Figure) -> None:
    """Killed, and stopped for longer than their lease before that, each with requests under way."""
    async with fleet(tmp_path, 1, 3) as run:
        run.upstream.takes = lambda model: 60.0
        survivor = run.routers[0]
        for kill in range(100):
            victim = await run.start()
            asks = [asyncio.ensure_future(run.ask(victim)) for _ in range(5)]
            at = len(run.upstream.arrivals) + 5
            await run.upstream.wait_for(lambda at=at: len(run.upstream.arrivals) >= at)  # type: ignore[misc]
            if kill % 20 == 0:
                os.kill(victim.process.pid, signal.SIGSTOP)
            victim.kill()
            await asyncio.gather(*asks)

        async def clean() -> bool:
            return all(not each["siblings_in_flight"] for each in (await run.status(survivor)).values())

        took = await run.until(clean)
        assert took < 4.0
        await asyncio.sleep(64.0)
        with run.redis.admin() as admin:
            keys, replicas = admin.dbsize(), admin.hlen("{router}:v2:replicas")
        figure(f"100 replicas killed: gone {took:.1f} s after the last; 64 s later {keys} key with {replicas} replica")
        assert replicas == 1
        assert keys == 1


async def test_a_replica_that_was_stopped_is_forgotten_and_is_itself_again_when_it_goes_on(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2, 1) as run:
        run.upstream.takes = lambda model: 20.0
        stopped, other = run.routers
        asks = [asyncio.ensure_future(run.ask(stopped)) for _ in range(20)]

        async def sees(count: int) -> bool:
            return bool((await run.status(other))["d0"]["siblings_in_flight"] == count)

        await run.until(lambda: sees(20))
        os.kill(stopped.process.pid, signal.SIGSTOP)
        assert await run.until(lambda: sees(0)) < 5.0
        os.kill(stopped.process.pid, signal.SIGCONT)
        await run.until(lambda: sees(20), 5.0)
        assert set(await asyncio.gather(*asks)) == {200}
        await run.until(lambda: sees(0), 5.0)
        assert await run.metric(stopped, "router_state_degraded") == 0


async def test_four_replicas_send_one_half_open_trial(tmp_path: Path) -> None:
    cooldown = {"base": 2, "allowed_fails": 2, "min_requests": 2, "max": 2}
    async with fleet(tmp_path, 4, 2, routing={"cooldown": cooldown}) as run:
        sick = {"m0"}
        run.upstream.says = lambda model: answer(503) if model in sick else OK
        run.upstream.takes = lambda model: 1.0 if model == "m0" else 0.0

        async def open_everywhere() -> bool:
            await run.load(run.routers, 40, 0.2)
            return all([(await run.status(router))["d0"]["breaker"] == "open" for router in run.routers])

        await run.until(open_everywhere)
        sick.clear()
        run.upstream.arrivals.clear()
        load = asyncio.ensure_future(run.load(run.routers, 60, 6.0))
        await run.upstream.wait_for(lambda: run.upstream.count("m0") > 0)
        await asyncio.sleep(0.9)
        assert run.upstream.count("m0") == 1, "while its trial is under way nobody else tries"

        async def closed_everywhere() -> bool:
            return all([(await run.status(router))["d0"]["breaker"] == "closed" for router in run.routers])

        await run.until(closed_everywhere)
        await load
        assert {reply.status for reply in run.replies} == {200}


async def test_a_strict_limit_is_never_passed_by_any_replica(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2, 1, key={"rpm": {"limit": 30, "strict": True, "unavailable": "closed"}}) as run:
        await run.load(run.routers, 80, 1.5)
        statuses = [reply.status for reply in run.replies]
        assert set(statuses) <= {200, 429, 503}
        assert 20 <= statuses.count(200) <= 30
