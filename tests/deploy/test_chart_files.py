"""The dashboard and the rules that the chart carries are those of deploy/grafana and deploy/prometheus."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import yaml

from tests.deploy.tooling import CHART, ROOT, of_kind, output, render

DASHBOARD = ROOT / "deploy/grafana/llm-router.json"
RULES = [ROOT / "deploy/prometheus" / name for name in ("alerts.yaml", "rules.yaml")]
EVERYTHING = ("--values", CHART / "ci/everything-values.yaml")
MOST = 1024 * 1024
"""Bytes that fit a ConfigMap."""


def test_the_dashboard_is_the_one_of_deploy_grafana() -> None:
    config_map = of_kind(render(*EVERYTHING), "ConfigMap", "-dashboard")
    assert list(config_map["data"]) == [DASHBOARD.name]
    assert json.loads(config_map["data"][DASHBOARD.name]) == json.loads(DASHBOARD.read_text())
    assert len(DASHBOARD.read_bytes()) < MOST
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_rules_are_those_of_deploy_prometheus(tmp_path: Path) -> None:
    spec = of_kind(render(*EVERYTHING), "PrometheusRule")["spec"]
    assert spec["groups"] == [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    rendered = tmp_path / "rules.yaml"
    rendered.write_text(json.dumps(spec))
    assert "SUCCESS" in output("promtool", "check", "rules", rendered)


def test_the_alerts_find_the_job_that_the_service_monitor_makes() -> None:
    """The operator calls a job after its Service."""
    manifests = render(*EVERYTHING, release="r")
    assert "llm-router" in of_kind(manifests, "Service")["metadata"]["name"]


def test_a_packed_chart_carries_them_and_nothing_beside(tmp_path: Path) -> None:
    output("helm", "package", CHART, "--destination", tmp_path)
    (packed,) = tmp_path.glob("*.tgz")
    with tarfile.open(packed) as chart:
        files = {name: chart.extractfile(name) for name in chart.getnames()}
        carried = {name: file.read() for name, file in files.items() if file and "/files/" in name}
    assert carried == {
        "llm-router/files/grafana/llm-router.json": DASHBOARD.read_bytes(),
        "llm-router/files/prometheus/alerts.yaml": RULES[0].read_bytes(),
        "llm-router/files/prometheus/rules.yaml": RULES[1].read_bytes(),
    }
    assert not any("/ci/" in name for name in files)
