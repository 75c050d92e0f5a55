"""Who is meant by a model's name in the file: checks that every name means something, and one thing only."""

from __future__ import annotations

from collections.abc import Iterable

from router.config.document import Path
from router.config.problems import Problems, did_you_mean
from router.config.schema import Settings
from router.config.validate import STAND_IN
from router.core.catalogue import Catalogue
from router.core.types import ModelGroup

FALLBACK_KINDS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


class Directory:
    """The model names and aliases of some settings."""

    def __init__(self, settings: Settings) -> None:
        names = {
            deployment.model_name
            for index, deployment in enumerate(settings.model_list)
            if deployment.model_name != STAND_IN.format(index)
        }
        self.exact = {name for name in names if "*" not in name}
        self.patterns = {name for name in names if name.count("*") == 1}
        self.aliases: dict[str, str] = {}
        for name, model in settings.models.items():
            if name in self.exact:
                self.aliases.update((alias, name) for alias in model.aliases if alias not in self.exact)
        self._catalogue = Catalogue(
            {name: ModelGroup(name, ()) for name in self.exact},
            self.aliases,
            tuple(ModelGroup(name, ()) for name in self.patterns),
        )

    def group_named(self, name: str) -> str | None:
        """The model that settings for `name` are about: itself, or the one it is an alias of."""
        return name if name in self.exact or name in self.patterns else self.aliases.get(name)

    def group_serving(self, name: str) -> str | None:
        """The model that a request for `name` is served by."""
        group = self._catalogue.resolve(name)
        return None if group is None else group.name

    def unknown(self, path: Path, name: str, problems: Problems) -> str:
        known = sorted({*self.exact, *self.patterns, *self.aliases})
        return f"unknown model {problems.shown(path, name)}{did_you_mean(name, known)}"


def check_names(settings: Settings, directory: Directory, problems: Problems) -> None:
    _check_models(settings, directory, problems)
    _check_aliases(settings, directory, problems)
    for kind in FALLBACK_KINDS:
        _check_fallbacks(settings, kind, directory, problems)
    for position, target in enumerate(settings.routing.default_fallbacks):
        _check_target(("routing", "default_fallbacks", position), None, target, directory, problems)
    for index, key in enumerate(settings.auth.keys):
        for position, name in enumerate(key.models):
            place: Path = ("auth", "keys", index, "models", position)
            if "*" not in name and directory.group_serving(name) is None:
                problems.add(place, directory.unknown(place, name, problems))


def _check_models(settings: Settings, directory: Directory, problems: Problems) -> None:
    for name in settings.models:
        path: Path = ("models", name)
        if name in directory.aliases:
            problems.add(path, f"is an alias; settings go under its model, {directory.aliases[name]}", key=True)
        elif name not in directory.exact and name not in directory.patterns:
            problems.add(path, f"no deployment has this model_name{did_you_mean(name, _sorted(directory))}", key=True)


def _check_aliases(settings: Settings, directory: Directory, problems: Problems) -> None:
    owners: dict[str, str] = {}
    for name, model in settings.models.items():
        for position, alias in enumerate(model.aliases):
            path: Path = ("models", name, "aliases", position)
            if "*" in alias:
                problems.add(path, "an alias is one name, not a pattern")
            elif name in directory.patterns:
                problems.add(path, "a pattern has no aliases")
            elif alias in directory.exact:
                problems.add(path, f"{problems.shown(path, alias)} is a model_name already")
            elif alias in owners:
                problems.add(path, f"{problems.shown(path, alias)} is an alias of {owners[alias]} already")
            owners.setdefault(alias, name)


def _check_fallbacks(settings: Settings, kind: str, directory: Directory, problems: Problems) -> None:
    owners: dict[str, str] = {}
    for name, targets in getattr(settings.routing, kind).items():
        path: Path = ("routing", kind, name)
        group = directory.group_named(name)
        pattern = directory.group_serving(name)
        if group is None and pattern is not None:
            problems.add(path, f"is served by {pattern}: fallbacks are given for that", key=True)
        elif group is None:
            problems.add(path, f"no deployment has this model_name{did_you_mean(name, _sorted(directory))}", key=True)
        elif group in owners:
            problems.add(path, f"is {owners[group]} by another name, which has an entry already", key=True)
        else:
            owners[group] = name
        _check_targets(path, group, targets, directory, problems)
    for name, model in settings.models.items():
        own = directory.group_named(name)
        _check_targets(("models", name, kind), own, getattr(model, kind) or (), directory, problems)


def _check_targets(
    path: Path, group: str | None, targets: Iterable[str], directory: Directory, problems: Problems
) -> None:
    for position, target in enumerate(targets):
        _check_target((*path, position), group, target, directory, problems)


def _check_target(path: Path, group: str | None, target: str, directory: Directory, problems: Problems) -> None:
    serving = directory.group_serving(target)
    if "*" in target:
        problems.add(path, "a fallback is one model, not a pattern")
    elif serving is None:
        problems.add(path, directory.unknown(path, target, problems))
    elif serving == group:
        problems.add(path, "a model cannot be its own fallback")


def _sorted(directory: Directory) -> list[str]:
    return sorted(directory.exact | directory.patterns)
