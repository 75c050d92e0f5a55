"""What Redis has to do does not depend on requests."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from random import Random
from typing import Any

from router.core.catalogue import Catalogue
from router.core.redis_address import parse_redis_url
from router.core.types import Estimate, Usage
from router.state.base import Outcome, Served
from router.state.memory import MemoryStore
from router.state.redis.client import connect
from router.state.redis.link import dialer
from router.state.redis.medium import RedisMedium
from router.state.sharing import Sharing
from tests.core.making import group, tier
from tests.state.redis_servers import RedisServer, redis_server


def commands(server: RedisServer) -> int:
    """All that was asked for, scripts' own commands included."""
    with server.admin() as admin:
        stats: Any = admin.info("commandstats")
    ours = ("info", "hello", "client|setinfo", "ping", "select")
    return sum(each["calls"] for name, each in stats.items() if name.removeprefix("cmdstat_") not in ours)


async def test_redis_has_as_much_to_do_at_two_thousand_requests_a_second_as_at_a_hundred(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        address = parse_redis_url(server.url)
        store = MemoryStore(time.monotonic, lambda event: None)
        deployments = tier("a", "b", "c", rpm=10**6)
        routed = group(deployments)
        store.configure(Catalogue({"gpt": routed}))
        medium = RedisMedium(lambda: connect(address), "router", dial=dialer(address))
        sharing = Sharing("one", store, medium, lambda event: None, time.monotonic, Random(1), 0.05)
        running = asyncio.ensure_future(sharing.run())
        places = list(store.candidates())

        async def serve(rate: float, seconds: float) -> float:
            """Commands a second."""
            before, began, served = commands(server), time.monotonic(), 0
            while (now := time.monotonic()) < began + seconds:
                while served < (now - began) * rate:
                    lease = store.acquire(routed, places[served % 3], Estimate(10, 100))
                    store.settle(lease, Outcome(served=Served(0.1, None, Usage(10, 100))))
                    served += 1
                await asyncio.sleep(0.01)
            return (commands(server) - before) / (time.monotonic() - began)

        await serve(100, 0.5)
        few, many = await serve(100, 1.5), await serve(2000, 1.5)
        running.cancel()
        await asyncio.wait([running])
        assert many <= 1.1 * few, (few, many)
        assert few < 400, "a trade each interval of 50 ms, some thirteen commands each with the script's own"
