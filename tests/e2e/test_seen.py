"""Seen with real data: a real Prometheus, with the shipped rules, scrapes a loaded router through an outage.

Every panel's query answers, and every alert that can be brought about in seconds fires and resolves. Those that take
longer are behind the marker `long`: `make test PYTEST_ARGS="-m long tests/e2e/test_seen.py"`.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Figure
from tests.e2e.processes import Mock, Router, at_once, deployment, mock_process, router_process, until
from tests.e2e.prometheus import WINDOW, Prometheus, prometheus_process
from tests.state.redis_servers import RedisServer, redis_server

ROOT = Path(__file__).parents[2]
PANELS = [
    panel
    for panel in json.loads((ROOT / "deploy" / "grafana" / "llm-router.json").read_text())["panels"]
    if panel["type"] != "row"
]
OUTAGE = {
    "RouterErrors", "RouterModelDown", "RouterRejecting", "RouterQueueFull", "RouterDeploymentDown",
    "RouterCredentialsRefused", "RouterRateLimited", "RouterFallbacks", "RouterRetriesDenied", "RouterConnectionsFail",
    "RouterStateDegraded",
}  # fmt: skip
PROCESS = {"RouterFilesShort", "RouterLogLinesDropped", "RouterEventLoopLag", "RouterReloadFailed"}
SLOW = {"RouterFirstTokenSlow", "RouterHeadroomLow", "RouterOverhead"}
RESTARTS = {"RouterRestarting"}

MESSAGE = {"role": "user", "content": "How are you?"}

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus")


@dataclass
class Stage:
    """The router, what it routes to, and who watches it. `port` is the router's for good."""

    good: Mock
    bad: Mock
    refusing: Mock
    router: Router
    prometheus: Prometheus
    redis: RedisServer
    log: Path


class Load:
    """Clients that ask for models again and again, on a thread of their own. `models` may be changed at any time."""

    def __init__(self, port: int, models: dict[str, float]) -> None:
        """`models`: requests a second of each. `body` is what is sent for `chat` in place of the usual."""
        self.port = port
        self.models = models
        self.body = b""
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)

    async def _run(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        due = dict.fromkeys(self.models, 0.0)
        count = 0
        while not self._over.is_set():
            now = time.monotonic()
            for model, rate in list(self.models.items()):
                if rate and now >= due.setdefault(model, now):
                    due[model] = max(due[model] + 1 / rate, now)
                    count += 1
                    tasks.add(task := asyncio.create_task(self._ask(model, stream=bool(count % 2), key=count % 3)))
                    task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # for the sockets to close

    async def _ask(self, model: str, *, stream: bool, key: int) -> None:
        body = json.dumps({"model": model, "messages": [MESSAGE], "stream": stream}).encode()
        if self.body and model == "chat":
            body = self.body
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
            f"authorization: Bearer sk-{('search', 'batch', 'wrong')[key]}\r\n\r\n"
        )
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return  # the router is down: that is part of the play
        try:
            writer.write(head.encode() + body)
            await reader.read()
        except OSError:
            pass
        finally:
            writer.transport.abort()


