"""Why a deployment can not serve a request. Each filter looks at one thing and names its reason."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from router.core.load import Candidate, Snapshot
from router.core.types import RouteRequest

WINDOW_DOUBT = 1.5
"""An estimated prompt of this many windows is moved to a larger window; a smaller one is left to upstream's
judgement."""


class Reason(StrEnum):
    """Doubles as the bounded metric label `reason`."""

    DISABLED = "disabled"
    COOLDOWN = "cooldown"
    UNHEALTHY = "unhealthy"
    CONTEXT_WINDOW = "context_window"
    CAPABILITY = "capability"
    ALREADY_TRIED = "already_tried"


Filter = Callable[[RouteRequest, Candidate, Snapshot], Reason | None]


def disabled(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    return None if candidate.deployment.enabled else Reason.DISABLED


def capability(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """A deployment with a `mode` serves that kind of request only."""
    mode = candidate.deployment.mode
    return None if mode is None or mode == request.kind else Reason.CAPABILITY


def unhealthy(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    return None if candidate.load.breaker.admits(view.now) else Reason.UNHEALTHY


def cooldown(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    """Every key of the deployment rests after a 429 or a refusal."""
    return Reason.COOLDOWN if candidate.load.usable_key(view.now) is None else None


def context_window(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
    window = candidate.deployment.context_window
    if window is None or request.estimate.prompt_tokens < WINDOW_DOUBT * window:
        return None
    return Reason.CONTEXT_WINDOW


FILTERS: tuple[Filter, ...] = (disabled, capability, unhealthy, cooldown, context_window)
"""In the order they are asked; the first reason found is the one that is told."""
