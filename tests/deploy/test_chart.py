"""The Helm chart: lints, renders, and is valid Kubernetes, strictly, from the oldest version it names to the newest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tooling import (
    CHART,
    ROOT,
    VALUES,
    Document,
    environment_of,
    of_kind,
    output,
    pod_of,
    render,
    run,
)

SCHEMAS = ROOT / "tests/deploy/schemas"
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}


def pod_specs(manifests: list[Document]) -> Iterator[Document]:
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest["spec"]
        elif manifest["kind"] in ("Deployment", "StatefulSet"):
            yield manifest["spec"]["template"]["spec"]


def test_there_are_values_files_for_each_way_to_run_it() -> None:
    names = {path.stem for path in VALUES}
    assert names >= {"minimal-values", "ha-redis-values", "valkey-values", "workers-values", "everything-values"}


def test_it_lints(values: Path) -> None:
    assert "0 chart(s) failed" in output("helm", "lint", "--strict", CHART, "--values", values)


@pytest.mark.parametrize("version", ["oldest", "1.37"])
def test_every_manifest_is_valid(text: str, manifests: list[Document], version: str, tmp_path: Path) -> None:
    if version == "oldest":
        version = "1.30" if "preStop" in text else "1.27"
    path = tmp_path / "manifests.yaml"
    path.write_text(text)
    said = output("kubernetes-validate", "--strict", "-k", version, path)
    passed = re.findall(r"passed for resource (\w+)/", said)
    own = [manifest for manifest in manifests if manifest["kind"] not in CUSTOM]
    assert sorted(passed) == sorted(manifest["kind"].lower() for manifest in own)


def test_custom_resources_are_valid_too(manifests: list[Document], tmp_path: Path) -> None:
    for kind in sorted({manifest["kind"] for manifest in manifests} & CUSTOM):
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(of_kind(manifests, kind)))
        output("check-jsonschema", "--schemafile", SCHEMAS / f"{kind}.json", path)


def test_the_validators_would_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    bad: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}
    path.write_text(json.dumps(bad))
    assert run("kubernetes-validate", "--strict", path).returncode != 0
    endpoint = {"port": "http", "pth": "/metrics"}
    bad = {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "x", "labels": {}}}
    path.write_text(json.dumps(bad | {"spec": {"selector": {}, "endpoints": [endpoint]}}))
    assert run("check-jsonschema", "--schemafile", SCHEMAS / "ServiceMonitor.json", path).returncode != 0


def test_everything_on_renders_every_kind() -> None:
    kinds = {manifest["kind"] for path in VALUES for manifest in render("--values", path)}
    assert kinds == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "Pod", "PodDisruptionBudget",
        "PrometheusRule", "ScaledObject", "Secret", "Service", "ServiceAccount", "ServiceMonitor", "StatefulSet",
    }  # fmt: skip


def test_no_pod_may_do_more_than_it_must(manifests: list[Document]) -> None:
    pods = list(pod_specs(manifests))
    assert pods
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_every_selector_finds_its_pods(manifests: list[Document]) -> None:
    deployment = of_kind(manifests, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        of_kind(manifests, "Service")["spec"]["selector"],
        of_kind(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(item["labelSelector"]["matchLabels"] for item in pod_of(manifests)["topologySpreadConstraints"]),
    ]
    for manifest in manifests:
        if manifest["kind"] == "NetworkPolicy" and not manifest["metadata"]["name"].endswith("-valkey"):
            selectors.append(manifest["spec"]["podSelector"]["matchLabels"])
        if manifest["kind"] == "ServiceMonitor":
            wanted = manifest["spec"]["selector"]["matchLabels"].items()
            services = [s for s in manifests if s["kind"] == "Service" and wanted <= s["metadata"]["labels"].items()]
            assert services == [of_kind(manifests, "Service")]
    for selector in selectors:
        assert selector.items() <= labels


@pytest.mark.parametrize("name", ["valkey", "everything"])
def test_the_bundled_valkey_is_the_one_that_the_router_is_told_of(name: str) -> None:
    manifests = render("--values", CHART / f"ci/{name}-values.yaml")
    valkey = of_kind(manifests, "StatefulSet", "-valkey")
    service = of_kind(manifests, "Service", "-valkey")
    assert service["spec"]["selector"].items() <= valkey["spec"]["template"]["metadata"]["labels"].items()
    url = environment_of(pod_of(manifests))["ROUTER__STATE__REDIS_URL"]
    assert url.endswith(f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}/0")


def test_names_stay_short_enough_however_long_the_release_is_called() -> None:
    for document in render("--values", CHART / "ci/everything-values.yaml", release="r" * 53):
        assert len(document["metadata"]["name"]) <= 63


def test_chart_and_package_have_one_version() -> None:
    from router import __version__

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
