"""When a stream would be sent a second time, and who would get the copy: `Failover.hedge`, asked ahead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from router.core.choice import weigh
from router.core.filters import Filter
from router.core.hedging import COPY_FILTERS
from router.core.load import Candidate, Snapshot
from router.core.strategies.base import Weighed
from router.core.tier import LARGE
from router.core.types import ModelGroup, RouteRequest

_FEWEST_ATTEMPTS = 2


class HedgePlan(NamedTuple):
    """`after`: seconds without a token, None while too little is known of what is usual; `saved`: copies that the group
    has saved up, of which one takes a whole one. `chances` to be sent the copy, if there is one, by a candidate's id();
    who is not named gets none."""

    after: float | None
    saved: float
    chances: Mapping[int, float]

    def chance(self, candidate: Candidate) -> float:
        return self.chances.get(id(candidate), 0.0)


def hedge_plan(
    request: RouteRequest, group: ModelGroup, view: Snapshot, first: Sequence[Weighed], filters: tuple[Filter, ...]
) -> HedgePlan | None:
    """For `request` in `group`, whose first attempt goes to one of `first`; None where it is not hedged."""
    policy, hedges = group.policy.hedging, view.hedges.get(group.name)
    if policy is None or hedges is None or not request.stream:
        return None
    chances: dict[int, float] = defaultdict(float)
    if group.policy.max_attempts >= _FEWEST_ATTEMPTS:
        for part, tried in _firsts(first):
            for one in weigh(request, group, view, tried, (*filters, *COPY_FILTERS)).weighed:
                chances[id(one.candidate)] += part * one.probability
    return HedgePlan(hedges.after(policy.quantile), hedges.saved, chances)


def _firsts(first: Sequence[Weighed]) -> list[tuple[float, tuple[str, ...]]]:
    """How likely it is that which backends have been tried. Of many it hardly matters which one it was."""
    likely = [one for one in first if one.probability > 0.0]
    if len(likely) > LARGE:
        return [(1.0, ())]
    return [(one.probability, (one.candidate.deployment.backend,)) for one in likely]
