"""Every model that is served, and the way from the name a client asks for to the group that serves it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from router.core.types import Deployment, ModelGroup

_MATCHES_KEPT = 1024
"""A bound, since clients choose the names that match a wildcard."""
_LONGEST_NAME = 256


@dataclass(frozen=True)
class Catalogue:
    """`groups` by model name, `aliases` from alias to model name, `wildcards` named by a pattern with one `*`.

    `completed` adds what is known of a deployment's model, once a wildcard has been made concrete."""

    groups: Mapping[str, ModelGroup]
    aliases: Mapping[str, str] = field(default_factory=dict)
    wildcards: tuple[ModelGroup, ...] = ()
    completed: Callable[[Deployment], Deployment] = field(
        default=lambda deployment: deployment, repr=False, compare=False
    )
    _matches: dict[str, ModelGroup] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = sorted(self.wildcards, key=lambda group: (-len(group.name), -group.name.index("*"), group.name))
        object.__setattr__(self, "wildcards", tuple(ordered))

    def resolve(self, model: str) -> ModelGroup | None:
        """The group that serves `model`: by its own name, else by alias, else by the most specific wildcard.

        The most specific wildcard is the one with the most letters besides its `*`, among equals the one with the
        longest start. Its group keeps the pattern as its name, so that no metric is ever named by a client, and its
        deployments keep `id` and `backend`; only a `*` in their `model` is replaced by what the pattern's `*` stands
        for.
        """
        group = self.groups.get(model)
        if group is not None:
            return group
        name = self.aliases.get(model)
        if name is not None:
            return self.groups[name]
        return self._match(model) if self.wildcards else None

    def names(self) -> list[str]:
        """What a client may ask for by name: model names and aliases, sorted; patterns are none."""
        return sorted({*self.groups, *self.aliases})

    def encodings(self) -> set[str]:
        """The vocabularies by which prompts may have to be counted."""
        groups = [group for group in self.groups.values() if group.counted is not None]
        return {deployment.encoding for group in groups for tier in group.tiers for deployment in tier} - {""}

    def close_names(self, model: str) -> list[str]:
        """Up to three names like `model`, the closest first."""
        if len(model) > _LONGEST_NAME:
            return []
        return difflib.get_close_matches(model, self.names(), n=3)

    def _match(self, model: str) -> ModelGroup | None:
        known = self._matches.pop(model, None)
        if known is None:
            known = match(self.wildcards, model, self.completed)
            if known is None:
                return None
            if len(self._matches) >= _MATCHES_KEPT:
                del self._matches[next(iter(self._matches))]
        self._matches[model] = known  # put back last: the first is the one unused for longest
        return known


def match(
    wildcards: Iterable[ModelGroup], model: str, completed: Callable[[Deployment], Deployment]
) -> ModelGroup | None:
    """The first of `wildcards` that `model` matches, made concrete for it. A `*` stands for one character or more."""
    for group in wildcards:
        start, _, end = group.name.partition("*")
        if len(model) > len(start) + len(end) and model.startswith(start) and model.endswith(end):
            asked = model[len(start) : len(model) - len(end)]
            return replace(
                group, tiers=tuple(tuple(_concrete(d, asked, completed) for d in tier) for tier in group.tiers)
            )
    return None


def deployment_of(group: ModelGroup, deployment: Deployment) -> Deployment:
    """`deployment` as `group` has it: for a group out of a wildcard, the one whose `model` is concrete."""
    if "*" not in deployment.model:
        return deployment
    return next((own for tier in group.tiers for own in tier if own.id == deployment.id), deployment)


def _concrete(deployment: Deployment, asked: str, completed: Callable[[Deployment], Deployment]) -> Deployment:
    if "*" not in deployment.model:
        return deployment
    return completed(replace(deployment, model=deployment.model.replace("*", asked)))
