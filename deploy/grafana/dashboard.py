"""Makes `llm-router.json` from `panels.py` (`make docs`)."""

from __future__ import annotations

import json
import sys
from typing import Any

from deploy.grafana.panels import ROWS, Panel

UID = "llm-router"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SELECTOR = 'job=~"$job", instance=~"$instance"'
_HEIGHT = {"stat": 4}
_COLUMNS = 24


def dashboard() -> dict[str, Any]:
    """Grafana's classic JSON."""
    return {
        "uid": UID,
        "title": "llm-router",
        "description": "Where the requests go, what fails, what it costs, and how the router itself is.",
        "tags": ["llm-router"],
        "schemaVersion": 42,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": _panels(),
    }


def expression(query: str) -> str:
    """A query of `panels.py` as Grafana gets it."""
    return query.replace("$S", _SELECTOR).replace("$R", "$__rate_interval")


def _variables() -> list[dict[str, Any]]:
    def values(name: str, label: str, query: str) -> dict[str, Any]:
        return {
            "name": name, "label": label, "type": "query", "datasource": _SOURCE, "refresh": 2, "sort": 1,
            "multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
            "definition": query, "query": {"query": query, "refId": name}, "hide": 0, "options": [],
        }  # fmt: skip

    return [
        {
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0,
            "current": {}, "multi": False, "includeAll": False, "options": [], "refresh": 1, "regex": "",
        },
        values("job", "Job", "label_values(router_build_info, job)"),
        values("instance", "Instance", 'label_values(router_build_info{job=~"$job"}, instance)'),
    ]  # fmt: skip


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        )
        y += 1
        x = height = 0
        for panel in row:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + height
            height = _HEIGHT.get(panel.kind, 8)
            place = {"x": x, "y": y, "w": panel.width, "h": height}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
            x += panel.width
        y += height
    return panels


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any] = {"tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
        options["legend"] = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
    elif panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none", "graphMode": "area"}
    else:
        options = {"showHeader": True}
    table = panel.kind == "table"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": expression(query),
                "legendFormat": legend,
                "instant": table,
                "range": not table,
                "format": "table" if table else "time_series",
            }
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=1) + "\n")
