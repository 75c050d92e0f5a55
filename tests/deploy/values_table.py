"""The table of values in docs/deploy.md, from the chart: `make docs` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.deploy.tooling import CHART, ROOT

PAGE = ROOT / "docs/deploy.md"
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"
LONG = 60
"""Characters of a default that still fit the table."""


def page_with_table(page: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n".join(_table()) + "\n" + END + after


def _table() -> Iterator[str]:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    yield "| value | default | |"
    yield "|---|---|---|"
    for name, description, default in _rows(schema["properties"], defaults, ""):
        yield f"| `{name}` | {_shown(default)} | {description} |"


def _rows(properties: dict[str, Any], defaults: Any, prefix: str) -> Iterator[tuple[str, str, Any]]:
    for name, value in defaults.items():
        item = properties[name]
        if "properties" in item:
            yield from _rows(item["properties"], value, f"{prefix}{name}.")
        else:
            yield prefix + name, item["description"], value


def _shown(default: Any) -> str:
    if default in ("", [], {}) or default is None:
        return ""
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text}`" if len(text) <= LONG and "\n" not in text else "see values.yaml"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text()))
