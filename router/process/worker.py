"""One of several workers: serves from the sockets, and by the configuration, that the supervisor hands it."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from router.app import App, Shift
from router.config.sources import Replay
from router.core.errors import RouterError
from router.process.channel import Channel, ChannelClosed
from router.process.reload import Reloader
from router.process.serve import Read, keep_freed_memory, raise_file_limit, settle_garbage_collector
from router.state.local import LocalMedium
from router.telemetry.totals import Changes, told

REPORT = 1.0
"""Seconds between two reports of what was counted: so much of it is lost when a worker is killed."""
PATIENCE = 1.0
"""Seconds to wait for the sum of all workers' metrics."""


class Worker:
    """Between its first word to the supervisor and its last."""

    def __init__(self, number: int, sockets: Sequence[socket.socket], read: Read) -> None:
        self._number = number
        self._sockets = sockets
        self._read = read
        self._leave = asyncio.Event()
        self._files: dict[Path, bytes | None] = {}
        self._configured: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes = Changes()
        self._last_text = b""
        self._medium: LocalMedium
        self._channel: Channel
        self._app: App | None = None
        self._reloader: Reloader[Any] | None = None
        self._reloading = asyncio.Lock()

    async def run(self, channel: socket.socket) -> None:
        """Until told to leave, or until the supervisor is gone. Raises ConfigError and OSError before it serves."""
        handlers = {
            "configure": self._configure,
            "drain": lambda _: self._leave.set(),
            "figures": lambda _: self._figures(),
            "cooldown": lambda told: self._medium.hear(told),
        }
        self._channel = await Channel.over(channel, handlers)
        self._medium = LocalMedium(self._channel)
        receiving = asyncio.create_task(self._channel.run())
        receiving.add_done_callback(lambda _: self._leave.set())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave.set)
        await self._configured
        app = self._app = self._open()
        await app.start()
        settle_garbage_collector()
        self._channel.tell("ready")
        reporting = asyncio.create_task(self._report_on())
        await self._leave.wait()
        await app.stop()
        reporting.cancel()
        await asyncio.wait([reporting])
        await self._report()
        self._channel.close()
        await asyncio.wait([receiving])

    def _open(self) -> App:
        shift = Shift(self._number, self._sockets, self._medium, self._expose)
        sources = Replay(self._files)
        app = App(self._read(sources), shift)
        self._reloader = Reloader(
            self._read, sources, app, app.observe, lambda error: app.log.unforeseen("reload", error), time.time,
            lambda: Replay(self._files),
        )  # fmt: skip
        return app

    def _configure(self, files: dict[str, str | None]) -> Any:
        """The first time it is what to start with."""
        self._files = {Path(name): None if text is None else text.encode("latin-1") for name, text in files.items()}
        if self._configured.done():
            return self._reload()
        self._configured.set_result(None)
        return None

    async def _reload(self) -> None:
        if self._reloader is not None:
            async with self._reloading:
                await self._reloader.reload()

    async def _figures(self) -> list[Any]:
        """What has been counted since the last report, and what is read at this moment."""
        if self._app is None:
            return [{}, {}]
        metrics = self._app.metrics
        return [await self._changes.since(metrics.counted()), told(await metrics.ask_sources())]

    async def _report_on(self) -> None:
        while True:
            await asyncio.sleep(REPORT)
            await self._report()

    async def _report(self) -> None:
        try:
            self._channel.tell("figures", await self._figures())
        except ChannelClosed:
            pass  # nobody is left to count it

    async def _expose(self) -> bytes:
        """Everybody's metrics, or the last that were known. Raises RouterError 503 where none are."""
        try:
            async with asyncio.timeout(PATIENCE):
                self._last_text = (await self._channel.ask("metrics")).encode()
        except (TimeoutError, ChannelClosed):
            if not self._last_text:
                raise RouterError(503, "metrics_unavailable", "the other workers' metrics cannot be had now") from None
        return self._last_text


async def work(number: int, listen: Sequence[int], channel: int, read: Read) -> None:
    """Serve connections of the sockets with the descriptors `listen`. Raises as `Worker.run` does."""
    raise_file_limit()
    keep_freed_memory()
    sockets = [socket.socket(fileno=descriptor) for descriptor in listen]
    for sock in sockets:
        sock.setblocking(False)
    await Worker(number, sockets, read).run(socket.socket(fileno=channel))
