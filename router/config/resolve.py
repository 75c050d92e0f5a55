"""From settings that have been checked to the catalogue that routing reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from types import MappingProxyType

from router.config.names import FALLBACK_KINDS, Directory
from router.config.schema import Settings
from router.config.schema_deployment import DeploymentSettings, TLSSettings
from router.config.schema_routing import CooldownSettings, ModelSettings
from router.core.catalogue import Catalogue
from router.core.types import TLS, CooldownPolicy, Deployment, ModelGroup, Prices, RoutingPolicy
from router.dialects.mock.behaviour import Behaviour

_Fallbacks = Mapping[str, tuple[str, ...]]

_OVERRIDABLE = (
    *("strategy", "num_retries", "max_attempts", "timeout", "attempt_timeout", "connect_timeout"),
    *("first_token_timeout", "stream_idle_timeout"),
)


def resolve(settings: Settings, folder: FilePath) -> Catalogue:
    """The catalogue of settings that have no problems. Relative names of files become absolute, from `folder`."""
    directory = Directory(settings)
    members: dict[str, list[Deployment]] = {}
    for deployment, id_ in zip(settings.model_list, _ids(settings.model_list), strict=True):
        members.setdefault(deployment.model_name, []).append(_deployment(deployment, id_, folder))
    fallbacks = {kind: _entries(kind, settings, directory) for kind in FALLBACK_KINDS}
    groups = {
        name: ModelGroup(name, _tiers(found), _policy(name, settings, fallbacks, directory))
        for name, found in members.items()
    }
    return Catalogue(
        MappingProxyType({name: group for name, group in groups.items() if "*" not in name}),
        MappingProxyType(directory.aliases),
        tuple(group for name, group in groups.items() if "*" in name),
    )


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


def _tiers(deployments: list[Deployment]) -> tuple[tuple[Deployment, ...], ...]:
    tiers: dict[int, list[Deployment]] = {}
    for deployment in deployments:
        tiers.setdefault(deployment.priority, []).append(deployment)
    return tuple(tuple(tiers[priority]) for priority in sorted(tiers))


def _deployment(settings: DeploymentSettings, id_: str, folder: FilePath) -> Deployment:
    keys = settings.api_keys if settings.api_key is None else (settings.api_key,)
    behaviour = Behaviour()
    if settings.mock is not None:
        behaviour = Behaviour(**settings.mock.model_dump())
    return Deployment(
        id=id_,
        model_name=settings.model_name,
        provider=settings.provider,
        model=settings.model if settings.model is not None else settings.model_name,
        api_base=settings.api_base or "",
        api_keys=tuple(key.get_secret_value() for key in keys),
        mode=settings.mode,
        weight=settings.weight,
        priority=settings.priority,
        prices=Prices(settings.input_cost_per_token, settings.output_cost_per_token),
        context_window=settings.context_window,
        max_output_tokens=settings.max_output_tokens,
        headers=MappingProxyType({name: value.get_secret_value() for name, value in settings.headers.items()}),
        tls=_tls(settings.tls, folder),
        enabled=settings.enabled,
        options=behaviour if settings.provider == "mock" else None,
    )


def _tls(tls: TLSSettings, folder: FilePath) -> TLS:
    def absolute(name: str | None) -> str | None:
        return None if name is None else os.path.abspath(folder / name)

    return TLS(absolute(tls.ca_file), absolute(tls.client_cert), absolute(tls.client_key), tls.server_name)


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
        cooldown=_cooldown(model.cooldown, routing.cooldown),
    )


def _cooldown(own: CooldownSettings | None, shared: CooldownSettings) -> CooldownPolicy:
    given = {} if own is None else own.model_dump(include=own.model_fields_set)
    return CooldownPolicy(**{**shared.model_dump(), **given})
