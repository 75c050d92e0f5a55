"""What a client sets of a deployment for one request, held against what its key allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from router.config.fields import check_header_text
from router.config.resolve import tiers_of
from router.config.resolve_deployment import deployment_of
from router.config.schema_deployment import DeploymentSettings
from router.config.upstream_fields import check_api_base, check_headers
from router.config.wording import message_of, path_of
from router.core.grants import USUAL_PORTS, Grants
from router.core.override import OWN_GROUP, Override
from router.core.types import Deployment, ModelGroup, Prices, RoutingPolicy
from router.dialects.azure import AzureOptions, options_of
from router.edge.parameters.checking import bad
from router.edge.parameters.own import not_allowed

LONGEST_LIST = 16
PROVIDERS = frozenset({"openai", "azure"})
"""Those that sign in with a key and nothing else: no credentials of this machine are ever at a client's service."""
_FIELDS = frozenset(
    {"model_name", "provider", "model", "base_model", "mode", "api_base", "api_key", "api_keys", "api_version",
     "weight", "priority", "context_window", "max_output_tokens", "tags", "headers", "input_cost_per_token",
     "output_cost_per_token"}
)  # fmt: skip


def override_of(given: Mapping[str, Any], deployment_id: str | None) -> Override:
    """What `given`, which is allowed, changes of whatever deployment it meets. Raises RouterError 400."""
    headers = {**_headers(given, "headers"), **_headers(given, "extra_headers")}
    key = given.get("api_key")
    if key is not None:
        if not isinstance(key, str) or not key:
            raise bad("`api_key` must be a non-empty string", "api_key")
        try:
            check_header_text(key)
        except ValueError as error:
            raise bad(f"`api_key` {error}", "api_key") from None
    version = given.get("api_version")
    if version is not None:
        _validated({"model_name": "m", "provider": "azure", "api_version": version}, "api_version")

    def adapt(deployment: Deployment) -> Deployment:
        if version is None or deployment.provider != "azure":
            return deployment
        return replace(deployment, options=replace(options_of(deployment), api_version=version))

    own = "api_base" in given or "model_list" in given
    return Override(deployment_id, key, headers, adapt, own)


def refuse_unless_azure(group: ModelGroup) -> None:
    """Raises RouterError 400 where `deployment_id` could mean no deployment of the group."""
    if not any(deployment.provider == "azure" for tier in group.tiers for deployment in tier):
        raise bad(f"`deployment_id` is for Azure, and no deployment of `{group.name}` is there", "deployment_id")


def prices_of(given: Mapping[str, Any]) -> Prices | None:
    """The client's own prices. Raises RouterError 400."""
    found: list[float | None] = []
    for name in ("input_cost_per_token", "output_cost_per_token"):
        price = given.get(name)
        if price is not None and (type(price) not in (int, float) or not 0.0 <= price < float("inf")):
            raise bad(f"`{name}` must be a number of US dollars, 0 or more", name)
        found.append(None if price is None else float(price))
    return None if found == [None, None] else Prices(found[0], found[1])


def own_group(given: Mapping[str, Any], model: str, known: ModelGroup | None, grants: Grants) -> ModelGroup:
    """The deployments that the client has named by `api_base` or `model_list`. Raises RouterError 400 and 403.

    `known` is the configured group of that model, whose times apply, and whose wire format where the client names none;
    never its credentials, headers, prices or fallbacks.
    """
    if "model_list" in given and "api_base" in given:
        raise bad("`api_base` does nothing beside `model_list`: it stands in its entries", "api_base")
    if "model_list" in given:
        deployments = _listed(given["model_list"], model, grants)
    else:
        deployments = [_at(given["api_base"], model, known, grants)]
    policy = RoutingPolicy() if known is None else known.policy
    policy = replace(
        policy, fallbacks=(), context_window_fallbacks=(), content_policy_fallbacks=(), queue=None,
    )  # fmt: skip
    return ModelGroup(OWN_GROUP, tiers_of(deployments), policy)


def _at(api_base: object, model: str, known: ModelGroup | None, grants: Grants) -> Deployment:
    provider = "openai"
    if known is not None and known.tiers and known.tiers[0][0].provider in PROVIDERS:
        provider = known.tiers[0][0].provider
    base = _allowed_base(api_base, "api_base", grants)
    options = AzureOptions() if provider == "azure" else None
    return Deployment(f"{OWN_GROUP}-1", OWN_GROUP, provider, model, base, options=options, guard=grants, transient=True)


def _listed(entries: object, model: str, grants: Grants) -> list[Deployment]:
    if not isinstance(entries, list) or not 0 < len(entries) <= LONGEST_LIST:
        raise bad(f"`model_list` must be an array of 1 to {LONGEST_LIST} deployments", "model_list")
    found: list[Deployment] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise bad("every entry of `model_list` must be an object", "model_list")
        unfit = next((name for name in entry if name not in _FIELDS), None)
        if unfit is not None:
            raise bad(f"`model_list.{number}` may not hold `{unfit[:50]}`", "model_list")
        priced = next((name for name in entry if name.endswith("_cost_per_token") and name not in grants.allow), None)
        if priced is not None:
            raise not_allowed("model_list", f"this key may not set `{priced}`")
        given = {"model_name": model, **entry}
        if given["model_name"] != model:
            continue
        settings = _validated(given, "model_list", number)
        if settings.provider not in PROVIDERS:
            raise bad(f"`model_list.{number}.provider` must be one of {', '.join(sorted(PROVIDERS))}", "model_list")
        base = _allowed_base(settings.api_base, "model_list", grants)
        made = deployment_of(settings, f"{OWN_GROUP}-{len(found) + 1}", settings.weight, Path("/"))
        headers = {name.lower(): value for name, value in made.headers.items()}
        found.append(replace(made, model_name=OWN_GROUP, api_base=base, headers=headers, guard=grants, transient=True))
    if not found:
        raise bad("no entry of `model_list` is for this `model`", "model_list")
    return found


def _validated(given: dict[str, Any], param: str, number: int | None = None) -> DeploymentSettings:
    try:
        return DeploymentSettings.model_validate(given)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, path_of(detail)))
        name = param if number is None else f"{param}.{number}.{place}"
        raise bad(f"`{name}` {message_of(detail)}", param) from None


def _allowed_base(given: object, param: str, grants: Grants) -> str:
    """`given` in one spelling. Raises RouterError 400 for no address, 403 for one that is not allowed."""
    if not isinstance(given, str):
        raise bad("`api_base` is required and must be a string", param)
    try:
        base = check_api_base(given)
    except ValueError as error:
        raise bad(f"`api_base` {error}", param) from None
    parts = urlsplit(base)
    host = parts.hostname or ""
    if parts.scheme not in USUAL_PORTS or host.endswith(".") or "%" in parts.netloc:
        raise bad("`api_base` must begin with http:// or https:// and a plain host", param)
    if not grants.covers(parts.scheme, host, parts.port or USUAL_PORTS[parts.scheme]):
        raise not_allowed(param, "this key may not send requests to that host")
    return base


def _headers(given: Mapping[str, Any], param: str) -> dict[str, str]:
    fields = given.get(param)
    if fields is None:
        return {}
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise bad(f"`{param}` must be an object of strings", param)
    try:
        check_headers({name: SecretStr(value) for name, value in fields.items()})
    except ValueError as error:
        raise bad(f"`{param}`: {error}", param) from None
    return {name.lower(): value for name, value in fields.items()}
