"""Reads `router.yaml` and the environment into one checked, frozen configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.config import environment
from router.config.checks import check
from router.config.expand import Expander
from router.config.positions import read
from router.config.problems import Problems
from router.config.resolve import resolve
from router.config.schema import Settings
from router.config.sources import Sources
from router.config.validate import validate
from router.core.catalogue import Catalogue
from router.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Config:
    """What the router serves by. `files` are those it was read from: the file itself, then every `${file:…}`
    and every chat template."""

    settings: Settings
    catalogue: Catalogue
    files: tuple[Path, ...]


def load(
    path: Path,
    env: Mapping[str, str],
    *,
    providers: Collection[str],
    strategies: Collection[str],
    sources: Sources | None = None,
) -> Config:
    """The configuration in the file at `path`, overridden by `env`.

    `providers` and `strategies` are the names that exist; `sources` reads the files, and knows afterwards which they
    were, whatever became of them. Raises ConfigError with every problem found: those of the
    file in its order (`router.yaml:14:7: …`), then those of the environment (`ROUTER__SERVER__PORT: …`).
    """
    sources = sources or Sources()
    problems = Problems(str(path))
    folder = path.absolute().parent
    problems.document = document = read(_text(path, sources))
    for fault in document.faults:
        problems.add_fault(fault)
    if document.root is None and document.faults:
        raise ConfigError(problems.lines())
    expander = Expander(env, folder, problems.add, sources)
    data = _mapping(expander.plain(document.root), problems)
    given = expander.values(environment.overrides(env, problems))
    settings = validate(environment.overlay(data, given), problems)
    check(settings, problems, folder, providers, strategies)
    if problems:
        raise ConfigError(problems.lines())
    for file in _templates(settings, folder):
        sources.watch(file)
    return Config(settings, resolve(settings, folder), tuple(sources))


def _templates(settings: Settings, folder: Path) -> Iterator[Path]:
    for template in settings.chat_templates.values():
        if template.file is not None:
            yield folder / template.file


def _text(path: Path, sources: Sources) -> str:
    try:
        return sources.read(path.absolute()).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "no such file"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    raise ConfigError([f"{path}: cannot read the configuration: {reason}"])


def _mapping(data: Any, problems: Problems) -> dict[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        problems.add((), "expected a mapping with server, routing, model_list and so on")
        return {}
    return data
