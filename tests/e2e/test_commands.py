"""The verbs: what they print, and how they end."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from router import __version__
from tests.e2e.processes import ROOT, fetch, router_process, run, settings

GOOD: dict[str, Any] = settings({"model_name": "m", "provider": "mock", "id": "m-1"})
BAD = """\
server: {port: 4000, prot: 4001}
model_list:
  - model_name: m
    provider: mock
    wieght: 3
  - model_name: m
    provider: nobody
"""
PROBLEMS = [
    "router.yaml:1:22: server.prot: unknown key (did you mean port?)",
    "router.yaml:5:5: model_list.0.wieght: unknown key",
]


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "router.yaml"
    path.write_text(BAD)
    return path


def test_check_prints_what_would_be_served_and_ends_with_0(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(json.dumps(GOOD | {"auth": {"keys": [{"name": "team", "key": "sk-secret"}]}}))
    result = run("check", str(path))
    assert (result.returncode, result.stderr) == (0, "")
    assert "m-1" in result.stdout
    assert "team" in result.stdout
    assert "sk-secret" not in result.stdout


def test_check_accepts_the_shipped_file() -> None:
    result = run("check")
    assert (result.returncode, result.stderr) == (0, "")
    assert "gpt-3.5-turbo -> demo" in result.stdout


@pytest.mark.parametrize(("verb", "code"), [(["check"], 1), (["serve", "--port", "0", "--config"], 2)])
def test_a_bad_file_is_told_with_every_problem_and_its_place(bad: Path, verb: list[str], code: int) -> None:
    result = run(*verb, str(bad))
    assert (result.returncode, result.stdout) == (code, "")
    told = result.stderr.replace(f"{bad.parent}/", "").splitlines()
    assert len(told) == 3
    for line, problem in zip(told, PROBLEMS, strict=False):
        assert line.startswith(problem)
    assert told[2].startswith("router.yaml:7:")
    assert "nobody" in told[2]


@pytest.mark.parametrize(("verb", "code"), [("check", 1), ("serve", 2)])
def test_a_missing_file_is_told(tmp_path: Path, verb: str, code: int) -> None:
    result = run(verb, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith("router.yaml: cannot read the configuration: ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_without_keys_it_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(json.dumps(GOOD))
    result = run("serve", "--config", str(path), "--host", host, "--port", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert "server.host" in result.stderr
    assert host == "" or "auth.keys" in result.stderr


def test_with_keys_it_listens_elsewhere(tmp_path: Path) -> None:
    keys = {"keys": [{"name": "team", "key": "sk-secret"}]}
    with router_process(GOOD | {"auth": keys}, tmp_path, "--host", "0.0.0.0") as router:
        assert fetch(f"{router.root}/health/ready")[0] == 200
        assert fetch(f"{router.url}/models")[0] == 401
        (line,) = router.events()
        assert (line["host"], line["auth"], line["keys"]) == ("0.0.0.0", "required", 1)


def test_it_says_that_no_keys_are_configured(tmp_path: Path) -> None:
    with router_process(GOOD, tmp_path) as router:
        assert "no keys are configured" in router.events()[0]["auth"]


def test_the_environment_has_the_last_word(tmp_path: Path) -> None:
    with router_process(GOOD, tmp_path, ROUTER__SERVER__MAX_BODY_BYTES="10") as router:
        assert fetch(f"{router.url}/chat/completions", {"a": "longer than that"}, "POST")[0] == 413


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(json.dumps(GOOD))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--config", str(path), "--port", str(port))
    assert (result.returncode, result.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_schema_prints_a_json_schema() -> None:
    result = run("schema")
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document["$schema"].startswith("https://json-schema.org/")
    assert {"server", "auth", "routing", "models", "model_list"} <= set(document["properties"])


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"llm-router {__version__}\n"


def test_a_mock_that_cannot_be_played_is_told() -> None:
    result = run("mock", "--port", "0", "--script", "ok,sleep")
    assert (result.returncode, result.stdout) == (2, "")
    assert "unknown step 'sleep'" in result.stderr
