"""`server.workers`: several processes on one port, that crash, reload, leave and count as one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Figure
from tests.e2e.load import load
from tests.e2e.processes import Router, deployment, fetch, mock_process, router_process, run, settings, until

HI: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
SERVED = 'router_requests_total{kind="chat",model="m",outcome="ok",status="200"}'
PACE = ("--ttft", "0.02", "--tps", "50", "--tokens", "10")
RATE = 150.0


def of_workers(count: int, *deployments: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = settings(*(deployments or [{"model_name": "m", "provider": "mock"}]), **more)
    config["server"] |= {"workers": count}
    return config


def pids(router: Router) -> dict[int, int]:
    """Of every worker, the process that was last ready."""
    return {event["worker"]: event["pid"] for event in router.events() if event["event"] == "worker ready"}


def all_ready(router: Router, count: int = 2) -> dict[int, int]:
    until(lambda: router.metric("router_workers") == count, 30)
    until(lambda: len(pids(router)) == count)
    return pids(router)


def ask(router: Router, key: str = "") -> int:
    return fetch(f"{router.url}/chat/completions", HI, "POST", key=key)[0]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def test_one_that_is_killed_takes_only_its_own_requests_with_it_and_comes_back(
    tmp_path: Path, figure: Figure
) -> None:
    loop = asyncio.get_running_loop()
    with mock_process(*PACE) as mock, router_process(of_workers(2, deployment(mock, "m")), tmp_path) as router:
        before = await asyncio.to_thread(all_ready, router)
        async with load(router.port, rate=RATE) as running:
            await running.more(150)
            counted = await asyncio.to_thread(router.metric, SERVED)
            assert counted >= 100
            under_way, killed_at = running.sent - running.answered, loop.time()
            os.kill(before[1], signal.SIGKILL)
            await running.more(50)
            assert await asyncio.to_thread(router.metric, SERVED) >= counted
            await asyncio.to_thread(until, lambda: pids(router)[1] != before[1], 30)
            await running.more(100)
        # A busy client may write to a connection that it has not seen the end of yet.
        assert [failure for failure in running.failures if failure[0] > killed_at + 0.5] == []
        assert len(running.failures) <= under_way + 0.5 * RATE
        figure(f"one of two workers killed, {under_way} requests under way: {len(running.failures)} failed")
        assert await asyncio.to_thread(router.metric, "router_worker_restarts_total") == 1
        told = [event for event in router.events() if event["event"] == "worker ended"]
        assert [(event["worker"], event["how"], event["again_in"]) for event in told] == [(1, "killed by SIGKILL", 0.1)]
        await asyncio.to_thread(until, lambda: router.in_flight() == 0)
        lost = running.answered - len(running.failures) - await asyncio.to_thread(router.metric, SERVED)
        assert 0 <= lost <= 2 * RATE, "what was not reported yet when it was killed"
        assert await asyncio.to_thread(router.terminate) == 0


def test_the_sum_is_the_same_whoever_is_asked(tmp_path: Path) -> None:
    with router_process(of_workers(3), tmp_path) as router:
        all_ready(router, 3)
        for _ in range(60):
            assert ask(router) == 200
        assert {router.metric(SERVED) for _ in range(10)} == {60.0}
        asked = Counter(json.loads(fetch(f"{router.root}/router/status")[1])["worker"] for _ in range(60))
        assert len(asked) > 1
        os.kill(pids(router)[2], signal.SIGTERM)
        until(lambda: any(event.get("how") == "exit code 0" for event in router.events()))
        assert router.metric(SERVED) == 60.0


async def test_a_limit_is_one_for_all_of_them(tmp_path: Path, figure: Figure) -> None:
    """Within three percent, though it is asked for 138 times over."""
    rate = 230
    config = of_workers(2, auth={"keys": [{"name": "team", "key": "sk-team", "rpm": 100}]})
    with router_process(config, tmp_path) as router, ThreadPoolExecutor(32) as threads:
        await asyncio.to_thread(all_ready, router)
        await asyncio.to_thread(until, lambda: router.metric("router_state_replicas") >= 2)
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        asked = []
        for number in range(3 * rate):
            await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0.0))
            asked.append(loop.run_in_executor(threads, ask, router, "sk-team"))
        statuses = Counter(await asyncio.gather(*asked))
        figure(f"rpm 100 with two workers, at {rate} requests/s: {statuses[200]} admitted of {statuses.total()}")
        assert set(statuses) == {200, 429}
        assert 97 <= statuses[200] <= 103


def test_all_of_them_reload(tmp_path: Path) -> None:
    def config(*keys: str) -> dict[str, Any]:
        return of_workers(2, auth={"keys": [{"name": key, "key": key} for key in keys]})

    with router_process(config("sk-one"), tmp_path) as router:
        all_ready(router)
        assert {ask(router, "sk-one") for _ in range(20)} == {200}
        (tmp_path / "router.yaml").write_text(json.dumps(config("sk-two")))
        router.process.send_signal(signal.SIGHUP)
        until(lambda: sum(event["event"] == "configuration reloaded" for event in router.events()) == 3)
        assert {ask(router, "sk-one") for _ in range(20)} == {401}
        assert {ask(router, "sk-two") for _ in range(20)} == {200}
        assert router.metric('router_config_reloads_total{outcome="success"}') == 1

        (tmp_path / "router.yaml").write_text("model_list: 5")
        until(lambda: router.metric('router_config_reloads_total{outcome="failure"}') == 1)
        first = pids(router)[1]
        os.kill(first, signal.SIGKILL)
        until(lambda: pids(router)[1] != first, 30)
        assert {ask(router, "sk-two") for _ in range(20)} == {200}, (
            "one that is started anew serves by what is in force"
        )


async def test_one_drain_for_all(tmp_path: Path) -> None:
    with (
        mock_process("--tps", "20", "--tokens", "20") as mock,
        router_process(of_workers(2, deployment(mock, "m")), tmp_path) as router,
    ):
        workers = await asyncio.to_thread(all_ready, router)
        async with openai.AsyncOpenAI(base_url=router.url, api_key="-", max_retries=0, timeout=30) as client:
            streams = [await client.chat.completions.create(**HI, stream=True) for _ in range(6)]
            firsts = [await anext(stream) for stream in streams]
            router.process.send_signal(signal.SIGTERM)
            ends = [[chunk async for chunk in stream][-1] for stream in streams]
        assert len(firsts) == 6
        assert {end.choices[0].finish_reason for end in ends} == {"stop"}
        assert await asyncio.to_thread(router.ended) == 0
        assert all(map(gone, workers.values()))
        events = [event["event"] for event in router.events()]
        assert (events.count("draining"), events[-1]) == (3, "stopped")


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    with router_process(of_workers(2), tmp_path) as router:
        workers = all_ready(router)
        router.kill()
        until(lambda: all(map(gone, workers.values())))


def test_a_worker_that_cannot_start_ends_it_with_its_code(tmp_path: Path) -> None:
    config = of_workers(2)
    config["server"] |= {"access_log": str(tmp_path / "missing" / "access.log"), "port": 0}
    (tmp_path / "router.yaml").write_text(json.dumps(config))
    result = run("serve", "--config", str(tmp_path / "router.yaml"))
    assert result.returncode == 1
    assert "cannot serve" in result.stderr


@pytest.mark.long
def test_one_that_hangs_is_killed_when_the_drain_is_over(tmp_path: Path) -> None:
    config = of_workers(2)
    config["server"] |= {"drain_seconds": 1}
    with router_process(config, tmp_path) as router:
        workers = all_ready(router)
        os.kill(workers[2], signal.SIGSTOP)
        assert router.terminate() == 0
        assert all(map(gone, workers.values()))
        assert [event["worker"] for event in router.events() if event["event"].startswith("worker killed")] == [2]
