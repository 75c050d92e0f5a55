"""The chart with each of its values files, rendered once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.tooling import VALUES, Document, documents, template


@pytest.fixture(scope="session", params=VALUES, ids=lambda path: path.stem.removesuffix("-values"))
def values(request: pytest.FixtureRequest) -> Path:
    """One values file after the other."""
    path: Path = request.param
    return path


@pytest.fixture(scope="session")
def text(values: Path) -> str:
    """Its manifests, as text."""
    return template("--values", values)


@pytest.fixture(scope="session")
def manifests(text: str) -> list[Document]:
    """Its manifests."""
    return documents(text)
