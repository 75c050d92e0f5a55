"""`server.workers`: one process that serves nothing itself, and starts, watches and sums up those that do.

It binds the sockets, which every worker inherits: a worker that dies takes no waiting connection with it. It alone
reads the files, and hands what it has read to the workers, so that all serve by the same and a worker that is started
anew serves by what is in force, whatever the files have become since. It keeps the ledger of their exchange, and what
they have counted.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from router.config.change import fixed_settings
from router.config.load import Config
from router.config.sources import Sources
from router.edge.accept import bound
from router.process.backoff import Backoff
from router.process.channel import ChannelClosed, Handler
from router.process.child import Life, born, how
from router.process.reload import Reloader
from router.process.serve import Read
from router.state.local import Keeper
from router.telemetry.bus import EventBus
from router.telemetry.exposition import expose
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics
from router.telemetry.reloads import Reloads
from router.telemetry.sources import ProcessFigures
from router.telemetry.totals import Totals

BACKLOG = 4096
ANSWER = 0.3
"""Seconds for a worker to tell its figures; after that its last ones count."""
OVERTIME = 5.0
"""Seconds after the drain's end in which a worker must have ended, or is killed."""


class Change(NamedTuple):
    """A configuration on its way into force."""

    config: Config
    fixed: tuple[str, ...]


