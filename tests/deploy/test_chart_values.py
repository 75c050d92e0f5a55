"""The chart's values: each described, none mistyped, and those that contradict each other refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tooling import CHART, SECRETS, Document, environment_of, of_kind, pod_of, refusal, render
from tests.deploy.values_table import PAGE, page_with_table

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
MINIMAL = ("--values", CHART / "ci/minimal-values.yaml")


def leaves(schema: Document, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Document]]:
    """Every value that a schema names."""
    for name, item in schema["properties"].items():
        if item.get("additionalProperties") is False and item["type"] == "object":
            yield from leaves(item, (*path, name))
        elif name != "global":
            yield (*path, name), item


def at(values: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        values = values[step]
    return values


def named(values: Any, schema: Document, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    known = {step for step, _ in leaves(schema)}
    for name, item in values.items():
        if (*path, name) in known or not isinstance(item, dict):
            yield (*path, name)
        else:
            yield from named(item, schema, (*path, name))


def test_schema_and_defaults_name_the_same_values_each_described() -> None:
    described = dict(leaves(SCHEMA))
    assert set(described) == set(named(DEFAULTS, SCHEMA))
    assert all(len(item["description"]) > 5 for item in described.values())


def test_the_page_lists_every_value_as_it_is() -> None:
    assert PAGE.read_text() == page_with_table(PAGE.read_text()), "run: make docs"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("drain.margn=3", "'/drain': additional properties 'margn' not allowed"),
        ("drain.margin=1", "'/drain/margin': minimum: got 1, want 5"),
        ("replica=3", "additional properties 'replica' not allowed"),
        ("replicas=-1", "'/replicas'"),
        ("workers=0", "'/workers'"),
        ("configReload=warm", "value must be one of 'hot', 'rollout'"),
        ("redis.url=http://redis", "'/redis/url'"),
        ("image.digest=sha256:12", "'/image/digest'"),
        ("service.type=ExternalName", "'/service/type'"),
        ("port=80", "'/port': minimum"),
        ("env[0].name=ROUTER__SERVER__PORT,env[0].value=1", "'/env/0/name'"),
        ("secret.data.master-key=", "'/secret/data/master-key'"),
        ("secret.existingSecret=x", "give secret.data or secret.existingSecret, not both"),
        ("keda.enabled=true", "keda needs keda.serverAddress"),
        (
            "keda.enabled=true,keda.serverAddress=http://x,autoscaling.enabled=true",
            "autoscaling and keda would both scale the Deployment",
        ),
        ("valkey.enabled=true,redis.url=redis://x", "give redis or enable valkey, not both"),
        ("valkey.enabled=true,valkey.passwordKey=pw", "valkey.passwordKey names pw, which secret.data has not"),
        ("redis.urlKey=redis-url", "redis.urlKey names redis-url, which secret.data has not"),
        ("config=[]", "config is no YAML mapping"),
        ("config=a: b: c", "config is no YAML mapping"),
        ("config=server: {drain_seconds: 10}", "config has server.drain_seconds: take it out and set the value drain"),
        ("config=server: {workers: 2}", "config has server.workers: take it out and set the value workers"),
    ],
)
def test_values_that_cannot_work_are_refused(setting: str, told: str) -> None:
    assert told in refusal(*MINIMAL, *("--set", setting.replace("{", r"\{").replace("}", r"\}")))


def test_without_any_key_it_says_what_is_missing() -> None:
    assert "give secret.data (--set secret.data.master-key=…) or secret.existingSecret" in refusal()


def test_a_pod_has_time_to_leave(values: Path, manifests: list[Document]) -> None:
    drain = DEFAULTS["drain"] | yaml.safe_load(values.read_text()).get("drain", {})
    pod, env = pod_of(manifests), environment_of(pod_of(manifests))
    assert float(env["ROUTER__SERVER__DRAIN_DELAY"]) == drain["delay"]
    assert float(env["ROUTER__SERVER__DRAIN_SECONDS"]) == drain["seconds"]
    together = drain["preStop"] + drain["delay"] + drain["seconds"] + drain["margin"]
    assert together <= pod["terminationGracePeriodSeconds"] < together + 1
    lifecycle = pod["containers"][0].get("lifecycle")
    assert lifecycle == ({"preStop": {"sleep": {"seconds": drain["preStop"]}}} if drain["preStop"] else None)


def test_probes_ask_what_the_router_answers(manifests: list[Document]) -> None:
    container = pod_of(manifests)["containers"][0]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startup": "/health/ready", "readiness": "/health/ready", "liveness": "/health/live",
    }  # fmt: skip
    assert {get["port"] for get in asked.values()} == {port["name"] for port in container["ports"]} == {"http"}


def test_router_yaml_arrives_as_it_was_written(tmp_path: Path) -> None:
    text = "# a comment\nauth: {master_key: x}\nmodel_list:\n  - {model_name: m, provider: mock} # 0.0000025\n"
    path = tmp_path / "router.yaml"
    path.write_text(text)
    manifests = render(*MINIMAL, "--set-file", f"config={path}")
    assert of_kind(manifests, "ConfigMap")["data"] == {"router.yaml": text}


@pytest.mark.parametrize("reload", ["hot", "rollout"])
def test_a_changed_router_yaml_changes_the_pods_only_where_asked(reload: str) -> None:
    def pods(config: str) -> Document:
        manifests = render(*MINIMAL, "--set", f"configReload={reload}", "--set", f"config={config}")
        return dict(of_kind(manifests, "Deployment"))

    assert (pods("a: 1") == pods("a: 2")) is (reload == "hot")


def test_a_config_map_of_ones_own_is_used_and_none_is_made() -> None:
    manifests = render(*MINIMAL, "--set", "existingConfigMap=mine")
    assert [manifest for manifest in manifests if manifest["kind"] == "ConfigMap"] == []
    volumes = {volume["name"]: volume for volume in pod_of(manifests)["volumes"]}
    assert volumes["config"]["configMap"]["name"] == "mine"


def test_redis_may_be_named_by_a_secret() -> None:
    manifests = render(*MINIMAL, "--set", "redis.urlKey=master-key")
    url = environment_of(pod_of(manifests))["ROUTER__STATE__REDIS_URL"]
    assert url == f"${{file:{SECRETS}/master-key}}"
