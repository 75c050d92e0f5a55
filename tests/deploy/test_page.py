"""docs/deploy.md, as far as it can be tried without a cluster: its values, its router.yaml, its commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tooling import CHART, ROOT, SECRETS, render
from tests.deploy.values_table import PAGE
from tests.e2e.processes import run

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
BLOCKS: list[dict[str, Any]] = [
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
]
VALUES = [block for block in BLOCKS if set(block) <= set(SCHEMA["properties"])]
ROUTER = [block for block in BLOCKS if "model_list" in block]


def test_every_block_is_values_or_a_router_yaml_or_the_adapters_rule() -> None:
    assert len(BLOCKS) == len(VALUES) + len(ROUTER) + 1
    assert len(VALUES) >= 7
    assert len(ROUTER) == 1


@pytest.mark.parametrize("values", VALUES, ids=lambda values: "+".join(values))
def test_its_values_are_taken(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps({"secret": {"data": {"master-key": "sk-x", "redis-url": "redis://x"}}} | values))
    assert render("--values", path)


def test_its_router_yaml_is_one(tmp_path: Path) -> None:
    (config,) = ROUTER
    path = tmp_path / "router.yaml"
    text = json.dumps(config).replace(SECRETS, str(tmp_path))
    path.write_text(text)
    for name in re.findall(r"\$\{file:[^}]*/([-\w]+)\}", text):
        (tmp_path / name).write_text(f"sk-{name}")
    result = run("check", str(path), cwd=ROOT, ROUTER__SERVER__HOST="0.0.0.0")
    assert result.returncode == 0, result.stderr


def test_the_files_that_it_names_are_there() -> None:
    for name in re.findall(r"\bdeploy/[-\w/.]+[-\w]", PAGE.read_text()):
        assert (ROOT / name).exists(), name
