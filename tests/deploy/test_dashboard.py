"""The dashboard is right before anybody looks at it: what it asks exists, and can be asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.dashboard import dashboard
from router.telemetry.table import ROWS
from tests.deploy.promtool import GRAFANA, check, labels_of, metrics_of, misused, needs_promtool

FILE = GRAFANA / "llm-router.json"
SHOWN: dict[str, Any] = json.loads(FILE.read_text())
PANELS = [panel for panel in SHOWN["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
OF_PROMETHEUS = {"job", "instance", "le"}
UNITS = {"reqps", "cps", "percentunit", "s", "short", "bytes", "currencyUSD"}

by_title = pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])


def test_the_file_is_made_from_the_panels() -> None:
    assert dashboard() == SHOWN, "make docs"


def test_it_is_classic_json_with_a_fixed_uid() -> None:
    assert (SHOWN["schemaVersion"], SHOWN["uid"]) == (42, "llm-router")
    assert "id" not in SHOWN, "that is the installation's business"
    assert not {"__inputs", "__requires"} & set(SHOWN)


def test_its_variables_are_the_source_the_job_and_the_instance() -> None:
    variables = {variable["name"]: variable for variable in SHOWN["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    for name in ("job", "instance"):
        (row,) = metrics_of(re.sub(r"label_values\((.*), \w+\)", r"\1", variables[name]["definition"]))
        assert row.name == "router_build_info"


def test_panels_have_ids_and_titles_of_their_own_and_do_not_overlap() -> None:
    everything = SHOWN["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in everything):
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, place["y"] + down) for x in columns for down in range(place["h"])}
        assert not cells & taken
        assert columns[-1] < 24
        taken |= cells


@by_title
def test_a_panel_says_what_it_shows_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]


@by_title
def test_a_query_reads_what_exists_for_the_routers_that_are_chosen(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expression = target["expr"]
        rows = metrics_of(expression)
        assert rows
        assert misused(expression) is None
        selectors = re.findall(r"\{([^}]*)\}", expression)
        assert len(selectors) == len(rows)
        assert all('job=~"$job", instance=~"$instance"' in selector for selector in selectors)
        known = {label for row in rows for label in row.labels} | OF_PROMETHEUS
        assert labels_of(expression) <= known
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels_of(expression)
        assert set(re.findall(r"\[([^\]]*)\]", expression)) <= {"$__rate_interval"}


ISSUES = {
    "requests_total", "attempts_total", "candidates_rejected_total", "fallbacks_total", "cooldowns_total",
    "deployment_breaker_state", "in_flight_requests", "queue_waiting", "deployment_headroom_ratio", "tokens_total",
    "cost_usd_total", "key_cost_usd_total", "selection_seconds", "overhead_seconds", "event_loop_lag_seconds",
    "upstream_connections",
}  # fmt: skip


def test_whatever_an_operator_asks_first_has_a_panel() -> None:
    shown = {row.name for query in QUERIES for row in metrics_of(query)}
    assert {f"router_{name}" for name in ISSUES} <= shown
    assert {name for name in ROWS if name.startswith("gen_ai_")} <= shown


@needs_promtool
def test_every_query_parses(tmp_path: Path) -> None:
    queries = [query.replace("$__rate_interval", "5m") for query in QUERIES]
    status, told = check(queries, tmp_path)
    assert status == 0, told
    assert f"{len(queries)} rules found" in told
    assert check([*queries, "sum(rate(router_requests_total[5m])"], tmp_path)[0] != 0, "it would say so"
