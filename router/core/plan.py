"""From a model group to the candidates a strategy may choose from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from router.core.filters import FILTERS, Filter, Reason, fit_among, reason_against
from router.core.load import Candidate, Snapshot
from router.core.types import ModelGroup, RouteRequest


class Rejection(NamedTuple):
    candidate: Candidate
    reason: Reason


class Plan(NamedTuple):
    """`candidates` are the first tier's that has any left; `rejections` name everyone passed over on the way there."""

    candidates: list[Candidate]
    rejections: list[Rejection]


def plan(
    request: RouteRequest,
    group: ModelGroup,
    view: Snapshot,
    tried: Collection[str] = (),
    filters: tuple[Filter, ...] = FILTERS,
) -> Plan:
    """Filter the group tier by tier, looking at everyone. `tried` holds the backends this request has already been
    sent to. What routes a request is `choice.choose`, which in a large tier looks at a few only."""
    rejections: list[Rejection] = []
    for tier in view.tiers(group):
        candidates = sift(request, tier, view, tried, filters, rejections)
        if candidates:
            return Plan(candidates, rejections)
    return Plan([], rejections)


def sift(
    request: RouteRequest,
    candidates: Sequence[Candidate],
    view: Snapshot,
    tried: Collection[str],
    filters: tuple[Filter, ...],
    rejections: list[Rejection],
) -> list[Candidate]:
    """Those fit to serve. The others are added to `rejections`, each with the first reason found."""
    if filters is FILTERS and not tried:
        found = fit_among(request, candidates, view)
        count = len(found)
        if count != len(candidates):
            place = 0  # of the next one in `found`, which keeps the order
            for candidate in candidates:
                if place < count and candidate is found[place]:
                    place += 1
                else:
                    reason = reason_against(request, candidate, view, filters)
                    if reason is not None:
                        rejections.append(Rejection(candidate, reason))
        return found
    found = []
    for candidate in candidates:
        reason = reason_to_pass_over(request, candidate, view, tried, filters)
        if reason is None:
            found.append(candidate)
        else:
            rejections.append(Rejection(candidate, reason))
    return found


def reason_to_pass_over(
    request: RouteRequest,
    candidate: Candidate,
    view: Snapshot,
    tried: Collection[str],
    filters: tuple[Filter, ...],
) -> Reason | None:
    """The first reason found; None where there is none."""
    if candidate.deployment.backend in tried:
        return Reason.ALREADY_TRIED
    if filters is FILTERS and fit_among(request, (candidate,), view):
        return None
    return reason_against(request, candidate, view, filters)
