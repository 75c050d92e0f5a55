"""The whole router in this process, on real sockets, in front of the mock provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from router.app import App
from router.config.load import Config
from router.config.schema import AuthSettings, ServerSettings, Settings
from router.config.schema_telemetry import TelemetrySettings
from router.core.catalogue import Catalogue
from router.core.types import Deployment, ModelGroup, RoutingPolicy
from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.wire import Client, Seen, connect


def remote(id: str, server: MockServer, **more: Any) -> Deployment:
    """A deployment on a mock server's socket."""
    given: dict[str, Any] = {"model": "up-model", "api_base": server.url, "api_keys": ("sk-upstream-secret",)} | more
    return Deployment(id=id, model_name="m", provider="openai", **given)


def inside(id: str = "d", behaviour: Behaviour | None = None, **more: Any) -> Deployment:
    """A deployment answered in this process."""
    given: dict[str, Any] = {"model": "up-model", "model_name": "m"} | more
    return Deployment(id=id, provider="mock", options=behaviour, **given)


def group(*deployments: Deployment, name: str = "m", **policy: Any) -> ModelGroup:
    return ModelGroup(name, (deployments,), RoutingPolicy(**policy))


@dataclass
class House:
    """A router that listens on `port`. `log` is its access log, `server` its settings of that section."""

    app: App
    port: int
    log: Path
    server: Mapping[str, Any]
    clients: list[Client] = field(default_factory=list)
    stopping: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Drain and leave, once; returns when it has left, whoever began it."""
        if self.stopping is None:
            self.stopping = asyncio.create_task(self.app.stop())
        await asyncio.shield(self.stopping)

    def reload(self, *groups: ModelGroup, **given: Any) -> tuple[str, ...]:
        """Put another configuration in force: see `config_of`. Returns what waits for a restart."""
        change = self.app.prepare(config_of(*groups, **{**self.server, **given}))
        self.app.adopt(change)
        return change.fixed

    async def connect(self, limit: int = 2**20) -> Client:
        """A connection that is closed with the house."""
        self.clients.append(await connect(self.port, limit))
        return self.clients[-1]

    async def ask(self, path: str, body: object = None, *, method: str = "", headers: str = "") -> Seen:
        """One request on a connection of its own."""
        client = await connect(self.port)
        try:
            return await client.ask(path, body, method=method, headers=headers)
        finally:
            await client.close()

    async def metric(self, name: str) -> float:
        """One value of `/metrics`, by its name and labels as they stand there; 0 where it is missing."""
        text = (await self.ask("/metrics")).body.decode()
        values = [line.rpartition(" ")[2] for line in text.splitlines() if line.rpartition(" ")[0] == name]
        return float(values[0]) if values else 0.0

    async def in_flight(self) -> float:
        return await self.metric("router_in_flight_requests")

    async def until_in_flight(self, count: int) -> None:
        """Wait until so many requests are under way. Raises TimeoutError."""
        async with asyncio.timeout(2):
            while True:
                if await self.in_flight() == count:
                    return

    async def log_lines(self) -> list[dict[str, Any]]:
        """What the access log says in the end: stops the router."""
        await self.stop()
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines()]


Open = Callable[..., Any]
"""`async with open_house(*groups, aliases=…, keys=…, **server) as house`."""


def config_of(
    *groups: ModelGroup,
    aliases: Mapping[str, str] | None = None,
    wildcards: Sequence[ModelGroup] = (),
    keys: Sequence[Mapping[str, Any]] = (),
    master_key: str = "",
    telemetry: Mapping[str, Any] | None = None,
    **server: Any,
) -> Config:
    """What would have been read from a file. `server` are settings of the section of that name."""
    catalogue = Catalogue({item.name: item for item in groups or [group(inside())]}, aliases or {}, tuple(wildcards))
    auth = AuthSettings.model_validate({"keys": keys, "master_key": master_key})
    seen = TelemetrySettings.model_validate(telemetry or {})
    return Config(Settings(server=ServerSettings(**server), auth=auth, telemetry=seen), catalogue, ())


@asynccontextmanager
async def open_house(
    log: Path,
    *groups: ModelGroup,
    aliases: Mapping[str, str] | None = None,
    wildcards: Sequence[ModelGroup] = (),
    keys: Sequence[Mapping[str, Any]] = (),
    master_key: str = "",
    telemetry: Mapping[str, Any] | None = None,
    **server: Any,
) -> AsyncIterator[House]:
    """A running router. `server` are settings of the section of that name."""
    given: dict[str, Any] = {"port": 0, "drain_delay": 0.0, "drain_seconds": 1.0, "access_log": str(log)} | server
    app = App(
        config_of(
            *groups,
            aliases=aliases,
            wildcards=wildcards,
            keys=keys,
            master_key=master_key,
            telemetry=telemetry,
            **given,
        )
    )
    house = House(app, await app.start(), log, given)
    try:
        yield house
    finally:
        for client in house.clients:
            await client.close()
        await house.stop()


async def eventually(condition: Callable[[], bool], timeout: float = 2.0) -> None:
    """Wait until it is so, looking once in every turn of the loop. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


async def nothing_left_of(before: set[asyncio.Task[Any]]) -> None:
    """Wait until every task that was not there before has ended."""
    await eventually(lambda: not {task for task in asyncio.all_tasks() if task not in before and not task.done()})
