"""When the configuration is read anew, and what becomes of it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

import router.process.reload as module
from router.config.load import Config
from router.config.sources import Sources
from router.core.errors import ConfigError
from router.core.events import Event, Reloaded
from router.process.reload import Reloader


@dataclass
class Change:
    text: str
    fixed: tuple[str, ...] = ()


@dataclass
class Router:
    """What is reconfigured: its configuration is the text of a file. `refuses` is what it cannot serve by."""

    file: Path
    refuses: str = "bad"
    reads: int = 0
    in_force: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    unforeseen: list[BaseException] = field(default_factory=list)
    threads: set[bool] = field(default_factory=set)
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def read(self, sources: Sources) -> Config:
        self.reads += 1
        text = sources.read(self.file).decode()
        if text == self.refuses:
            raise ConfigError([f"{self.file.name}:1:1: {text}", "another problem"])
        if text == "bug":
            raise ZeroDivisionError
        return cast(Config, text)

    def prepare(self, config: Config) -> Change:
        self.threads.add(threading.current_thread() is threading.main_thread())
        return Change(cast(str, config), ("server.port",) if cast(str, config) == "port" else ())

    def adopt(self, change: Change) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.in_force.append(change.text)

    def observe(self, event: Event) -> None:
        self.events.append(event)
        self.happened.set()

    def outcomes(self) -> list[bool]:
        return [not event.problems for event in self.events if isinstance(event, Reloaded)]

    async def heard(self, count: int) -> list[Reloaded]:
        """Wait for so many reloads."""
        async with asyncio.timeout(10):
            while len(self.events) < count:
                await self.happened.wait()
                self.happened.clear()
        return [event for event in self.events if isinstance(event, Reloaded)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Router:
    monkeypatch.setattr(module, "POLL", 0.01)
    monkeypatch.setattr(module, "SETTLED", 0.01)
    file = tmp_path / "router.yaml"
    file.write_text("one")
    return Router(file)


@asynccontextmanager
async def watching(world: Router) -> AsyncIterator[Reloader[Change]]:
    sources = Sources()
    sources.read(world.file)
    reloader = Reloader(world.read, sources, world, world.observe, world.unforeseen.append, lambda: 5.0)
    task = asyncio.create_task(reloader.run())
    yield reloader
    task.cancel()
    await asyncio.wait([task])


async def test_a_signal_reloads_whether_or_not_anything_has_changed(world: Router) -> None:
    async with watching(world) as reloader:
        reloader.ask()
        (event,) = await world.heard(1)
        assert (world.in_force, event.at, event.problems) == (["one"], 5.0, ())
        assert world.threads == {False}


async def test_a_change_of_the_file_reloads_once(world: Router) -> None:
    async with watching(world):
        world.file.write_text("two")
        await world.heard(1)
        await asyncio.sleep(0.05)
        assert (world.in_force, world.reads) == (["two"], 1)


async def test_without_a_change_nothing_is_read(world: Router) -> None:
    async with watching(world):
        await asyncio.sleep(0.05)
        assert world.reads == 0


async def test_a_bad_file_changes_nothing_and_is_told_once_with_everything_that_is_wrong(world: Router) -> None:
    async with watching(world):
        world.file.write_text("bad")
        (event,) = await world.heard(1)
        assert event.problems == ("router.yaml:1:1: bad", "another problem")
        await asyncio.sleep(0.05)
        assert (world.in_force, world.outcomes()) == ([], [False])
        world.file.write_text("good")
        await world.heard(2)
        assert (world.in_force, world.outcomes()) == (["good"], [False, True])


async def test_so_does_one_that_is_gone_until_it_is_back(world: Router) -> None:
    async with watching(world):
        world.file.unlink()
        await world.heard(1)
        world.file.write_text("back")
        await world.heard(2)
        assert (world.in_force, world.outcomes()) == (["back"], [False, True])


async def test_an_error_nobody_foresaw_is_a_refusal_too(world: Router) -> None:
    async with watching(world):
        world.file.write_text("bug")
        (event,) = await world.heard(1)
        assert event.problems
        assert [type(error) for error in world.unforeseen] == [ZeroDivisionError]
        world.file.write_text("mended")
        await world.heard(2)
        assert world.in_force == ["mended"]


async def test_what_waits_for_a_restart_is_told(world: Router) -> None:
    async with watching(world):
        world.file.write_text("port")
        (event,) = await world.heard(1)
        assert event.fixed == ("server.port",)


async def test_a_file_that_is_still_being_written_is_left_to_settle(
    world: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED", 0.2)
    async with watching(world):
        for length in range(1, 8):
            world.file.write_text("x" * length)
            await asyncio.sleep(0.02)
        await world.heard(1)
        assert world.in_force == ["x" * 7]


async def test_several_signals_at_once_are_one_reload(world: Router) -> None:
    async with watching(world) as reloader:
        for _ in range(5):
            reloader.ask()
        await world.heard(1)
        await asyncio.sleep(0.05)
        assert world.reads == 1


async def test_the_collector_and_the_threads_turns_are_as_before_afterwards(world: Router) -> None:
    turn = sys.getswitchinterval()
    async with watching(world) as reloader:
        reloader.ask()
        await world.heard(1)
    assert gc.isenabled()
    assert sys.getswitchinterval() == turn
    gc.unfreeze()
