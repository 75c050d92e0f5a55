"""From settings that have been checked to the catalogue that routing reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from router.config.fields import Section
from router.config.names import FALLBACK_KINDS, Directory
from router.config.prices import PriceTable
from router.config.resolve_deployment import completed, deployment_of
from router.config.resolve_prompts import chat_templates, longest_reply_named, spoken_to
from router.config.schema import Settings
from router.config.schema_deployment import DeploymentSettings
from router.config.schema_routing import ErrorPatternSettings, HedgingSettings, ModelSettings, QueueSettings
from router.core.catalogue import Catalogue
from router.core.types import (
    AdaptiveWeights,
    CooldownPolicy,
    Deployment,
    ErrorPatterns,
    HedgingPolicy,
    ModelGroup,
    QueuePolicy,
    RetryBudgetPolicy,
    RoutingPolicy,
)

_Fallbacks = Mapping[str, tuple[str, ...]]

_OVERRIDABLE = (
    *("strategy", "num_retries", "max_attempts", "timeout", "attempt_timeout", "connect_timeout"),
    *("first_token_timeout", "stream_idle_timeout"),
)


def resolve(settings: Settings, folder: FilePath) -> Catalogue:
    """The catalogue of settings that have no problems. Relative names of files become absolute, from `folder`."""
    directory = Directory(settings)
    members: dict[str, list[Deployment]] = {}
    table = PriceTable()
    by_rpm = _weighted_by_rpm(settings)
    named = chat_templates(settings, folder)
    for deployment, id_ in zip(settings.model_list, _ids(settings.model_list), strict=True):
        weight = deployment.weight
        if deployment.rpm is not None and (deployment.model_name, deployment.priority) in by_rpm:
            weight = float(deployment.rpm.limit)
        found = spoken_to(deployment_of(deployment, id_, weight, folder), deployment, settings, named)
        members.setdefault(found.model_name, []).append(found if "*" in found.model else completed(found, table))
    fallbacks = {kind: _entries(kind, settings, directory) for kind in FALLBACK_KINDS}
    groups = {
        name: ModelGroup(name, tiers_of(those), _policy(name, settings, fallbacks, directory))
        for name, those in members.items()
    }
    return Catalogue(
        MappingProxyType({name: group for name, group in groups.items() if "*" not in name}),
        MappingProxyType(directory.aliases),
        tuple(group for name, group in groups.items() if "*" in name),
        lambda deployment: longest_reply_named(completed(deployment, table)),
    )


def _weighted_by_rpm(settings: Settings) -> set[tuple[str, int]]:
    """The tiers, as (model name, priority), of strategy `weighted` in which every `rpm` is given and no `weight`."""
    found: set[tuple[str, int]] = set()
    others: set[tuple[str, int]] = set()
    for deployment in settings.model_list:
        model = settings.models.get(deployment.model_name) or ModelSettings()
        by_weight = "weight" in deployment.model_fields_set or deployment.rpm is None
        if by_weight or (model.strategy or settings.routing.strategy) != "weighted":
            others.add((deployment.model_name, deployment.priority))
        else:
            found.add((deployment.model_name, deployment.priority))
    return found - others


def _ids(deployments: Sequence[DeploymentSettings]) -> Iterator[str]:
    """Each one's own id, or `gpt-4o/openai-2`: the second of this name and provider among those without an id."""
    taken = {deployment.id for deployment in deployments if deployment.id is not None}
    last: dict[str, int] = {}
    for deployment in deployments:
        if deployment.id is not None:
            yield deployment.id
            continue
        start = f"{deployment.model_name}/{deployment.provider}"
        last[start] = last.get(start, 0) + 1
        while f"{start}-{last[start]}" in taken:
            last[start] += 1
        yield f"{start}-{last[start]}"


def tiers_of(deployments: list[Deployment]) -> tuple[tuple[Deployment, ...], ...]:
    tiers: dict[int, list[Deployment]] = {}
    for deployment in deployments:
        tiers.setdefault(deployment.priority, []).append(deployment)
    return tuple(tuple(tiers[priority]) for priority in sorted(tiers))


def _entries(kind: str, settings: Settings, directory: Directory) -> _Fallbacks:
    """The lists of `routing`, by model name where the file has an alias."""
    entries: _Fallbacks = getattr(settings.routing, kind)
    return {directory.group_named(name) or name: targets for name, targets in entries.items()}


def _policy(name: str, settings: Settings, fallbacks: Mapping[str, _Fallbacks], directory: Directory) -> RoutingPolicy:
    routing = settings.routing
    model = settings.models.get(name) or ModelSettings()

    def targets(kind: str) -> tuple[str, ...] | None:
        own: tuple[str, ...] | None = getattr(model, kind)
        return own if own is not None else fallbacks[kind].get(name)

    values = {key: getattr(routing if getattr(model, key) is None else model, key) for key in _OVERRIDABLE}
    general = targets("fallbacks")
    if general is None:
        general = tuple(other for other in routing.default_fallbacks if directory.group_serving(other) != name)
    return RoutingPolicy(
        **values,
        fallbacks=general,
        context_window_fallbacks=targets("context_window_fallbacks") or (),
        content_policy_fallbacks=targets("content_policy_fallbacks") or (),
        cooldown=CooldownPolicy(**_merged(model.cooldown, routing.cooldown)),
        adaptive=AdaptiveWeights(**_merged(model.adaptive, routing.adaptive)),
        retry_budget=RetryBudgetPolicy(**_merged(model.retry_budget, routing.retry_budget)),
        queue=_queue(model.queue, routing.queue),
        hedging=_hedging(model.hedging, routing.hedging),
        error_patterns=_error_patterns(model.error_patterns, routing.error_patterns),
    )


def _merged(own: Section | None, shared: Section) -> dict[str, Any]:
    """What a model's section gives, and of the rest what `routing` has."""
    given = {} if own is None else own.model_dump(include=own.model_fields_set)
    return {**shared.model_dump(), **given}


def _queue(own: QueueSettings | None, shared: QueueSettings) -> QueuePolicy | None:
    policy = QueuePolicy(**_merged(own, shared))
    return policy if policy.max_waiting else None


def _hedging(own: HedgingSettings | None, shared: HedgingSettings) -> HedgingPolicy | None:
    values = _merged(own, shared)
    return HedgingPolicy(**values) if values.pop("enabled") else None


def _error_patterns(own: ErrorPatternSettings | None, shared: ErrorPatternSettings) -> ErrorPatterns | None:
    """A model's patterns come on top of those of `routing`."""
    sections = [shared] if own is None else [shared, own]
    patterns = ErrorPatterns(
        tuple(text.lower() for section in sections for text in section.context_window),
        tuple(text.lower() for section in sections for text in section.content_policy),
    )
    return patterns if patterns != ErrorPatterns() else None
