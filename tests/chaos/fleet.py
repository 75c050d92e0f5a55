"""Replicas as processes, one Redis, and a load on them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.upstream import Upstream, upstream
from tests.e2e.processes import Router, router_process
from tests.state.redis_servers import RedisServer, redis_server

KEY = "sk-chaos"


@dataclass
class Reply:
    at: float
    status: int
    seconds: float


@dataclass
class Fleet:
    routers: list[Router]
    redis: RedisServer
    upstream: Upstream
    session: aiohttp.ClientSession
    folder: Path
    config: dict[str, Any]
    stack: ExitStack
    replies: list[Reply] = field(default_factory=list)

    async def start(self, **env: str) -> Router:
        """One more replica."""
        folder = self.folder / f"replica-{time.monotonic_ns()}"
        folder.mkdir()
        enter = self.stack.enter_context
        router: Router = await asyncio.to_thread(lambda: enter(router_process(self.config, folder, **env)))
        self.routers.append(router)
        return router

    async def ask(self, router: Router, model: str = "demo") -> int:
        """One request; its status, 0 where there was no answer."""
        began = time.monotonic()
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        try:
            async with self.session.post(
                f"{router.url}/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}
            ) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError):
            status = 0
        self.replies.append(Reply(began, status, time.monotonic() - began))
        return status

    async def load(self, routers: Sequence[Router], rate: float, seconds: float, model: str = "demo") -> None:
        """`rate` requests a second in all, evenly in time and in turn, whatever becomes of them."""
        began = time.monotonic()
        tasks = []
        for number in range(round(rate * seconds)):
            wait = began + number / rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.ensure_future(self.ask(routers[number % len(routers)], model)))
        await asyncio.gather(*tasks)

    async def status(self, router: Router) -> dict[str, dict[str, Any]]:
        """The live picture, by deployment."""
        url = f"{router.root}/router/status"
        async with self.session.get(url, headers={"authorization": f"Bearer {KEY}"}) as response:
            told = json.loads(await response.read())
        entries = told["deployments"] if isinstance(told, dict) else told
        return {entry["deployment"]: entry for entry in entries}

    async def metric(self, router: Router, name: str) -> float:
        async with self.session.get(f"{router.root}/metrics") as response:
            text = (await response.read()).decode()
        return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " ")), 0.0)

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0, pause: float = 0.02) -> float:
        """Ask until it is so; the seconds it took."""
        began = time.monotonic()
        while not await condition():
            assert time.monotonic() - began < seconds, f"still not so after {seconds:g} s"
            await asyncio.sleep(pause)
        return time.monotonic() - began

    async def together(self, live: int) -> None:
        """Everybody has heard of everybody."""
        for router in self.routers:
            if router.process.poll() is None:
                await self.until(partial(self._hears, router, live))

    async def _hears(self, router: Router, live: int) -> bool:
        return await self.metric(router, "router_state_replicas") >= live

    def commands(self) -> int:
        with self.redis.admin() as admin:
            stats: Any = admin.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval", "publish"))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@asynccontextmanager
async def fleet(
    folder: Path,
    replicas: int,
    deployments: int = 3,
    *,
    redis: bool = True,
    key: dict[str, Any] | None = None,
    more: Sequence[dict[str, Any]] = (),
    **settings: Any,
) -> AsyncIterator[Fleet]:
    """`deployments` of the model `demo`, called d0, d1, …; `more` are entries of `model_list`, `{base}` filled in."""
    with ExitStack() as stack:
        async with upstream() as played, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            (folder / "redis").mkdir()
            server = stack.enter_context(redis_server(folder / "redis"))
            if not redis:
                server.stop()
            entry = {"provider": "openai", "api_base": played.url}
            config = {
                "server": {"drain_delay": 0, "drain_seconds": 1},
                "auth": {"keys": [{"name": "chaos", "key": KEY, **(key or {})}]},
                "state": {"redis_url": server.url},
                "model_list": [
                    *(entry | {"model_name": "demo", "id": f"d{n}", "model": f"m{n}"} for n in range(deployments)),
                    *(entry | each for each in more),
                ],
                **settings,
            }
            run = Fleet([], server, played, session, folder, config, stack)
            await asyncio.gather(*(run.start() for _ in range(replicas)))
            if redis:
                await run.together(replicas)
            yield run
