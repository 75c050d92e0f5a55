"""The image's recipe. What becomes of it is tried by `make image-check`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.deploy.recipe import Stage, stages
from tests.deploy.tooling import ROOT, output

DOCKERFILE = ROOT / "Dockerfile"


def final() -> Stage:
    return stages(DOCKERFILE.read_text())[-1]


def test_it_lints() -> None:
    assert output("hadolint", "--no-color", "--failure-threshold", "style", DOCKERFILE) == ""


def test_what_is_shipped_has_no_build_tools() -> None:
    build, shipped = stages(DOCKERFILE.read_text())
    assert "slim" in shipped.base
    assert "slim" not in build.base
    (run,) = [words for name, words in shipped.steps if name == "RUN"]
    assert "pip uninstall" in run


def test_only_locked_packages_are_installed() -> None:
    for stage in stages(DOCKERFILE.read_text()):
        for name, words in stage.steps:
            if name == "RUN":
                for install in re.findall(r"pip [^&]*install[^&]*", words):
                    assert "--require-hashes" in install or "--no-deps" in install or "uninstall" in install


def test_the_lock_with_extras_has_every_extra_that_serves() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert pins("run.txt") < pins("extras.txt") <= pins("dev.txt")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {pin.partition("==")[0] for pin in pins("extras.txt")}
    for extra in ("aws", "azure", "otel", "tokens"):
        assert {re.split(r"[>=~]", requirement)[0] for requirement in extras[extra]} <= names


def test_it_runs_as_nobody_in_particular() -> None:
    assert final().said("USER") == "65532:65532"


def test_the_package_holds_every_file_of_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "router", source / "router", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    wheel: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        source,
    ]
    subprocess.run(wheel, check=True, timeout=100, stdout=subprocess.DEVNULL)
    (built,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(built).namelist() if name.startswith("router/")}
    assert packed == {str(path.relative_to(source)) for path in (source / "router").rglob("*") if path.is_file()}


def test_docker_sees_only_what_the_recipe_copies() -> None:
    copied = {
        source
        for stage in stages(DOCKERFILE.read_text())
        for name, words in stage.steps
        if name == "COPY" and "--from" not in words
        for source in words.split()[:-1]
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert ignored[1] == "*"
