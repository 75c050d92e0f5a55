"""Every way in which a real Redis can fail, and what becomes of two replicas that share through it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import redis

from router.core.events import SharingLost, SharingRestored
from router.core.redis_address import parse_redis_url
from router.core.types import Budget, Limits, LimitSubject
from router.state.redis.client import connect
from router.state.redis.link import dialer
from router.state.redis.medium import RedisMedium
from tests.core.making import FakeClock, group, tier
from tests.state.redis_servers import PASSWORD, RedisServer, redis_server
from tests.state.replicas import Replica, trade_all
from tests.state.slow_way import slow_way

KEY = LimitSubject("key:team", Limits(rpm=100), Budget(1000.0))
LONGEST = 2.5
"""Seconds that a trade may take in vain: one, and what a busy machine adds."""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Pair:
    def __init__(self, url: str) -> None:
        address = parse_redis_url(url)
        self.clock = FakeClock()
        self.media = [RedisMedium(lambda: connect(address), "router", dial=dialer(address)) for _ in range(2)]
        groups = group(tier("a", "b"))
        self.replicas = [Replica(f"r{place}", self.clock, medium, groups) for place, medium in enumerate(self.media)]

    async def close(self) -> None:
        for medium in self.media:
            await medium.close()

    async def is_whole(self) -> None:
        """Within two intervals each knows what the other has under way, has used and has spent."""
        await trade_all(self.replicas, 3)
        one, other = self.replicas
        assert one.load("a").siblings == other.load("a").in_flight == 0
        assert other.load("a").siblings == one.load("a").in_flight == 3
        assert one.store.left(KEY) == other.store.left(KEY)
        assert [each.store.spending[KEY.name].spent for each in self.replicas] == [pytest.approx(self.spent)] * 2
        assert not any(each.sharing.degraded for each in self.replicas)

    async def begin(self) -> None:
        self.spent = 0.0
        for _ in range(3):
            self.replicas[0].lease("a")
        for each in self.replicas:
            self.serve_one(each)
        await self.is_whole()

    def serve_one(self, replica: Replica) -> None:
        assert replica.admit(KEY)
        replica.store.pay(KEY, 0.0, 0.5)
        self.spent += 0.5

    async def fails(self, reason: str) -> None:
        """Two trades of each in vain; meanwhile requests go on."""
        before = [len(each.heard) for each in self.replicas]
        for _ in range(2):
            for each in self.replicas:
                began = time.monotonic()
                assert not await each.trade()
                assert time.monotonic() - began < LONGEST
                self.serve_one(each)
        for each, count in zip(self.replicas, before, strict=True):
            [lost] = each.heard[count:]
            assert isinstance(lost, SharingLost)
            assert lost.reason == reason, lost
            assert each.sharing.degraded
            assert each.load("a").siblings == (0 if each is self.replicas[0] else 3), "the last picture"
        taken = [sum(each.admit(KEY) for _ in range(100)) for each in self.replicas]
        used = self.spent / 0.5
        assert sum(taken) == 100 - used, "limit / live each"

    async def is_restored(self) -> None:
        await self.is_whole()
        for each in self.replicas:
            assert isinstance(each.heard[-1], SharingRestored)
            assert not each.admit(KEY)


@pytest_asyncio.fixture
async def pair(server: RedisServer) -> AsyncIterator[Pair]:
    pair = Pair(server.url)
    await pair.begin()
    yield pair
    await pair.close()


async def test_refused_then_restarted_empty(server: RedisServer, pair: Pair) -> None:
    server.stop()
    await pair.fails("unreachable")
    server.start()
    await pair.is_restored()


async def test_hanging(server: RedisServer, pair: Pair) -> None:
    server.hang()
    await pair.fails("timeout")
    server.wake()
    await pair.is_restored()


async def test_slow(server: RedisServer) -> None:
    async with slow_way(server.port) as way:
        pair = Pair(f"redis://127.0.0.1:{way.port}")
        await pair.begin()
        way.delay = 1.0
        await pair.fails("timeout")
        way.delay = 0.0
        await pair.is_restored()
        await pair.close()


async def test_answers_that_are_lost(server: RedisServer) -> None:
    """What was handed in has arrived, but nobody could know: it is handed in again, and counts once."""
    async with slow_way(server.port) as way:
        pair = Pair(f"redis://127.0.0.1:{way.port}")
        await pair.begin()
        way.swallow = True
        await pair.fails("timeout")
        way.swallow = False
        await pair.is_restored()
        await pair.close()


async def test_flushed(server: RedisServer, pair: Pair) -> None:
    with server.admin() as admin:
        admin.flushall()
        admin.script_flush()
    await pair.is_whole()
    assert not any(isinstance(each, SharingLost) for replica in pair.replicas for each in replica.heard)


async def test_read_only(server: RedisServer, pair: Pair) -> None:
    with server.admin() as admin:
        admin.replicaof("127.0.0.1", "1")
        await pair.fails("read_only")
        admin.replicaof("NO", "ONE")
    await pair.is_restored()


async def test_out_of_memory(server: RedisServer, pair: Pair) -> None:
    with server.admin() as admin:
        admin.config_set("maxmemory", 1)
        await pair.fails("out_of_memory")
        admin.config_set("maxmemory", 0)
    await pair.is_restored()


async def test_wrong_password(server: RedisServer, pair: Pair) -> None:
    with server.admin() as admin, redis.Redis(port=server.port, password=PASSWORD, protocol=2) as again:
        admin.config_set("requirepass", PASSWORD)
        await pair.close()  # who has signed in stays so
        await pair.fails("auth")
        again.config_set("requirepass", "")
    await pair.is_restored()


async def test_redis_that_comes_later(tmp_path_factory: pytest.TempPathFactory) -> None:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        server.stop()
        pair = Pair(server.url)
        pair.spent = 0.0
        for _ in range(3):
            pair.replicas[0].lease("a")
        for each in pair.replicas:
            assert not await each.trade()
            assert each.sharing.degraded
            pair.serve_one(each)
        server.start()
        await pair.is_whole()
        await pair.close()
