"""Where work under way, speed, headroom and cost, all taken together, look best."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.cost import expected_cost
from router.core.limits import headroom
from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Timed
from router.core.strategies.latency_based import expected_times
from router.core.types import AdaptiveWeights, RouteRequest

LEAST_HEADROOM = 0.01
"""A headroom of nothing counts as this: what has none left for this request is filtered out before."""
SMALL_COST = 1e-6
"""US dollars added to every cost, so that of two that cost nothing, or next to it, the price does not decide."""
UNKNOWN_COST = 10.0
"""US dollars: more than about any request costs, so that unknown prices come last."""
DEFAULTS = AdaptiveWeights()


class Adaptive(Timed):
    """Lowest seconds^latency × (1 + outstanding / own)^load × headroom^−headroom × (cost + $0.000001)^cost / share.

    `seconds` as in `latency-based`; `outstanding` are the tokens still to come of what is under way there (prompts not
    yet answered, and expected output, which falls as chunks arrive), a sibling's request counted as one like this;
    `own` are this request's. So work is counted in tokens, where `least-busy` counts a long prompt like a short one.
    Exponents come from the configuration (`routing.adaptive`): load 1, latency 1, headroom 1, cost 0 by default.

    Source: a weighted product (Miller and Starr, 1969), which needs no common unit, and join-the-shortest-queue by work
    left. Everyone is compared in a small tier, two in a large one or beside siblings: see `Comparing`. Needs samples;
    what is unknown is left out or counts as the best. Wrong where one part alone matters: the single-purpose strategies
    are simpler to foresee.
    """

    def times(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float | None]:
        times = expected_times(request, candidates, view)
        exponent = weights_of(candidates, view).latency
        return times if exponent == 1.0 else [None if time is None else time**exponent for time in times]

    def rests(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        now, weights = view.now, weights_of(candidates, view)
        own = view.tokens(request, candidates[0].deployment.model_name) or 1
        found = []
        for candidate in candidates:
            deployment, load = candidate
            standing = load.standing
            rest = 1.0 + load.outstanding / own + load.siblings
            if weights.load != 1.0:
                rest **= weights.load
            if deployment.limits is not None or load.heard:
                rest /= max(headroom(candidate, now), LEAST_HEADROOM) ** weights.headroom
            if now < standing.whole_at:
                rest /= standing.share(now)
            found.append(rest)
        if weights.cost:
            for place, candidate in enumerate(candidates):
                cost = expected_cost(request, candidate, view)
                found[place] *= (UNKNOWN_COST if cost is None else cost + SMALL_COST) ** weights.cost
        return found

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        load = candidate.load
        return {
            "expected_seconds": expected_times(request, [candidate], view)[0],
            "outstanding_tokens": load.outstanding,
            "own_tokens": view.tokens(request, candidate.deployment.model_name),
            "siblings": load.siblings,
            "headroom": headroom(candidate, view.now),
            "expected_cost": expected_cost(request, candidate, view),
            "share": share(candidate, view.now),
        }


def weights_of(candidates: Sequence[Candidate], view: Snapshot) -> AdaptiveWeights:
    policy = view.policies.get(candidates[0].deployment.model_name)
    return DEFAULTS if policy is None else policy.adaptive
