"""What Prometheus' own tool says of queries and rules."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from router.telemetry.table import ROWS, Row

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
PROMETHEUS = ROOT / "deploy" / "prometheus"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")


def promtool(*arguments: str, cwd: Path = ROOT) -> tuple[int, str]:
    """Exit status, and everything it said."""
    told = subprocess.run(["promtool", *arguments], capture_output=True, text=True, cwd=cwd, check=False, timeout=60)
    return told.returncode, told.stdout + told.stderr


def check(expressions: list[str], folder: Path) -> tuple[int, str]:
    """What it says of PromQL expressions: each is made a rule, since that is what it reads."""
    rules = [{"record": f"rule_{place}", "expr": text} for place, text in enumerate(expressions)]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    return promtool("check", "rules", str(path))


def metrics_of(expression: str) -> list[Row]:
    """The rows of the table that an expression reads. Raises KeyError for a metric that is in no row."""
    text = re.sub(r'"[^"]*"', '""', expression)  # not what stands in strings
    text = re.sub(r"\{[^}]*\}", "", text)  # nor labels in selectors,
    text = re.sub(r"\b(by|on|without|ignoring) *\([^)]*\)", "", text)  # nor those in groupings
    names = re.findall(r"(?<![\w:])(?:router|gen_ai|process)_[a-z0-9_]+(?![\w:])", text)
    rows = []
    for name in names:
        whole = re.sub(r"_(bucket|sum|count)$", "", name)
        row = ROWS.get(name) or ROWS[whole]
        assert (row.type == "histogram") == (name != row.name), f"{name} is no series of a {row.type}"
        rows.append(row)
    return rows


def labels_of(expression: str) -> set[str]:
    """The labels that an expression groups or selects by."""
    grouped = re.findall(r"\b(?:by|on|without|ignoring) *\(([^)]*)\)", expression)
    selected = re.findall(r"(\w+) *(?:=~|!~|!=|=) *\"", expression)
    return {label.strip() for group in grouped for label in group.split(",")} | set(selected)


def misused(expression: str) -> str | None:
    """What is wrong with how an expression uses its metrics, if anything."""
    for function, name in re.findall(r"\b(rate|increase|changes)\(([a-z0-9_]+)", expression):
        row = ROWS.get(name) or ROWS[re.sub(r"_(bucket|sum|count)$", "", name)]
        if (row.type == "gauge") != (function == "changes"):
            return f"{function} of {name}, a {row.type}"
    for row in metrics_of(expression):
        if row.type == "counter" and not re.search(rf"\b(rate|increase)\({row.name}", expression):
            return f"{row.name} is a counter: only its rate means anything"
    return None
