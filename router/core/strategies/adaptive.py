"""Where speed, work under way, headroom and cost, all taken together, look best."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.cost import expected_cost
from router.core.limits import headroom
from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Timed
from router.core.strategies.latency_based import idle_times
from router.core.types import AdaptiveWeights, RouteRequest

LEAST_HEADROOM = 0.01
"""A headroom of nothing counts as this: what has none left for this request is filtered out before."""
SMALL_COST = 1e-6
"""US dollars added to every cost, so that of two that cost nothing, or next to it, the price does not decide."""
UNKNOWN_COST = 10.0
"""US dollars: more than about any request costs, so that unknown prices come last."""
DEFAULTS = AdaptiveWeights()


class Adaptive(Timed):
    """Lowest seconds^latency × busyness^load × headroom^−headroom × (cost + $0.000001)^cost / share.

    A stream's seconds × busyness are its expected time to first token, as in `latency-based`: `seconds` those of an
    idle backend, `busyness` how many times longer the wait there makes it. For whole replies `seconds` is as there too,
    and `busyness` counts work in tokens: 1 + outstanding / own + siblings, where `outstanding` are the tokens still to
    come of what is under way (prompts not yet answered, and expected output), a sibling's request counted as one like
    this, and `own` are this request's. Exponents come from the configuration (`routing.adaptive`): load 1, latency 1,
    headroom 0.05, cost 0 by default, as found on one trace and judged on another (docs/strategies.md).

    Source: a weighted product (Miller and Starr, 1969), which needs no common unit, over the shortest expected delay.
    Needs samples; what is unknown is left out or counts as the best. Wrong where one part alone matters: the
    single-purpose strategies are simpler to foresee.
    """

    def factors(
        self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot
    ) -> tuple[list[float | None], list[float]]:
        now, weights = view.now, weights_of(candidates, view)
        times = idle_times(request, candidates, view)
        rests = busyness(request, candidates, times, view)
        if weights.load != 1.0:
            rests = [rest**weights.load for rest in rests]
        for place, candidate in enumerate(candidates):
            load = candidate.load
            if candidate.deployment.limits is not None or load.heard:
                rests[place] /= max(headroom(candidate, now), LEAST_HEADROOM) ** weights.headroom
            standing = load.standing
            if now < standing.whole_at:
                rests[place] /= standing.share(now)
        if weights.cost:
            for place, candidate in enumerate(candidates):
                cost = expected_cost(request, candidate, view)
                rests[place] *= (UNKNOWN_COST if cost is None else cost + SMALL_COST) ** weights.cost
        if weights.latency != 1.0:
            times = [None if time is None else time**weights.latency for time in times]
        return times, rests

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        load = candidate.load
        times = idle_times(request, [candidate], view)
        return {
            "idle_seconds": times[0],
            "busyness": busyness(request, [candidate], times, view)[0],
            "outstanding_tokens": load.outstanding,
            "own_tokens": view.tokens(request, candidate.deployment.model_name),
            "siblings": load.siblings,
            "headroom": headroom(candidate, view.now),
            "expected_cost": expected_cost(request, candidate, view),
            "share": share(candidate, view.now),
        }


def busyness(
    request: RouteRequest, candidates: Sequence[Candidate], times: Sequence[float | None], view: Snapshot
) -> list[float]:
    """How many times longer each takes for being busy. A stream's is that of the wait, where that is known."""
    own = view.tokens(request, candidates[0].deployment.model_name) or 1
    found = []
    for candidate, time in zip(candidates, times, strict=True):
        load = candidate.load
        if time and request.stream:
            found.append(1.0 + load.backlog.wait(load.in_flight + load.siblings) / time)
        else:
            found.append(1.0 + load.outstanding / own + load.siblings)
    return found


def weights_of(candidates: Sequence[Candidate], view: Snapshot) -> AdaptiveWeights:
    policy = view.policies.get(candidates[0].deployment.model_name)
    return DEFAULTS if policy is None else policy.adaptive
