"""`POST /router/explain`: the decision for a body, without sending it; as JSON, and as text for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.core.catalogue import Catalogue
from router.core.errors import RouterError
from router.core.events import Finished
from router.core.explain import Explained, Explanation, GroupPlan, explain
from router.core.load import Snapshot
from router.core.types import KINDS, Kind, Principal
from router.edge.inference import parse, understand
from router.edge.parameters import REQUIRED, bad


def explanation_of(
    catalogue: Catalogue,
    principal: Principal,
    view: Snapshot,
    headers: Mapping[str, str],
    raw: bytes,
    kind: str | None,
) -> Explanation:
    """What would become of the request that `raw` is. `kind` is needed only where the body does not tell.

    Raises RouterError, just as the request itself would.
    """
    chosen = _kind(raw, kind)
    record = Finished("explain", chosen)
    request, route, group = understand(catalogue, principal, chosen, headers, raw, record, view.now)
    if request.override is not None and request.override.own_group:
        raise bad("there is nothing to explain of a request that brings its own deployments")
    return explain(route, group, catalogue, view)


def document(explanation: Explanation, catalogue: Catalogue) -> dict[str, Any]:
    """Times in seconds, sizes in tokens, costs in US dollars; never a key, never an address."""
    request, group = explanation.request, explanation.group
    meant = explanation.plans[group.name]
    policy = group.policy
    return {
        "model": request.model,
        "group": group.name,
        "alias": request.model in catalogue.aliases,
        "kind": request.kind,
        "stream": request.stream,
        "decision": _decision(explanation),
        "estimate": {
            "prompt_tokens": request.estimate.prompt_tokens,
            "cached_prompt_tokens": round(meant.expected.cached, 1),
            "output_tokens": round(meant.expected.output, 1),
            "max_output_tokens": request.max_output,
            "cost": explanation.plans[explanation.first or group.name].cost,
        },
        "bounds": {
            "num_retries": policy.num_retries if request.num_retries is None else request.num_retries,
            "max_attempts": policy.max_attempts,
            "attempt_timeout": policy.attempt_timeout,
            "first_token_timeout": policy.first_token_timeout if request.stream else None,
        },
        "fallbacks": {kind.value: list(chain) for kind, chain in explanation.chains.items()},
        "groups": {name: _group(plan) for name, plan in explanation.plans.items()},
    }


def _decision(explanation: Explanation) -> dict[str, Any]:
    if explanation.refusal is not None:
        error = explanation.refusal
        told = {"status": error.status, "code": error.code, "message": error.message, "retry_after": error.retry_after}
        return {"action": "refuse", "group": None, "fallback": None, "error": told}
    fallback = explanation.fallback
    return {
        "action": "try",
        "group": explanation.first,
        "fallback": None if fallback is None else fallback.value,
        "error": None,
    }


def _group(plan: GroupPlan) -> dict[str, Any]:
    return {
        "strategy": plan.group.policy.strategy,
        "cost": plan.cost,
        "retry_budget": None if plan.budget is None else plan.budget._asdict(),
        "hedging": None if plan.hedge is None else {"after": plan.hedge.after, "copies_saved": plan.hedge.saved},
        "candidates": [_candidate(one) for one in plan.candidates],
    }


def _candidate(one: Explained) -> dict[str, Any]:
    deployment = one.candidate.deployment
    weighed = one.weighed
    return {
        "deployment": deployment.id,
        "provider": deployment.provider,
        "model": deployment.model,
        "priority": deployment.priority,
        "weight": deployment.weight,
        "rejected": None if one.reason is None else one.reason.value,
        "probability": one.probability,
        "copy_probability": one.copied,
        "score": None if weighed is None else weighed.score,
        "inputs": None if weighed is None else dict(weighed.inputs),
        "cost": one.cost,
    }


def _kind(raw: bytes, kind: str | None) -> Kind:
    """As asked for, else by what the body has that is required of one kind only."""
    if kind is not None:
        for known in KINDS:
            if kind == known:
                return known
        raise bad(f"`kind` must be one of {', '.join(KINDS)}", "kind")
    body, _ = parse(raw)
    for known, required in REQUIRED.items():
        if required in body:
            return known
    raise RouterError(400, "invalid_request_error", "the body has none of `messages`, `prompt` and `input`: send the"
                      " very body that would be sent, and where that does not tell, add `?kind=chat`")  # fmt: skip
