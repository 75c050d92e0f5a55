"""From a model group to the candidates a strategy may choose from."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from router.core.filters import FILTERS, Filter, Reason
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
    """Filter the group tier by tier. `tried` holds the backends this request has already been sent to."""
    rejections: list[Rejection] = []
    for tier in view.tiers(group):
        candidates = []
        for candidate in tier:
            if candidate.deployment.backend in tried:
                rejections.append(Rejection(candidate, Reason.ALREADY_TRIED))
                continue
            for reject in filters:
                reason = reject(request, candidate, view)
                if reason is not None:
                    rejections.append(Rejection(candidate, reason))
                    break
            else:
                candidates.append(candidate)
        if candidates:
            return Plan(candidates, rejections)
    return Plan([], rejections)
