"""The rules of the house, as far as a machine can check them."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "router").rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
ROOM = 320  # lines; the aim is 250


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """The top-level package of everything `path` imports, wherever in the file; `router` with its layer."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            yield ".".join(parts[:2]) if parts[0] == "router" else parts[0]


def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=ROOT, check=False, timeout=100)


def test_importing_the_package_imports_nothing_else() -> None:
    probe = "import json, sys; old = set(sys.modules); import router; print(json.dumps(sorted(set(sys.modules) - old)))"
    result = run(sys.executable, "-c", probe)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["router"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_is_one_room(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= ROOM, f"{name_of(path)} has {lines} lines: which two ideas are in it?"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_notes_to_self_are_left_in_the_code(path: Path) -> None:
    assert not re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b.*", path.read_text())


def test_the_core_stands_on_the_standard_library_alone() -> None:
    allowed = sys.stdlib_module_names | {"router.core"}
    strays = {(name_of(p), name) for p in MODULES if p.is_relative_to(ROOT / "router/core") for name in imports(p)}
    assert {(path, name) for path, name in strays if name not in allowed} == set()


def test_dialects_add_orjson_at_most() -> None:
    allowed = sys.stdlib_module_names | {"router.__version__", "router.core", "router.dialects", "orjson"}
    strays = {(name_of(p), name) for p in MODULES if p.is_relative_to(ROOT / "router/dialects") for name in imports(p)}
    assert {(path, name) for path, name in strays if name not in allowed} == set()


def test_every_arrow_points_down() -> None:
    result = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo")
    assert result.returncode == 0, result.stdout + result.stderr


BAD = """\
\"\"\"A room that reaches outside.\"\"\"

import asyncio
import datetime
import random
import socket
import time
from datetime import date, datetime as moment

import aiohttp
import redis
import uvloop

print(time.time(), time.monotonic(), time.perf_counter())
time.sleep(1)
print(datetime.datetime.now(), moment.utcnow(), date.today())
print(random.random(), random.choice([1]), random.randint(1, 2))
print(asyncio, aiohttp, redis, socket, uvloop)
"""

GOOD = """\
\"\"\"A room that is handed what it needs.\"\"\"

from random import Random


def pick(names: list[str], rng: Random) -> str:
    return rng.choice(names)
"""

BANNED = (
    *("time", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"),
    *("random.random", "random.choice", "random.randint"),
    *("asyncio", "aiohttp", "redis", "socket", "uvloop"),
)


def banned_in(path: str, code: str) -> str:
    result = run(
        *(sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "--output-format", "concise"),
        *("--stdin-filename", path, "-"),
        stdin=code,
    )
    assert result.returncode in (0, 1), result.stderr
    return result.stdout


@pytest.mark.parametrize("path", ["router/core/x.py", "router/core/strategies/x.py", "router/dialects/mock/x.py"])
@pytest.mark.parametrize("name", BANNED)
def test_the_pure_part_may_not_use(name: str, path: str) -> None:
    assert f"`{name}` is banned" in banned_in(path, BAD)


@pytest.mark.parametrize("path", ["router/upstream/x.py", "router/flow/x.py", "router/app.py", "tests/core/x.py"])
def test_the_rest_of_the_house_may(path: str) -> None:
    assert "TID251" not in banned_in(path, BAD)


def test_the_pure_part_may_take_a_seeded_random() -> None:
    assert "TID251" not in banned_in("router/core/x.py", GOOD)


@pytest.mark.parametrize("path", LOCKS, ids=name_of)
def test_locks_name_versions_and_hashes_and_no_address(path: Path) -> None:
    requirement = re.compile(r"[a-z0-9][a-z0-9._-]*==[a-z0-9.!+]+( ; [^\\]+)? \\")
    digest = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?")
    strays = [
        line
        for line in path.read_text().splitlines()
        if line and not line.lstrip().startswith("#") and not requirement.fullmatch(line) and not digest.fullmatch(line)
    ]
    assert strays == []
    assert not re.search(r"://|--(extra-)?index|--trusted|--find-links|\.(org|com|net|io)\b", path.read_text())


def test_the_runtime_lock_is_a_part_of_the_others_and_none_names_another_version() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert pins("run.txt")
    assert pins("run.txt") <= pins("dev.txt")
    assert pins("build.txt") <= pins("dev.txt")
    assert pins("compile.txt") <= pins("dev.txt"), "the image would be compiled by another mypy than checks it"
    for lock in ("extras.txt", "plots.txt"):
        assert pins("run.txt") <= pins(lock), f"{lock} is older than pyproject.toml: make lock"
        assert len({pin.partition("==")[0] for pin in pins(lock) | pins("dev.txt")}) == len(
            pins(lock) | pins("dev.txt")
        )


@pytest.mark.both_loops
async def test_tests_may_ask_for_both_event_loops(request: pytest.FixtureRequest) -> None:
    expected = uvloop.Loop if "uvloop" in request.node.name else asyncio.SelectorEventLoop
    assert isinstance(asyncio.get_running_loop(), expected)
