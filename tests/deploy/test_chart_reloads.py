"""A changed ConfigMap or Secret, written into the running pod as the kubelet does it."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.pods import Pod, project
from tests.deploy.test_chart_serves import ask
from tests.deploy.tooling import CHART, render
from tests.e2e.processes import until

MINIMAL = ("--values", CHART / "ci/minimal-values.yaml")
REFUSED = 'router_config_reloads_total{outcome="failure"}'
TAKEN_UP = 'router_config_reloads_total{outcome="success"}'


def test_a_change_is_in_force_without_a_restart_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    pod = Pod(render(*MINIMAL), tmp_path)
    key = pod.keys["master-key"]
    first = (pod.config / "router.yaml").read_text()
    with pod.running() as router:
        assert (ask(router, key), ask(router, key, "added")) == (200, 404)

        project(pod.config, {"router.yaml": first + "  - {model_name: added, provider: mock}\n"}, "2")
        until(lambda: ask(router, key, "added") == 200, 20)

        project(pod.config, {"router.yaml": first.replace("provider", "provder")}, "3")
        until(lambda: router.metric(REFUSED) == 1, 20)
        assert (ask(router, key), ask(router, key, "added")) == (200, 200)
        assert router.terminate() == 0
        said = [event["event"] for event in router.events()]
    assert said.count("configuration reloaded") == 1
    assert said.count("configuration refused: the one before stays in force") == 1


def test_a_rotated_key_is_taken_up_too(tmp_path: Path) -> None:
    pod = Pod(render(*MINIMAL), tmp_path)
    with pod.running() as router:
        assert ask(router, pod.keys["master-key"]) == 200
        project(pod.secrets, {"master-key": "sk-rotated"}, "2")
        until(lambda: ask(router, "sk-rotated") == 200, 20)
        assert ask(router, pod.keys["master-key"]) == 401
        assert router.metric(TAKEN_UP) == 1
