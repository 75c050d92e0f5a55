"""What the tests of the configuration share: a real file, and what comes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from router.config import Config, load
from router.core.errors import ConfigError
from router.core.strategies import STRATEGIES
from router.dialects.registry import PROVIDERS

MODELS = """\
model_list:
  - {model_name: small, id: small-1, provider: mock}
  - {model_name: large, id: large-1, provider: mock}
"""


def loaded(text: str, env: dict[str, str] | None = None, folder: Path | None = None) -> Config:
    """What the router makes of `text` as its `router.yaml`. Raises ConfigError."""
    with tempfile.TemporaryDirectory() as fresh:
        path = (folder or Path(fresh)) / "router.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, env or {}, providers=PROVIDERS, strategies=STRATEGIES)


def problems(text: str, env: dict[str, str] | None = None, folder: Path | None = None) -> list[str]:
    """What the router says about `text`, without the folder in front of `router.yaml`."""
    try:
        loaded(text, env, folder)
    except ConfigError as error:
        return [
            "router.yaml" + line.partition("router.yaml")[2] if "/" in line[:1] else line for line in error.problems
        ]
    return []
