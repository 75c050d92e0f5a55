"""What the chart relies on in the router: its rendered pod, run here, answers."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import yaml

from tests.deploy.pods import Pod
from tests.deploy.tooling import CHART, ROOT, Document, environment_of, of_kind, pod_of, render
from tests.e2e.processes import Router, fetch, run, until

BODY = {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}]}
MINIMAL = CHART / "ci/minimal-values.yaml"


def ask(router: Router, key: str, model: str = "demo") -> int:
    """Status of one chat completion."""
    return fetch(f"{router.url}/chat/completions", BODY | {"model": model}, "POST", key=key)[0]


def test_the_rendered_pod_answers_those_who_have_a_key(manifests: list[Document], tmp_path: Path) -> None:
    pod = Pod(manifests, tmp_path)
    with pod.running() as router:
        assert fetch(f"{router.root}/health/live")[0] == 200
        assert fetch(f"{router.root}/health/ready")[0] == 200
        keys = [key for name, key in pod.keys.items() if name in ("master-key", "search-team-key")]
        assert [ask(router, key) for key in keys] == [200]
        assert ask(router, "") == 401
        assert ask(router, "sk-wrong") == 401
        (listening,) = [event for event in router.events() if event["event"] == "listening"]
        assert listening["host"] == "0.0.0.0"


def test_without_keys_it_would_not_listen_beyond_loopback(tmp_path: Path) -> None:
    pod = Pod(render("--values", MINIMAL), tmp_path)
    without = tmp_path / "router.yaml"
    without.write_text("model_list: [{model_name: demo, provider: mock}]")
    result = run("serve", "--config", str(without), cwd=ROOT, **pod.env)
    assert result.returncode == 2
    assert "without auth.keys the router listens on loopback only" in result.stderr


def test_a_key_that_is_missing_from_the_secret_is_named(tmp_path: Path) -> None:
    pod = Pod(render("--values", MINIMAL), tmp_path)
    (pod.secrets / "master-key").unlink()
    result = run("serve", "--config", str(pod.config / "router.yaml"), cwd=ROOT, **pod.env)
    assert result.returncode == 2
    assert "router.yaml:2:" in result.stderr
    assert f"cannot read {pod.secrets}/master-key" in result.stderr


def test_it_leaves_within_the_time_that_kubernetes_gives_it(tmp_path: Path) -> None:
    drain = json.dumps({"delay": 0.5, "seconds": 0.5, "margin": 5})
    manifests = render("--values", MINIMAL, "--set-json", f"drain={drain}")
    grace = pod_of(manifests)["terminationGracePeriodSeconds"]
    assert grace == 6
    pod = Pod(manifests, tmp_path)
    with pod.running(leaving=True) as router, socket.create_connection(("127.0.0.1", router.port)) as unfinished:
        unfinished.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        began = time.perf_counter()
        router.process.send_signal(signal.SIGTERM)
        until(lambda: fetch(f"{router.root}/health/ready")[0] == 503)
        assert ask(router, pod.keys["master-key"]) == 200
        assert router.ended(20) == 0
        assert 1.0 <= time.perf_counter() - began < grace


def test_it_scales_on_a_metric_that_the_router_has(tmp_path: Path) -> None:
    metric = yaml.safe_load((CHART / "values.yaml").read_text())["autoscaling"]["metric"]
    manifests = render("--values", CHART / "ci/everything-values.yaml")
    query = of_kind(manifests, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert query == f'sum({metric}{{namespace="llm", service="router-llm-router"}})'
    with Pod(render("--values", MINIMAL), tmp_path).running() as router:
        text = fetch(f"{router.root}/metrics")[1].decode()
    assert f"\n# TYPE {metric} gauge\n{metric} " in text


def test_every_variable_that_the_chart_sets_is_a_setting(manifests: list[Document]) -> None:
    from router.config.schema import Settings

    for name in environment_of(pod_of(manifests)):
        if name.startswith("ROUTER__"):
            section, setting = name.removeprefix("ROUTER__").lower().split("__")
            known = type(getattr(Settings(), section)).model_fields
            assert setting in known
