"""What the schema cannot say: settings that must fit each other, the files they name, and the world outside."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path as FilePath

from router.config.check_prompts import check_prompts
from router.config.document import Path
from router.config.names import Directory, check_names
from router.config.problems import Problems
from router.config.schema import Settings
from router.config.schema_deployment import DeploymentSettings
from router.config.schema_routing import CooldownSettings
from router.config.unbuilt import PLANNED_PROVIDERS, check_choice, check_unbuilt
from router.core.redis_address import parse_redis_url
from router.dialects.azure import has_own_path

NEED_API_BASE = frozenset({"openai", "azure", "vllm", "huggingface"})
"""The providers that have no address of their own."""


def check(
    settings: Settings, problems: Problems, folder: FilePath, providers: Collection[str], strategies: Collection[str]
) -> None:
    """Note everything that is wrong with `settings`. Files are named from `folder`."""
    check_unbuilt(settings, problems)
    _check_strategies(settings, problems, strategies)
    _check_cooldowns(settings, problems)
    ids: dict[str, Path] = {}
    for index, deployment in enumerate(settings.model_list):
        path: Path = ("model_list", index)
        _check_provider(path, deployment, problems, providers)
        _check_azure(path, deployment, problems)
        _check_health_check(path, deployment, problems)
        _check_pattern(path, deployment, problems)
        _check_credentials(path, deployment, problems)
        _check_tls(path, deployment, problems, folder)
        if deployment.id is not None:
            first = ids.setdefault(deployment.id, path)
            if first is not path:
                problems.add((*path, "id"), f"model_list.{first[-1]} has this id already")
    if not settings.model_list and ("model_list",) not in problems:
        problems.add(("model_list",), "there is no deployment, so nothing can be served")
    check_prompts(settings, problems, folder)
    check_names(settings, Directory(settings), problems)
    _check_keys(settings, problems)
    _check_state(settings, problems)
    _check_listening(settings, problems)
    _check_tracing(settings, problems)


def _check_tracing(settings: Settings, problems: Problems) -> None:
    tracing = settings.telemetry.tracing
    if tracing.endpoint is not None and not _is_installed("opentelemetry", "exporter"):
        problems.add(("telemetry", "tracing", "endpoint"), "needs the extra otel: pip install 'llm-router[otel]'")


def _is_installed(package: str, module: str) -> bool:
    return find_spec(package) is not None and find_spec(f"{package}.{module}") is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_strategies(settings: Settings, problems: Problems, strategies: Collection[str]) -> None:
    path: Path = ("routing", "strategy")
    check_choice(path, settings.routing.strategy, strategies, (), "strategy", problems)
    for name, model in settings.models.items():
        if model.strategy is not None:
            path = ("models", name, "strategy")
            check_choice(path, model.strategy, strategies, (), "strategy", problems)


def _check_cooldowns(settings: Settings, problems: Problems) -> None:
    shared = settings.routing.cooldown
    _check_cooldown(("routing", "cooldown"), shared, shared, problems)
    for name, model in settings.models.items():
        if model.cooldown is not None:
            _check_cooldown(("models", name, "cooldown"), model.cooldown, shared, problems)


def _check_cooldown(path: Path, own: CooldownSettings, shared: CooldownSettings, problems: Problems) -> None:
    base, longest = ((own if name in own.model_fields_set else shared) for name in ("base", "max"))
    if longest.max < base.base:
        name = "max" if "max" in own.model_fields_set else "base"
        problems.add((*path, name), f"max ({longest.max:g}) is less than base ({base.base:g})")


def _check_provider(path: Path, deployment: DeploymentSettings, problems: Problems, providers: Collection[str]) -> None:
    name = deployment.provider
    check_choice((*path, "provider"), name, providers, PLANNED_PROVIDERS, "provider", problems)
    if name in NEED_API_BASE and deployment.api_base is None:
        problems.add((*path, "api_base"), f"is missing; provider {name} needs it")
    if deployment.mock is not None and name != "mock":
        problems.add((*path, "mock"), "is for provider mock only", key=True)
    elif deployment.mock is not None and deployment.api_base is not None:
        problems.add((*path, "mock"), "does nothing beside api_base: the server there has its own", key=True)


def _check_azure(path: Path, deployment: DeploymentSettings, problems: Problems) -> None:
    keyed = deployment.api_key is not None or bool(deployment.api_keys)
    if deployment.provider != "azure":
        for name in ("api_version", "entra"):
            if getattr(deployment, name) is not None:
                problems.add((*path, name), "is for provider azure only", key=True)
        return
    if deployment.api_base is not None and has_own_path(deployment.api_base):
        problems.add((*path, "api_base"), "must be the resource's address, such as https://NAME.openai.azure.com")
    if deployment.entra is None:
        return
    if not _is_installed("azure", "identity"):
        problems.add((*path, "entra"), "needs the extra azure: pip install 'llm-router[azure]'", key=True)
    if keyed:
        problems.add((*path, "entra"), "is given beside a key: give one of them", key=True)
    if deployment.entra.client_secret is not None and not (deployment.entra.tenant_id and deployment.entra.client_id):
        problems.add((*path, "entra", "client_secret"), "needs a tenant_id and a client_id beside it", key=True)


def _check_health_check(path: Path, deployment: DeploymentSettings, problems: Problems) -> None:
    if deployment.health_check is not None and deployment.api_base is None:
        problems.add((*path, "health_check"), "needs an api_base: there is no host to ask", key=True)


def _check_pattern(path: Path, deployment: DeploymentSettings, problems: Problems) -> None:
    if deployment.model_name.count("*") > 1:
        problems.add((*path, "model_name"), "a pattern has one *")
    elif "*" not in deployment.model_name and deployment.model is not None and "*" in deployment.model:
        problems.add((*path, "model"), "holds a *, but model_name has none that it could stand for")


def _check_credentials(path: Path, deployment: DeploymentSettings, problems: Problems) -> None:
    if deployment.api_key is not None and deployment.api_keys:
        problems.add((*path, "api_keys"), "is given beside api_key: give one of them", key=True)
    seen: set[str] = set()
    for position, key in enumerate(deployment.api_keys):
        if key.get_secret_value() in seen:
            problems.add((*path, "api_keys", position), "is the same key as one before it")
        seen.add(key.get_secret_value())


def _check_tls(path: Path, deployment: DeploymentSettings, problems: Problems, folder: FilePath) -> None:
    tls = deployment.tls
    if not tls.model_fields_set:
        return
    for name in ("ca_file", "client_cert", "client_key"):
        file = getattr(tls, name)
        if file is not None and not _is_readable(folder, file):
            problems.add((*path, "tls", name), f"cannot read {problems.shown((*path, 'tls', name), file)}")
    if tls.client_key is not None and tls.client_cert is None:
        problems.add((*path, "tls", "client_key"), "needs a client_cert beside it", key=True)
    given = any(getattr(tls, name) is not None for name in type(tls).model_fields)
    if given and deployment.api_base is not None and not deployment.api_base.startswith("https:"):
        problems.add((*path, "tls"), "does nothing: api_base is not https", key=True)


def _is_readable(folder: FilePath, name: str) -> bool:
    file = folder / name
    try:
        return file.is_file() and os.access(file, os.R_OK)
    except ValueError:  # a null byte
        return False


def _check_keys(settings: Settings, problems: Problems) -> None:
    names: set[str] = set()
    owners: dict[str, str] = {}
    master = settings.auth.master_key.get_secret_value()
    if master:
        owners[master] = "the master_key"
    for index, key in enumerate(settings.auth.keys):
        path: Path = ("auth", "keys", index)
        if key.name in names:
            problems.add((*path, "name"), "another key has this name already")
        names.add(key.name)
        names_hosts = bool({"api_base", "model_list"} & set(key.allow))
        if names_hosts and not key.allowed_hosts:
            problems.add((*path, "allow"), "allows hosts to be named, and allowed_hosts has none", key=True)
        elif key.allowed_hosts and not names_hosts:
            problems.add((*path, "allowed_hosts"), "does nothing: allow has neither api_base nor model_list", key=True)
        owner = owners.setdefault(key.key.get_secret_value(), f"the key of {key.name}")
        if owner != f"the key of {key.name}":
            problems.add((*path, "key"), f"is the same as {owner}")


def _check_state(settings: Settings, problems: Problems) -> None:
    url = settings.state.redis_url.get_secret_value()
    if url:
        try:
            parse_redis_url(url)
        except ValueError as error:
            problems.add(("state", "redis_url"), str(error))
    if "{" in settings.state.namespace or "}" in settings.state.namespace:
        problems.add(("state", "namespace"), "must not hold braces: they would name another hash tag")


def _check_listening(settings: Settings, problems: Problems) -> None:
    auth = settings.auth
    if auth.keys or auth.master_key.get_secret_value() or ("auth",) in problems:
        return
    if not is_loopback(settings.server.host):
        problems.add(
            ("server", "host"),
            "without auth.keys the router listens on loopback only: set auth.keys, or server.host to 127.0.0.1",
        )