def house(good: Mock, bad: Mock, refusing: Mock) -> dict[str, Any]:
    """Every way to fail: `solo` and `lone` are on the upstream that goes down, `narrow` has one slot, and so on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    priced = {"input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002}
    return {
        "server": {"drain_delay": 0, "drain_seconds": 1},
        "auth": {
            "keys": [
                {"name": "search", "key": "sk-search", "team": "web"},
                {"name": "batch", "key": "sk-batch", "team": "data"},
            ]
        },
        "routing": {
            "cooldown": {"base": 0.5, "max": 1, "min_requests": 3, "window": 2},
            "retry_budget": {"ratio": 0, "min_per_second": 0},
            "fallbacks": {"solo": ["chat"]},
        },
        "models": {"narrow": {"queue": {"max_waiting": 2, "timeout": 0.3}}},
        "model_list": [
            deployment(good, "chat", id="chat-a", model="a", rpm=100_000, **priced),
            deployment(bad, "chat", id="chat-b", model="b", **priced),
            deployment(bad, "solo", id="solo", model="solo", **priced),
            deployment(bad, "lone", id="lone", model="lone"),
            deployment(good, "narrow", id="narrow", model="narrow", max_parallel_requests=1),
            deployment(refusing, "refused", id="refused", model="refused", api_key="sk-not-this-one"),
            deployment(good, "limited", id="limited", model="limited", rpm=40),
            {"model_name": "gone", "id": "gone", "provider": "openai", "api_base": f"http://127.0.0.1:{closed}/v1"},
        ],
    }


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    pace = ("--ttft", "0.1", "--tps", "100", "--tokens", "8")
    with ExitStack() as stack, redis_server(folder) as redis:
        good, bad, refusing = at_once(
            stack, mock_process(*pace), mock_process(*pace), mock_process("--api-key", "sk-upstream")
        )
        config = house(good, bad, refusing)
        log = folder / "access-log.jsonl"
        config["server"]["access_log"] = str(log)
        config["state"] = {"redis_url": redis.url}
        with router_process(config, folder) as router, prometheus_process(folder, router.port) as prometheus:
            yield Stage(good, bad, refusing, router, prometheus, redis, log)


def outage(stage: Stage, load: Load) -> None:
    """One upstream goes down, another says 429, clients come in crowds; and then all is well again."""
    load.models.update(solo=10, lone=10, narrow=30, refused=5, gone=5)
    stage.bad.behave(script=["503"])
    stage.good.behave(script=["ok", "429"])
    stage.redis.stop()
    stage.prometheus.until_fired(OUTAGE)
    stage.redis.start()
    stage.good.reset()
    stage.bad.reset()
    load.models.update(narrow=2, refused=0, gone=0)
    stage.prometheus.until_resolved(OUTAGE)


def trouble_at_home(stage: Stage) -> None:
    """Files run short, the disk is full, the configuration is bad, and the event loop stands still again and again."""
    config = stage.log.parent / "router.yaml"
    good = config.read_text()
    config.write_text("nonsense: true")
    pid = stage.router.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = len(os.listdir(f"/proc/{pid}/fd")) + 2
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, limits[1]))
    stage.log.rename(stage.log.with_suffix(".1"))
    stage.log.symlink_to("/dev/full")
    ends = time.monotonic() + 30
    while PROCESS - stage.prometheus.fired and time.monotonic() < ends:
        stage.router.process.send_signal(signal.SIGSTOP)
        time.sleep(0.15)
        stage.router.process.send_signal(signal.SIGCONT)
        time.sleep(0.25)
        stage.prometheus.firing()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    stage.log.unlink()
    config.write_text(good)
    stage.prometheus.until_fired(PROCESS, 0.1)
    stage.prometheus.until_resolved(PROCESS)


def seen(prometheus: Prometheus, panel: dict[str, Any]) -> bool:
    """Whether every query of a panel has had something to show."""
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", WINDOW).replace("$job", ".*").replace("$instance", ".*")
        if not prometheus.values(expression):
            return False
    return True


def play(stage: Stage, *acts: Callable[[Stage, Load], None]) -> None:
    load = Load(stage.router.port, {"chat": 20, "solo": 5, "lone": 5, "narrow": 2})
    try:
        for act in acts:
            act(stage, load)
    finally:
        load.stop()


def test_an_outage_is_seen_on_every_panel_and_told_by_every_alert(tmp_path: Path, figure: Figure) -> None:
    began = time.monotonic()
    with staged(tmp_path) as stage:
        play(stage, outage, lambda stage, _: trouble_at_home(stage))
        stage.router.kill()
        stage.prometheus.until_fired({"RouterDown"})
        empty = [panel["title"] for panel in PANELS if not seen(stage.prometheus, panel)]
    figure(f"{len(PANELS)} panels and {len(stage.prometheus.fired)} alerts in {time.monotonic() - began:.0f} s")
    assert empty == []


def test_every_alert_is_brought_about_here() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert names == OUTAGE | PROCESS | SLOW | RESTARTS | {"RouterDown"}


def slowness(stage: Stage, load: Load) -> None:
    """First tokens take eleven seconds, one deployment is used up, and later prompts are huge."""
    huge = {"RouterOverhead"}
    stage.good.behave(time_to_first_token=11.0)
    stage.bad.behave(time_to_first_token=11.0)
    load.models.update(limited=20)
    stage.prometheus.until_fired(SLOW - huge, 60)
    stage.good.reset()
    stage.bad.reset()
    load.models.update(limited=0, chat=2, solo=0, lone=0, narrow=0)
    load.body = json.dumps({"model": "chat", "messages": [MESSAGE] * 200_000}).encode()
    stage.prometheus.until_fired(huge, 60)
    load.body = b""
    stage.prometheus.until_resolved(SLOW, 120)


@pytest.mark.long
def test_what_is_slow_is_told_and_its_end_too(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        play(stage, slowness)


@pytest.mark.long
def test_a_router_that_comes_and_goes_is_told_and_its_end_too(tmp_path: Path) -> None:
    config = {"server": {"drain_delay": 0}, "model_list": [{"model_name": "m", "provider": "mock"}]}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with prometheus_process(tmp_path, port, minute=3.0) as prometheus:
        for _ in range(4):
            with router_process(config, tmp_path, "--port", str(port)) as router:
                until(lambda: prometheus.latest("up") == [1.0], 30)
                router.kill()
            until(lambda: prometheus.latest("up") == [0.0], 30)
        prometheus.until_fired(RESTARTS | {"RouterDown"})
        with router_process(config, tmp_path, "--port", str(port)):
            prometheus.until_resolved(RESTARTS | {"RouterDown"}, 80)
