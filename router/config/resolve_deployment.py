"""From one checked entry of `model_list` to the deployment that routing reads."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path as FilePath
from types import MappingProxyType

from router.config.prices import PriceTable
from router.config.schema_deployment import DeploymentSettings, TLSSettings, strict_of
from router.core.types import TLS, Deployment, HealthCheck, Prices
from router.dialects.azure import AzureOptions, EntraOptions
from router.dialects.mock.behaviour import Behaviour


def deployment_of(settings: DeploymentSettings, id_: str, weight: float, folder: FilePath) -> Deployment:
    """What the entry says. Relative names of files become absolute, from `folder`."""
    keys = settings.api_keys if settings.api_key is None else (settings.api_key,)
    check = settings.health_check
    return Deployment(
        id=id_,
        model_name=settings.model_name,
        provider=settings.provider,
        model=settings.model if settings.model is not None else settings.model_name,
        base_model=settings.base_model or "",
        api_base=settings.api_base or "",
        api_keys=tuple(key.get_secret_value() for key in keys),
        mode=settings.mode,
        weight=weight,
        priority=settings.priority,
        prices=Prices(
            input=settings.input_cost_per_token,
            output=settings.output_cost_per_token,
            cached_input=settings.cached_input_cost_per_token,
            cache_write=settings.cache_write_cost_per_token,
            audio_input=settings.input_audio_cost_per_token,
            audio_output=settings.output_audio_cost_per_token,
            reasoning=settings.reasoning_cost_per_token,
        ),
        context_window=settings.context_window,
        max_output_tokens=settings.max_output_tokens,
        headers=MappingProxyType({name: value.get_secret_value() for name, value in settings.headers.items()}),
        tls=_tls(settings.tls, folder),
        tags=frozenset(settings.tags),
        enabled=settings.enabled,
        rpm=None if settings.rpm is None else settings.rpm.limit,
        tpm=None if settings.tpm is None else settings.tpm.limit,
        max_parallel_requests=settings.max_parallel_requests,
        strict=strict_of(settings.rpm, settings.tpm),
        options=_options(settings),
        health_check=None if check is None else HealthCheck(check.path, check.interval),
    )


def _options(settings: DeploymentSettings) -> object:
    """What only the provider knows."""
    if settings.provider == "mock":
        return Behaviour() if settings.mock is None else Behaviour(**settings.mock.model_dump())
    if settings.provider != "azure":
        return None
    identity, entra = None, settings.entra
    if entra is not None:
        secret = "" if entra.client_secret is None else entra.client_secret.get_secret_value()
        authority = (entra.authority or "").rstrip("/")
        identity = EntraOptions(entra.tenant_id or "", entra.client_id or "", secret, authority, entra.scope)
    return AzureOptions(settings.api_version or "", identity)


def completed(deployment: Deployment, table: PriceTable) -> Deployment:
    """With what `table` knows and the file does not say.

    Where the file has a price for prompt or output tokens, it has all that count: a model with prices of its own does
    not follow the list.
    """
    own = deployment.prices
    priced = own.input is not None or own.output is not None
    if deployment.provider == "mock" or (priced and deployment.context_window is not None):
        return deployment
    known = table.find(deployment.provider, deployment.api_base, deployment.base_model or deployment.model)
    if not priced:
        given = {each.name: value for each in fields(own) if (value := getattr(own, each.name)) is not None}
        own = replace(known.prices, **(given | {"above": known.prices.above}))
    window = known.context_window if deployment.context_window is None else deployment.context_window
    return replace(deployment, prices=own, context_window=window)


def _tls(tls: TLSSettings, folder: FilePath) -> TLS:
    def absolute(name: str | None) -> str | None:
        return None if name is None else os.path.abspath(folder / name)

    return TLS(absolute(tls.ca_file), absolute(tls.client_cert), absolute(tls.client_key), tls.server_name)
