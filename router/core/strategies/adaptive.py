"""Where speed, work under way, headroom and cost, all taken together, look best."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.cost import expected_cost
from router.core.limits import headroom
from router.core.load import BackendLoad, Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Timed
from router.core.strategies.latency_based import idle_seconds, output_to_wait_for
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
        stream, prompt = request.stream, view.prompt_tokens(request, candidates[0].deployment.model_name)
        by_load, by_headroom = weights.load, weights.headroom
        output, own = output_to_wait_for(request, candidates, view), own_tokens(request, candidates, view)
        times: list[float | None] = []
        rests: list[float] = []
        for candidate in candidates:
            load = candidate.load
            time = load.latency.expected(now, stream, prompt, output)
            if stream and time:
                rest = load.backlog.longer(load.in_flight + load.siblings, time)
            else:
                rest = busyness(load, None, own)
            if by_load != 1.0:
                rest **= by_load
            if candidate.deployment.limits is not None or load.heard:
                free = headroom(candidate, now)
                if free < LEAST_HEADROOM:
                    free = LEAST_HEADROOM
                rest /= free**by_headroom
            standing = load.standing
            times.append(time)
            rests.append(rest if now >= standing.whole_at else rest / standing.share(now))
        if weights.cost:
            for place, candidate in enumerate(candidates):
                cost = expected_cost(request, candidate, view)
                rests[place] *= (UNKNOWN_COST if cost is None else cost + SMALL_COST) ** weights.cost
        if weights.latency != 1.0:
            times = [None if time is None else time**weights.latency for time in times]
        return times, rests

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        load = candidate.load
        time, own = idle_seconds(request, candidate, view), own_tokens(request, [candidate], view)
        return {
            "idle_seconds": time,
            "busyness": busyness(load, time if request.stream else None, own),
            "outstanding_tokens": load.outstanding,
            "own_tokens": own,
            "siblings": load.siblings,
            "headroom": headroom(candidate, view.now),
            "expected_cost": expected_cost(request, candidate, view),
            "share": share(candidate, view.now),
        }


def busyness(load: BackendLoad, time: float | None, own: int) -> float:
    """How many times longer a request of `own` tokens takes for the others that are under way. `time`: the seconds of a
    stream whose wait can be known; without, work is counted in tokens."""
    if time:
        return load.backlog.longer(load.in_flight + load.siblings, time)
    return 1.0 + load.outstanding / own + load.siblings


def own_tokens(request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> int:
    return view.tokens(request, candidates[0].deployment.model_name) or 1


def weights_of(candidates: Sequence[Candidate], view: Snapshot) -> AdaptiveWeights:
    policy = view.policies.get(candidates[0].deployment.model_name)
    return DEFAULTS if policy is None else policy.adaptive
