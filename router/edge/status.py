"""`GET /router/status`: the live picture as JSON. Deployments by their labels; never a key, never an address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from router.core.catalogue import Catalogue
from router.core.hedging import Hedges
from router.core.limits import headroom
from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.types import HedgingPolicy, ModelGroup, Principal
from router.edge.auth import may_use

SAMPLE_PROMPT = 1000
"""Tokens of the prompt whose time to first token is shown: the time depends on the length."""


def status(
    principal: Principal, catalogue: Catalogue, view: Snapshot, candidates: Callable[[], Iterable[Candidate]]
) -> list[dict[str, Any]]:
    """One entry a deployment, of the models that `principal` may use. Times in seconds."""
    allowed = allowed_groups(principal, catalogue)
    return [_entry(one, view) for one in candidates() if one.deployment.model_name in allowed]


def models(principal: Principal, catalogue: Catalogue, view: Snapshot) -> list[dict[str, Any]]:
    """One entry a model group that `principal` may use: what is told of the group as a whole."""
    allowed = allowed_groups(principal, catalogue)
    groups = [*catalogue.groups.values(), *catalogue.wildcards]
    return [_model(group, view) for group in groups if group.name in allowed]


def allowed_groups(principal: Principal, catalogue: Catalogue) -> set[str]:
    """The names of the model groups that a key may use, under whatever name."""
    names = [*catalogue.names(), *principal.models]
    groups = {name: catalogue.resolve(name) for name in names if may_use(principal, name)}
    found = {group.name for group in groups.values() if group is not None}
    return found | {group.name for group in catalogue.wildcards if may_use(principal, group.name)}


def _model(group: ModelGroup, view: Snapshot) -> dict[str, Any]:
    budget = view.balance(group)
    policy, hedges = group.policy.hedging, view.hedges.get(group.name)
    return {
        "model": group.name,
        "strategy": group.policy.strategy,
        "retry_budget": None if budget is None else budget._asdict(),
        "hedging": None if policy is None or hedges is None else _hedging(policy, hedges),
    }


def _hedging(policy: HedgingPolicy, hedges: Hedges) -> dict[str, Any]:
    """`after`: seconds without a token until a stream is sent again; None while too little is known."""
    return {"after": hedges.after(policy.quantile), "affords": hedges.affords}


def _entry(candidate: Candidate, view: Snapshot) -> dict[str, Any]:
    deployment, load = candidate.deployment, candidate.load
    now = view.now
    limited = deployment.limits is not None or load.heard
    return {
        "model": deployment.model_name,
        "deployment": deployment.id,
        "provider": deployment.provider,
        "upstream_model": deployment.model,
        "priority": deployment.priority,
        "weight": deployment.weight,
        "enabled": deployment.enabled,
        "in_flight": load.in_flight,
        "siblings_in_flight": load.siblings,
        "outstanding_tokens": load.outstanding,
        "breaker": load.breaker.state(now).value,
        "cooldown": max((load.breaker.open_until or now) - now, 0.0),
        "keys": _keys(candidate, now),
        "share": share(candidate, now),
        "headroom": headroom(candidate, now) if limited else None,
        "latency": {
            "first_token": load.latency.expected(now, True, SAMPLE_PROMPT, 0.0),
            "per_output_token": load.latency.expected(now, False, 0, 1.0),
        },
        "expected_output_tokens": _usual_output(view, deployment.model_name),
    }


def _keys(candidate: Candidate, now: float) -> list[dict[str, Any]]:
    """By position: which key it is stays in the configuration."""
    load = candidate.load
    order = [load.api_keys.index(key) for key in candidate.deployment.api_keys] or [0]
    return [
        {
            "position": place,
            "cooldown": max(key.until - now, 0.0),
            "refused": key.refused and key.until > now,
            "trial": key.trials > 0 and key.until > now,
        }
        for place, key in enumerate(load.keys[position] for position in order)
    ]


def _usual_output(view: Snapshot, model_name: str) -> float | None:
    usual = view.outputs.get(model_name)
    return None if usual is None else usual.value
