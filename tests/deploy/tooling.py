"""The commands of `.tools`, and what they make of deploy/."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy/helm/llm-router"
KUSTOMIZE = ROOT / "deploy/kustomize"
COMPOSE = ROOT / "deploy/compose"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
SECRETS = "/run/secrets/llm-router"

Document = dict[str, Any]


def tool(name: str) -> str:
    """Path of a command of `.tools`, or of one that a package of the system brings. Fails where it is missing."""
    path = ROOT / ".tools/bin" / name
    found = str(path) if path.exists() else shutil.which(name)
    assert found, f"{name} is missing: `make tools` fetches what these tests run (promtool: Debian's prometheus)"
    return found


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    command = [tool(name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)


def output(name: str, *arguments: str | Path) -> str:
    """What a command that succeeds has to say."""
    result = run(name, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def template(*arguments: str | Path, release: str = "router") -> str:
    """The chart's manifests, as text."""
    return output("helm", "template", release, CHART, "--namespace", "llm", *arguments)


def render(*arguments: str | Path, release: str = "router") -> list[Document]:
    """The chart's manifests."""
    return documents(template(*arguments, release=release))


def refusal(*arguments: str | Path) -> str:
    """Why the chart refuses these values."""
    result = run("helm", "template", "router", CHART, *arguments)
    assert result.returncode != 0, result.stdout
    return result.stderr


def documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(manifests: list[Document], kind: str, suffix: str = "") -> Document:
    """The one manifest of this kind whose name ends in `suffix`."""
    found = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"].endswith(f"llm-router{suffix}")]
    assert len(found) == 1, [m["metadata"]["name"] for m in manifests if m["kind"] == kind]
    return found[0]


def pod_of(manifests: list[Document]) -> Document:
    """The router's pod."""
    return dict(of_kind(manifests, "Deployment")["spec"]["template"]["spec"])


def environment_of(pod: Document) -> dict[str, str]:
    """The variables that its container is given by value."""
    return {item["name"]: item["value"] for item in pod["containers"][0]["env"] if "value" in item}
