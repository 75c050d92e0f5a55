"""Where the fewest requests are under way."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Comparing
from router.core.types import RouteRequest


class LeastBusy(Comparing):
    """Lowest (own + siblings' in-flight + 1) / (weight × share); see `Comparing` for when only two are compared.

    Needs in-flight counts only. Source: the join-the-shortest-queue rule, with weights as in Envoy's least request.
    Wrong where a deployment fails fast, since it then always looks idle (the breaker's business, not this one's), and
    where requests differ much in size: `adaptive` counts tokens.
    """

    def scores(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        now = view.now
        scores = []
        for candidate in candidates:
            load, weight = candidate.load, candidate.deployment.weight
            if now < load.standing.whole_at:
                weight *= load.standing.share(now)
            scores.append((load.in_flight + load.siblings + 1) / weight)
        return scores

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        load = candidate.load
        return {
            "in_flight": load.in_flight,
            "siblings": load.siblings,
            "weight": candidate.deployment.weight,
            "share": share(candidate, view.now),
        }