class Supervisor:
    """`arguments` and `environment` are what workers are started with."""

    def __init__(
        self, config: Config, sources: Sources, read: Read, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """`sources` must have kept what they read."""
        self.log = Log()
        self._config = config
        self._started_with = config.settings
        self._files = _contents(sources)
        self._arguments = arguments
        self._environment = environment
        self._lives: dict[int, Life] = {}
        self._leaving = asyncio.Event()
        self._ever_ready = False
        self._exit_code = 0
        self._sockets: list[socket.socket] = []
        self._keeper = Keeper(time.monotonic, self._spread)
        self._totals = Totals()
        bus = EventBus()
        self.log.listen(bus)
        self._metrics = Metrics()
        self._metrics.read(ProcessFigures())
        Reloads(self._metrics.family, time.time()).listen(bus)
        self._restarts = self._metrics.family("router_worker_restarts_total").cell(())
        self.reloader = Reloader(
            read, sources, self, bus, lambda error: self.log.unforeseen("reload", error), time.time,
            lambda: Sources(keep=True),
        )  # fmt: skip

    async def run(self) -> int:
        """Until told to leave, and until all have left; the exit code. Raises OSError where it cannot listen."""
        server = self._config.settings.server
        self._sockets = bound(server.host, server.port, BACKLOG)
        places = [asyncio.create_task(self._fill(number)) for number in range(1, server.workers + 1)]
        reloading = asyncio.create_task(self.reloader.run())
        await self._leaving.wait()
        reloading.cancel()
        await self._drain(places)
        await asyncio.wait([*places, reloading])
        self.log.logger.info("stopped")
        self.log.close()
        return self._exit_code

    def leave(self) -> None:
        """Drain; the second time, end at once."""
        if self._leaving.is_set():
            for life in self._lives.values():
                life.kill()
        self._leaving.set()

    def prepare(self, config: Config) -> Change:
        return Change(config, fixed_settings(self._started_with, config.settings))

    def adopt(self, change: Change) -> None:
        """Workers read what was read here, and check it as it was checked here: they come to the same."""
        self._config = change.config
        self._files = _contents(self.reloader.sources)
        for life in self._lives.values():
            life.tell("configure", self._files)

    async def _fill(self, number: int) -> None:
        """Keep one place filled until leaving."""
        backoff = Backoff()
        while not self._leaving.is_set():
            try:
                life = await born(number, self._sockets, self._arguments, self._environment, self._handlers)
            except OSError as error:  # no memory, or too many processes
                await self._rest(number, 0.0, str(error), backoff)
                continue
            self._lives[number] = life
            life.tell("configure", self._files)
            receiving = asyncio.create_task(life.channel.run())
            code = await life.process.wait()
            await asyncio.wait([receiving])
            del self._lives[number]
            self._totals.lost(life)
            self._keeper.lost(id(life))
            if self._leaving.is_set():
                return
            if code and not self._ever_ready:
                self._exit_code = code if code > 0 else 1
                self._leaving.set()
                return
            await self._rest(number, life.lived, how(code), backoff)

    async def _rest(self, number: int, lived: float, how: str, backoff: Backoff) -> None:
        wait = backoff.ended(lived)
        self._restarts[0] += 1.0
        self.log.logger.error("worker ended", worker=number, how=how, lived=round(lived, 3), again_in=round(wait, 3))
        try:
            async with asyncio.timeout(wait):
                await self._leaving.wait()
        except TimeoutError:
            pass

    async def _drain(self, places: Sequence[asyncio.Task[None]]) -> None:
        server = self._config.settings.server
        self.log.logger.info("draining", delay=server.drain_delay, seconds=server.drain_seconds)
        for life in self._lives.values():
            life.tell("drain")
        for sock in self._sockets:
            sock.close()  # the workers' own stay open for the delay
        _, late = await asyncio.wait(places, timeout=server.drain_delay + server.drain_seconds + OVERTIME)
        if late:
            for number, life in self._lives.items():
                self.log.logger.error("worker killed: it did not end with the drain", worker=number)
                life.kill()

    def _handlers(self, life: Life) -> Mapping[str, Handler]:
        return {
            "ready": lambda _: self._ready(life),
            "figures": lambda told: self._take(life, told),
            "metrics": lambda _: self._expose(),
            "trade": lambda told: self._keeper.trade(id(life), told),
            "publish": lambda told: self._keeper.publish(id(life), told),
            "leave": self._keeper.leave,
        }

    def _ready(self, life: Life) -> None:
        life.ready = True
        tell = self.log.logger.info
        if not self._ever_ready:
            self._ever_ready = True
            server, auth = self._config.settings.server, self._config.settings.auth
            keys = len(auth.keys) + bool(auth.master_key.get_secret_value())
            tell(
                "listening", host=server.host, port=self._sockets[0].getsockname()[1], keys=keys,
                auth="required" if keys else "off: no keys are configured, so only this machine may connect",
                workers=server.workers,
            )  # fmt: skip
        tell("worker ready", worker=life.number, pid=life.process.pid)

    def _spread(self, worker: int, cooldown: Any) -> None:
        for life in self._lives.values():
            if id(life) != worker:
                life.tell("cooldown", cooldown)

    def _take(self, life: Life, told: Any) -> None:
        changes, now = told
        self._totals.changed(life, changes)
        self._totals.read(life, now)

    async def _expose(self) -> str:
        """Everybody's figures, fresh from whoever answers in time."""
        ready = [life for life in self._lives.values() if life.ready]
        await asyncio.gather(*map(self._ask, ready))
        own = await self._metrics.snapshot()
        own["router_workers"] = {(): [float(len(ready))]}
        return (await expose(self._totals.sum(own))).decode()

    async def _ask(self, life: Life) -> None:
        try:
            async with asyncio.timeout(ANSWER):
                self._take(life, await life.channel.ask("figures"))
        except (TimeoutError, ChannelClosed):
            pass  # its last ones count


def _contents(sources: Sources) -> dict[str, str | None]:
    """As JSON can carry it: every byte is the letter of that number."""
    return {
        str(path): None if content is None else content.decode("latin-1") for path, content in sources.contents.items()
    }


async def supervise(supervisor: Supervisor) -> int:
    """Run it under the signals: SIGTERM and SIGINT to leave, SIGHUP to reload."""
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, lambda number, frame: loop.call_soon_threadsafe(supervisor.reloader.ask))
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, supervisor.leave)
    try:
        return await supervisor.run()
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # see `serve`
