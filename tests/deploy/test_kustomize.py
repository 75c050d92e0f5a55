"""The plain form, `kubectl apply -k deploy/kustomize`: valid, and the same pod as the chart's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.pods import Pod
from tests.deploy.test_chart_serves import ask
from tests.deploy.tooling import CHART, KUSTOMIZE, Document, documents, of_kind, output, pod_of, render


@pytest.fixture(scope="module")
def text() -> str:
    return output("kubectl", "kustomize", KUSTOMIZE)


@pytest.fixture(scope="module")
def plain(text: str) -> list[Document]:
    return documents(text)


def test_it_builds_and_is_valid(text: str, plain: list[Document], tmp_path: Path) -> None:
    path = tmp_path / "manifests.yaml"
    path.write_text(text)
    assert output("kubernetes-validate", "--strict", path).count("passed for resource") == len(plain) == 5


def test_its_pod_is_the_charts(plain: list[Document]) -> None:
    chart = render("--values", CHART / "ci/minimal-values.yaml", release="llm-router")
    assert pod_of(plain) == pod_of(chart)
    for kind in ("Service", "PodDisruptionBudget"):
        assert of_kind(plain, kind)["spec"] == of_kind(chart, kind)["spec"]
    ours, theirs = of_kind(plain, "Deployment")["spec"], of_kind(chart, "Deployment")["spec"]
    assert ours["strategy"] == theirs["strategy"]
    assert ours["replicas"] == theirs["replicas"]


def test_its_pod_answers(plain: list[Document], tmp_path: Path) -> None:
    pod = Pod(plain, tmp_path)
    with pod.running() as router:
        assert ask(router, pod.keys["master-key"]) == 200
        assert ask(router, "") == 401
