"""Settings from the environment: `ROUTER__SERVER__PORT=4001` is `server.port`.

Sections may be given whole, and lists and mappings must be, as JSON. `ROUTER_CONFIG` and its like, with one underscore,
are no settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from router.config.document import Path
from router.config.problems import Problems, did_you_mean, dotted
from router.config.schema import Settings
from router.config.structure import is_section, known_keys, type_at

PREFIX = "ROUTER__"
DELIMITER = "__"


class _Overrides(Settings, BaseSettings):
    """The same settings, as pydantic-settings finds them in an environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=DELIMITER)


class _Source(EnvSettingsSource):
    """Reads from the mapping it is given, not from the process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(_Overrides)
        self.env_vars = {name.lower(): value for name, value in env.items()}


def overrides(env: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    """What `env` sets, as nested dicts; `problems.variables` learns which variable set what."""
    paths: dict[str, Path] = {}
    for name, value in env.items():
        if name.upper().startswith(PREFIX):
            path = _path(name, problems)
            if path is not None and _fits(name, path, value, problems):
                paths[name] = path
    variables: dict[Path, str] = {}
    found: dict[str, Any] = {}
    try:
        found = _Source({name: env[name] for name in paths})()
    except SettingsError as error:
        problems.add_variable(PREFIX, str(error))
    for name, path in sorted(paths.items(), key=lambda item: len(item[1])):
        for leaf in _leaves(_at(found, path), path):
            variables[leaf] = name
    problems.variables = variables
    return found


def overlay(base: Any, over: Any) -> Any:
    """`base` with what `over` says; mappings are merged key by key, anything else is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: overlay(base.get(key), value) for key, value in over.items()}}
    return over


def _path(name: str, problems: Problems) -> Path | None:
    if name != name.upper():
        problems.add_variable(name, f"is written {name.upper()}")
        return None
    path: Path = ()
    for step in name.removeprefix(PREFIX).lower().split(DELIMITER):
        if not is_section(type_at(path)):
            problems.add_variable(name, f"{dotted(path)}: has no settings below it; give all of it in one variable")
            return None
        if step not in known_keys(path):
            problems.add_variable(
                name, f"{dotted((*path, step))}: unknown setting{did_you_mean(step, known_keys(path))}"
            )
            return None
        path = (*path, step)
    return path


def _fits(name: str, path: Path, value: str, problems: Problems) -> bool:
    """Whether the value of a section, list or mapping is JSON."""
    found = type_at(path)
    if not is_section(found) and get_origin(found) not in (dict, tuple):
        return True
    try:
        json.loads(value, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        problems.add_variable(name, f"{dotted(path)}: expected JSON, without duplicate keys")
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _at(found: Any, path: Path) -> Any:
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _leaves(value: Any, path: Path) -> list[Path]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))]
    return [path]
