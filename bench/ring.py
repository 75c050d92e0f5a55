"""The ring: starts contenders and their upstreams on their cores, and lets one run while the others are paused."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Self

from bench import configs
from bench.client import Connection, Target
from bench.contenders import Contender, Place
from bench.process import Process, free_port

READY_WITHIN = 120.0  # seconds
QUIET = 0.05  # seconds within which an idle contender works less than a tenth


@dataclass(frozen=True, slots=True)
class Cores:
    """The contender has one core to itself; upstream and load share the rest."""

    contender: int
    load: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> Self:
        """Raises RuntimeError on a machine with a single core."""
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise RuntimeError("the benchmark needs two cores: one for the contender, one for upstream and load")
        return cls(cores[-1], frozenset(cores[:-1]))


@dataclass(slots=True)
class Runner:
    """A contender that runs, or the upstream itself where nothing stands between (`process` is None)."""

    name: str
    target: Target
    process: Process | None
    ready: float = 0.0
    """Seconds from its start to its first good reply."""

    def cpu(self) -> float:
        return self.process.cpu() if self.process else 0.0

    async def quiet(self, seconds: float = 5.0) -> None:
        """Waits until it has dealt with what came before; some go on with requests whose client has left."""
        end = perf_counter() + seconds
        await asyncio.sleep(QUIET)  # to wake up
        while perf_counter() < end:
            before = self.cpu()
            await asyncio.sleep(QUIET)
            if self.cpu() - before < QUIET / 10:
                return

    @contextmanager
    def turn(self) -> Iterator[None]:
        if self.process is None:
            yield
            return
        self.process.resume()
        try:
            yield
        finally:
            self.process.pause()


class Ring:
    """What a measure needs: two upstreams, and every contender in front of them, paused."""

    def __init__(self, cores: Cores, streaming: bool) -> None:
        self.cores = cores
        self.streaming = streaming
        self.runners: list[Runner] = []
        self.failures: dict[str, str] = {}
        self._stack = ExitStack()
        self.work = Path()

    def __enter__(self) -> Self:
        self.work = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.work.chmod(0o755)
        self.ports = [free_port(), free_port()]
        command = [sys.executable, "-m", "bench.stream_upstream", *map(str, self.ports)]
        if not self.streaming:
            config = self.work / "upstream.conf"
            config.write_text(configs.instant_upstream(str(self.work), self.ports))
            command = ["nginx", "-p", str(self.work), "-c", str(config)]
        self._run(command, set(self.cores.load), "upstream", {})
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    async def start(self, contenders: Sequence[Contender]) -> None:
        """Starts them one after the other. One that does not come up is noted among the failures."""
        direct = Runner("direct", Target(self.ports[0], {}), None)
        await self._ready(direct, None)
        self.runners.append(direct)
        for contender in contenders:
            folder = self.work / contender.name
            folder.mkdir()
            folder.chmod(0o777)
            place = Place(folder, free_port(), free_port(), self.ports)
            command = contender.command(place)
            started = perf_counter()
            process = self._run(command, {self.cores.contender}, contender.name, contender.env)
            runner = Runner(contender.name, Target(place.port, contender.headers(place)), process)
            failure = await self._ready(runner, process)
            runner.ready = perf_counter() - started
            if failure:
                self.failures[contender.name] = f"did not start: {failure} {process.last_words()}".strip()
                process.stop()
                continue
            process.pause()
            self.runners.append(runner)

    def _run(self, command: Sequence[str], cores: set[int], name: str, env: Mapping[str, str]) -> Process:
        process = Process(command, cores, self.work / f"{name}.log", env)
        self._stack.callback(process.stop)
        return process

    async def _ready(self, runner: Runner, process: Process | None) -> str:
        """Asks until the answer is good; returns why it never was."""
        loop, problem = asyncio.get_running_loop(), "no answer"
        end = perf_counter() + READY_WITHIN
        while perf_counter() < end:
            if process is not None and not process.running:
                return "it ended"
            connection: Connection | None = None
            try:
                async with asyncio.timeout(10):
                    _, connection = await loop.create_connection(Connection, "127.0.0.1", runner.target.port)
                    status = await connection.ask(runner.target.request())
                if status == 200:
                    return ""
                problem = f"status {status}"
            except (OSError, TimeoutError) as error:
                problem = str(error)
            finally:
                if connection is not None:
                    connection.close()
            await asyncio.sleep(0.01)
        return problem
