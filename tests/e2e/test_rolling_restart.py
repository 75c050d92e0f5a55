"""Three routers behind a real HAProxy, under load: restarted one by one, reloaded, killed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.balancer import Balancer, balancer, free_ports
from tests.e2e.conftest import Figure
from tests.e2e.load import load
from tests.e2e.processes import Mock, Router, at_once, deployment, mock_process, router_process, settings, until

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

RATE = 200.0
DELAY = 0.6
"""Seconds of `drain_delay`: three times what HAProxy takes to notice."""
PACE = ("--ttft", "0.02", "--tps", "50", "--tokens", "10")


class Fleet:
    """Three routers on ports that stay, and what is in front of and behind them."""

    def __init__(self, stack: ExitStack, folder: Path, mock: Mock) -> None:
        self._stack = stack
        self._folder = folder
        self._mock = mock
        self.ports = free_ports(3)
        self.routers = at_once(stack, *(self._process(number) for number in range(3)))
        self.balancer: Balancer = stack.enter_context(balancer(folder, self.ports))

    def config(self, number: int = 0) -> dict[str, Any]:
        deployments = [
            deployment(self._mock, "m", id=f"d{place}", model=f"u{place}") for place in range(2 + number % 2)
        ]
        config = settings(*deployments)
        config["server"] |= {"drain_delay": DELAY, "drain_seconds": 20}
        return config

    def restart(self, number: int) -> None:
        """As Kubernetes does: the next goes only once this one gets traffic again."""
        router = self.routers[number]
        router.process.send_signal(signal.SIGTERM)
        until(lambda: self.balancer.up()[number] == "0")
        assert router.ended() == 0
        self.start(number)

    def start(self, number: int) -> None:
        """In place of one that has gone, and until it gets traffic."""
        self.routers[number] = self._stack.enter_context(self._process(number))
        until(lambda: self.balancer.up() == "111")

    def reload(self, number: int) -> None:
        """All three, with another configuration."""
        for place, router in enumerate(self.routers):
            folder = self._folder / f"r{place}"
            (folder / "next").write_text(json.dumps(self.config(number)))
            (folder / "next").rename(folder / "router.yaml")  # one of them may be starting
            router.process.send_signal(signal.SIGHUP)

    def _process(self, number: int) -> AbstractContextManager[Router]:
        folder = self._folder / f"r{number}"
        folder.mkdir(exist_ok=True)
        port = str(self.ports[number])
        return router_process(self.config(), folder, "--port", port)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack, tmp_path_factory.mktemp("fleet"), stack.enter_context(mock_process(*PACE)))


async def restarted(fleet: Fleet, rounds: int, reloads: int) -> str:
    """So many restarts of all three, with reloads meanwhile. Returns what to tell of it."""

    async def reload() -> None:
        for number in range(1, reloads + 1):
            await asyncio.to_thread(fleet.reload, number)
            await asyncio.sleep(0.3)

    async with load(fleet.balancer.port, rate=RATE) as running:
        await running.more(100)
        reloading = asyncio.create_task(reload())
        for number in range(3 * rounds):
            await asyncio.to_thread(fleet.restart, number % 3)
        await reloading
        await running.more(100)
    assert running.failures == []
    return f"{3 * rounds} restarts, {reloads} reloads at {RATE:g} requests/s: {running.answered} answered, none failed"


async def test_a_rolling_restart_with_reloads_fails_no_request(fleet: Fleet, figure: Figure) -> None:
    figure(await restarted(fleet, rounds=1, reloads=20))
    assert [router.in_flight() for router in fleet.routers] == [0, 0, 0]


@pytest.mark.long
async def test_nor_do_many(fleet: Fleet, figure: Figure) -> None:
    figure(await restarted(fleet, rounds=10, reloads=200))


async def test_one_that_is_killed_fails_what_it_had_under_way_and_nothing_else(fleet: Fleet, figure: Figure) -> None:
    loop = asyncio.get_running_loop()
    async with load(fleet.balancer.port, rate=RATE) as running:
        await running.more(200)
        under_way = running.sent - running.answered
        fleet.routers[1].kill()
        killed = loop.time()
        await asyncio.to_thread(until, lambda: fleet.balancer.up() == "101")
        await running.more(200)
        await asyncio.to_thread(fleet.start, 1)
    late = [failure for failure in running.failures if failure[0] > killed]
    assert late == []
    assert len(running.failures) <= under_way
    figure(f"one of three killed at {RATE:g} requests/s, {under_way} under way: {len(running.failures)} failed")
    assert [router.in_flight() for router in fleet.routers] == [0, 0, 0]
