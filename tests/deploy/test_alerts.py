"""The alerts: what they ask exists, each fires in its scenario and resolves after, and the runbook has a section on
it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promtool import PROMETHEUS, ROOT, labels_of, metrics_of, misused, needs_promtool, promtool


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROMETHEUS / name).read_text())
    return found


ALERTS = [rule for group in read("alerts.yaml")["groups"] for rule in group["rules"]]
RECORDED = [rule for group in read("rules.yaml")["groups"] for rule in group["rules"]]
BY_NAME = {rule["record"]: rule["expr"] for rule in RECORDED}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
OF_PROMETHEUS = {"job", "instance", "le"}

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])


def in_full(expression: str) -> str:
    """With recorded series replaced by what they are made of."""
    while (found := re.search(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", expression)) is not None:
        expression = expression.replace(found[0], f"({BY_NAME[found[0]]})")
    return expression


@each_alert
def test_an_alert_asks_for_what_exists(alert: dict[str, Any]) -> None:
    expression = in_full(alert["expr"])
    rows = metrics_of(expression)
    assert rows or expression.startswith("up{")
    assert misused(expression) is None
    known = {label for row in rows for label in row.labels} | OF_PROMETHEUS
    assert labels_of(expression) <= known
    assert set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"]))) <= known


@each_alert
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["alert"].startswith("Router")
    assert alert["labels"]["severity"] in {"page", "ticket"}
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"
    section = SECTIONS[alert["alert"]]
    assert [word for word in ("**Means:**", "**Look at:**", "**Do:**") if word not in section] == []


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    assert list(SECTIONS) == [alert["alert"] for alert in ALERTS]


def test_the_runbook_names_panels_and_files_that_exist() -> None:
    from deploy.grafana.panels import ROWS

    titles = {panel.title.split(",")[0] for _, row in ROWS for panel in row}
    titles |= {title.removesuffix(" by model") for title in titles}
    own_words = {"had to wait"}
    named = {re.sub(r"\s+", " ", name) for name in re.findall(r"(?<!\*)\*([A-Z][^*]*)\*(?!\*)", RUNBOOK)}
    assert {name for name in named if name not in titles | own_words} == set()
    for path in re.findall(r"\]\(([^)#]+)\)", RUNBOOK):
        assert (ROOT / "docs" / path).exists(), path


@pytest.mark.parametrize("rule", RECORDED, ids=[rule["record"] for rule in RECORDED])
def test_a_recorded_series_is_named_for_what_it_is_made_of(rule: dict[str, Any]) -> None:
    expression = in_full(rule["expr"])
    assert misused(expression) is None
    level, _, operation = rule["record"].split(":")
    assert {"job", *level.split("_")} - {"job"} <= {"model", "instance", "team"}
    assert re.fullmatch(r"(ratio_)?(rate|p\d\d_)\d+[mh]", operation)
    assert labels_of(expression) <= {label for row in metrics_of(expression) for label in row.labels} | OF_PROMETHEUS


@needs_promtool
def test_promtool_finds_nothing_amiss() -> None:
    status, told = promtool("check", "rules", str(PROMETHEUS / "rules.yaml"), str(PROMETHEUS / "alerts.yaml"))
    assert status == 0, told
    assert f"{len(ALERTS)} rules found" in told


@needs_promtool
def test_every_alert_fires_in_its_scenario_and_resolves_after() -> None:
    status, told = promtool("test", "rules", "tests.yaml", cwd=PROMETHEUS)
    assert status == 0, told


def test_every_alert_has_a_scenario_in_which_it_fires_and_a_time_when_it_no_longer_does() -> None:
    fires: set[str] = set()
    resolves: set[str] = set()
    for scenario in read("tests.yaml")["tests"]:
        began: dict[str, str] = {}
        for expected in scenario["promql_expr_test"]:
            (name,) = re.findall(r'alertname="(\w+)"', expected["expr"])
            if expected["exp_samples"]:
                fires.add(name)
                began[name] = expected["eval_time"]
            elif name in began:
                resolves.add(name)
    assert fires == resolves == {alert["alert"] for alert in ALERTS}


@needs_promtool
def test_a_scenario_can_fail(tmp_path: Path) -> None:
    """Each alert whose condition never holds is missed by its scenario."""
    for name in ("rules.yaml", "tests.yaml"):
        (tmp_path / name).write_text((PROMETHEUS / name).read_text())
    broken = read("alerts.yaml")
    for group in broken["groups"]:
        for rule in group["rules"]:
            rule["expr"] = f"({rule['expr']}) and on () (vector(1) > 2)"
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(broken))
    status, told = promtool("test", "rules", "tests.yaml", cwd=tmp_path)
    assert status != 0
    assert all(f'"{alert["alert"]}\\' in told or alert["alert"] in told for alert in ALERTS)
