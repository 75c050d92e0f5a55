"""Why a deployment can not serve a request. Each filter looks at one thing and names its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from router.core.limits import exhausted, shortage
from router.core.load import Candidate, Snapshot
from router.core.room import room
from router.core.types import RouteRequest


class Reason(StrEnum):
    """Doubles as the bounded metric label `reason`."""

    DISABLED = "disabled"
    COOLDOWN = "cooldown"
    UNHEALTHY = "unhealthy"
    RPM = "rpm"
    TPM = "tpm"
    PARALLEL = "parallel"
    CONTEXT_WINDOW = "context_window"
    TAGS = "tags"
    CAPABILITY = "capability"
    ALREADY_TRIED = "already_tried"


Filter = Callable[[RouteRequest, Candidate, Snapshot], Reason | None]


def disabled(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    return None if candidate.deployment.enabled else Reason.DISABLED


def capability(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """A deployment with a `mode` serves that kind of request only; one with a template, chat besides."""
    deployment = candidate.deployment
    mode = deployment.mode
    if mode is None or mode == request.kind or (deployment.template is not None and request.kind == "chat"):
        return None
    return Reason.CAPABILITY


def tags(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """A deployment must have every tag that the request wants, and none that it does not."""
    asked = request.tags
    if asked is None:
        return None
    own = candidate.deployment.tags
    return None if asked.wanted <= own and asked.unwanted.isdisjoint(own) else Reason.TAGS


def unhealthy(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    return None if candidate.load.breaker.admits(view.now) else Reason.UNHEALTHY


def limits(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """One of its limits, or of upstream's, leaves no room for the request: `rpm`, `tpm` or `parallel`."""
    deployment, load = candidate.deployment, candidate.load
    own = deployment.limits
    if own is None and not load.heard:
        return None
    tokens = 0 if own is None or own.tpm is None else view.tokens(request, deployment.model_name)
    short = shortage(candidate, view.now, tokens)
    return None if short is None else Reason(short)


def cooldown(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """Every key of the deployment rests after a 429 or a refusal, or is on trial after such a rest."""
    return Reason.COOLDOWN if candidate.load.usable_key(view.now) is None else None


def context_window(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """Prompt and wanted output do not fit its window, or so it seems."""
    deployment = candidate.deployment
    window = deployment.context_window
    if window is None or room(request, deployment, view.prompt_tokens(request, deployment.model_name)).fits:
        return None
    return Reason.CONTEXT_WINDOW


FILTERS: tuple[Filter, ...] = (disabled, capability, tags, unhealthy, limits, cooldown, context_window)
"""In the order they are asked; the first reason found is the one that is told."""


def reason_against(
    request: RouteRequest, candidate: Candidate, view: Snapshot, filters: tuple[Filter, ...] = FILTERS
) -> Reason | None:
    """The first reason that one of `filters` finds."""
    for reject in filters:
        reason = reject(request, candidate, view)
        if reason is not None:
            return reason
    return None


def fit_among(request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[Candidate]:
    """Those of one model's `candidates` that none of FILTERS has a reason against. The usual answers of the filters are
    read off without asking them: every request asks for all of a small group."""
    now, kind, asked, size = view.now, request.kind, request.tags, request.size
    tokens: int | None = None
    found = []
    for candidate in candidates:
        deployment, load = candidate.deployment, candidate.load
        mode, window, breaker = deployment.mode, deployment.context_window, load.breaker
        own, meter = deployment.limits, load.meter
        if own is not None and meter is not None:
            if tokens is None:
                tokens = view.tokens(request, deployment.model_name)
            if meter.shortage(own, load.in_flight, load.siblings, now, tokens) is not None:
                continue
        if load.heard and exhausted(load, now) is not None:
            continue
        if (
            deployment.enabled
            and (mode is None or mode == kind or capability(request, candidate, view) is None)
            and (asked is None or tags(request, candidate, view) is None)
            and (breaker.open_until is None or breaker.admits(now))
            and (load.keys[load.next_key].until <= now or load.usable_key(now) is not None)
            and (
                window is None
                or (size is not None and size <= window)
                or context_window(request, candidate, view) is None
            )
        ):
            found.append(candidate)
    return found
