"""What `llm-router check` prints: the configuration as the router understood it, without its secrets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from router.config.load import Config
from router.core.types import Deployment, ModelGroup

_HEADINGS = ("  deployment", "provider", "upstream model", "where", "tier", "weight", "$/M in", "$/M out", "window", "")
_PER_MILLION = 1_000_000


def describe(config: Config) -> str:
    """Lines for a person to read: the address, keys by name, models with their deployments, aliases and fallbacks."""
    catalogue, auth = config.catalogue, config.settings.auth
    groups = [*catalogue.groups.values(), *catalogue.wildcards]
    server = config.settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    master = "a master key" if auth.master_key.get_secret_value() else "no master key"
    keys = ", ".join(key.name for key in auth.keys) or "none (open; loopback only)"
    lines = [f"listens on http://{host}:{server.port}", f"keys: {keys}; {master}", ""]
    count = sum(len(tier) for group in groups for tier in group.tiers)
    lines += [f"{_counted(len(groups), 'model')}, {_counted(count, 'deployment')}", ""]
    lines += _table(groups)
    if catalogue.aliases:
        lines += ["", "aliases"]
        lines += [f"  {alias} -> {name}" for alias, name in sorted(catalogue.aliases.items())]
    fallbacks = [line for group in groups for line in _fallbacks(group)]
    if fallbacks:
        lines += ["", "fallbacks", *fallbacks]
    return "\n".join(lines) + "\n"


def _table(groups: Iterable[ModelGroup]) -> list[str]:
    rows: list[Sequence[str]] = [_HEADINGS]
    for group in groups:
        rows.append((f"{group.name} ({group.policy.strategy})",))
        rows += [_row(deployment) for tier in group.tiers for deployment in tier]
    widths = [max(len(row[column]) for row in rows if len(row) == len(_HEADINGS)) for column in range(len(_HEADINGS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        if len(row) > 1
        else row[0]
        for row in rows
    ]


def _place(api_base: str) -> str:
    parts = urlsplit(api_base)
    return parts.netloc or ("a unix socket" if parts.scheme == "unix" else "in this process")


def _row(deployment: Deployment) -> Sequence[str]:
    prices = deployment.prices
    return (
        f"  {deployment.id}",
        deployment.provider,
        deployment.model,
        _place(deployment.api_base),
        str(deployment.priority),
        f"{deployment.weight:g}",
        _price(prices.input),
        _price(prices.output),
        "-" if deployment.context_window is None else str(deployment.context_window),
        "" if deployment.enabled else "disabled",
    )


def _price(dollars: float | None) -> str:
    return "-" if dollars is None else f"{dollars * _PER_MILLION:.6g}"


def _fallbacks(group: ModelGroup) -> Iterable[str]:
    policy = group.policy
    for targets, when in (
        (policy.fallbacks, ""),
        (policy.context_window_fallbacks, "  (context window)"),
        (policy.content_policy_fallbacks, "  (content policy)"),
    ):
        if targets:
            yield f"  {group.name} -> {', '.join(targets)}{when}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
