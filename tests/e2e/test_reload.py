"""Hot reload of the real command: under load, with files as Kubernetes turns them, with files that are bad."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Figure
from tests.e2e.load import load
from tests.e2e.processes import Mock, Router, deployment, fetch, mock_process, router_process, settings, until

HI: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
RELOADS = 20
RATE = 200.0
PACE = ("--ttft", "0.02", "--tps", "50", "--tokens", "10")


def reloads(router: Router, outcome: str = "success") -> float:
    return router.metric(f'router_config_reloads_total{{outcome="{outcome}"}}')


def write(folder: Path, config: dict[str, Any]) -> None:
    """As a careful tool does: beside it, then in its place."""
    (folder / "next").write_text(json.dumps(config))
    (folder / "next").rename(folder / "router.yaml")


def hang_up(router: Router) -> None:
    """SIGHUP, and wait until it has been heard."""
    before = reloads(router)
    router.process.send_signal(signal.SIGHUP)
    until(lambda: reloads(router) == before + 1)


def told_of(router: Router, field: str) -> dict[str, Any]:
    """The one line of its log that has this field, once it is written."""
    until(lambda: any(field in event for event in router.events()))
    (event,) = [event for event in router.events() if field in event]
    return event


def ask(router: Router, key: str = "", model: str = "m") -> int:
    return fetch(f"{router.url}/chat/completions", HI | {"model": model}, "POST", key=key)[0]


def variant(mock: Mock, number: int) -> dict[str, Any]:
    """Every one is different from the one before in deployments, weights, order, keys and limits."""
    ids = [f"d{place}" for place in range(4) if place != number % 4][:: 1 if number % 2 else -1]
    keys = ["sk-a", "sk-b", f"sk-{number}"][:: 1 if number % 3 else -1]
    deployments = [
        deployment(mock, "m", id=id, model=id, weight=1 + number % 3, api_keys=keys, max_parallel_requests=900)
        for id in ids
    ]
    config = settings(*deployments, routing={"strategy": ("least-busy", "affinity", "round-robin")[number % 3]})
    config["auth"] = {"keys": [{"name": "load", "key": "sk-load"}, {"name": f"n{number}", "key": f"sk-n{number}"}]}
    return config


async def test_twenty_reloads_under_load_fail_no_request(tmp_path: Path, figure: Figure) -> None:
    with mock_process(*PACE) as mock, router_process(variant(mock, 0), tmp_path) as router:
        async with load(router.port, rate=RATE, headers="authorization: Bearer sk-load\r\n") as running:
            for number in range(1, RELOADS + 1):
                write(tmp_path, variant(mock, number))
                await asyncio.to_thread(hang_up, router)
                await running.more(20)
        assert running.failures == []
        assert set(running.served) == {"d0", "d1", "d2", "d3"}
        figure(f"{RELOADS} reloads under {RATE:g} requests/s: {running.answered} answered, none failed")
        assert router.in_flight() == 0
        assert reloads(router, "failure") == 0
        assert router.terminate() == 0


async def test_a_large_file_is_read_beside_the_traffic(tmp_path: Path, figure: Figure) -> None:
    """With 2,000 deployments: an answer never waits for the file to be read, which takes much longer."""
    with mock_process() as mock:
        many = [deployment(mock, f"m{place % 50}", id=f"d{place}", model=f"u{place}") for place in range(2000)]
        config = settings({"model_name": "m", "provider": "mock"}, *many)
        with router_process(config, tmp_path) as router:
            slowest = 0.0

            async def asking() -> None:
                nonlocal slowest
                loop = asyncio.get_running_loop()
                while True:
                    began = loop.time()
                    assert await asyncio.to_thread(ask, router) == 200
                    slowest = max(slowest, loop.time() - began)

            task = asyncio.create_task(asking())
            config["model_list"][5]["weight"] = 2
            write(tmp_path, config)
            await asyncio.to_thread(hang_up, router)
            task.cancel()
            await asyncio.wait([task])
            told = await asyncio.to_thread(told_of, router, "seconds")
            figure(f"2,000 deployments reloaded in {told['seconds']:.2f} s; slowest answer {slowest * 1000:.0f} ms")
            assert slowest < max(0.5 * told["seconds"], 0.2)


def test_a_bad_file_changes_nothing_and_is_told_once_with_every_problem_and_its_place(tmp_path: Path) -> None:
    good = settings({"model_name": "m", "provider": "mock"})
    with router_process(good, tmp_path) as router:
        (tmp_path / "router.yaml").write_text(
            "server: {prot: 1}\nmodel_list:\n  - {model_name: n, provider: mock, wieght: 3}\n"
        )
        until(lambda: reloads(router, "failure") == 1)
        assert ask(router) == 200
        assert router.metric("router_config_last_reload_successful") == 0
        since = router.metric("router_config_last_reload_success_timestamp_seconds")
        told = told_of(router, "problems")
        assert [problem.removeprefix(f"{tmp_path}/") for problem in told["problems"]] == [
            "router.yaml:1:10: server.prot: unknown key (did you mean port?)",
            "router.yaml:3:37: model_list.0.wieght: unknown key (did you mean weight?)",
        ]
        write(tmp_path, settings({"model_name": "n", "provider": "mock"}))
        until(lambda: reloads(router) == 1)
        assert (ask(router), ask(router, model="n")) == (404, 200)
        assert router.metric("router_config_last_reload_successful") == 1
        assert router.metric("router_config_last_reload_success_timestamp_seconds") > since


def test_kubernetes_turns_the_link_to_the_configmap_and_to_the_secret(tmp_path: Path) -> None:
    """A mounted volume: files are links into `..data`, itself a link that is turned to another folder."""

    def mount(name: str, version: str, file: str, text: str) -> Path:
        volume = tmp_path / name
        (volume / version).mkdir(parents=True)
        (volume / version / file).write_text(text)
        (volume / "..data_tmp").symlink_to(version)
        (volume / "..data_tmp").rename(volume / "..data")
        if not (volume / file).is_symlink():
            (volume / file).symlink_to(f"..data/{file}")
        return volume / file

    def config(model: str) -> str:
        keys = [{"name": "team", "key": f"${{file:{tmp_path}/secret/key}}"}]
        return json.dumps(settings({"model_name": model, "provider": "mock"}, auth={"keys": keys}))

    mount("secret", "..1", "key", "sk-one\n")
    path = mount("config", "..1", "router.yaml", config("m"))
    with router_process(path, tmp_path) as router:
        assert (ask(router, "sk-one"), ask(router, "sk-two")) == (200, 401)
        mount("secret", "..2", "key", "sk-two\n")
        until(lambda: ask(router, "sk-two") == 200)
        assert ask(router, "sk-one") == 401
        mount("config", "..2", "router.yaml", config("n"))
        until(lambda: ask(router, "sk-two", "n") == 200)
        assert ask(router, "sk-two", "m") == 404
        assert (reloads(router), reloads(router, "failure")) == (2, 0)


def test_keys_that_are_removed_and_added_are_so_at_once(tmp_path: Path) -> None:
    def config(*keys: str) -> dict[str, Any]:
        auth = {"keys": [{"name": key, "key": key} for key in keys]}
        return settings({"model_name": "m", "provider": "mock"}, auth=auth)

    with router_process(config("sk-one", "sk-two"), tmp_path) as router:
        assert [ask(router, key) for key in ("sk-one", "sk-two", "sk-three")] == [200, 200, 401]
        write(tmp_path, config("sk-two", "sk-three"))
        hang_up(router)
        assert [ask(router, key) for key in ("sk-one", "sk-two", "sk-three")] == [401, 200, 200]


def test_what_waits_for_a_restart_is_named_in_the_log(tmp_path: Path) -> None:
    config = settings({"model_name": "m", "provider": "mock"})
    with router_process(config, tmp_path) as router:
        config["server"] |= {"access_log": "elsewhere", "drain_seconds": 9}
        write(tmp_path, config)
        hang_up(router)
        told = told_of(router, "settings")
        assert (told["level"], told["settings"]) == ("warning", ["server.access_log"])


def test_it_starts_with_no_more_than_it_reloads_with(tmp_path: Path) -> None:
    """A signal that comes while it starts does not end it."""
    with router_process(settings({"model_name": "m", "provider": "mock"}), tmp_path) as router:
        for _ in range(30):
            os.kill(router.process.pid, signal.SIGHUP)
        until(lambda: reloads(router) >= 1)
        assert ask(router) == 200
