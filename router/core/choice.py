"""The decision: which deployment of a group gets this request, and how likely each of them is to.

A tier of up to 16 is filtered as a whole and handed to the strategy. In a larger one the strategy draws candidates and
asks of each whether it is fit, so that the cost of a decision does not grow with the group. A strategy that finds too
few by luck is given everyone who is fit: a choice is never worse for the group being large, and never fails while
somebody could serve.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random
from typing import NamedTuple

from router.core.filters import FILTERS, Filter
from router.core.load import Candidate, Snapshot
from router.core.plan import Rejection, plan, reason_to_pass_over, sift
from router.core.strategies import STRATEGIES
from router.core.strategies.base import Weighed
from router.core.tier import LARGE, Tier
from router.core.types import ModelGroup, RouteRequest


class Choice(NamedTuple):
    """`candidate` is None where nobody is fit. `rejections` name those looked at and passed over."""

    candidate: Candidate | None
    rejections: Sequence[Rejection]


class Weighing(NamedTuple):
    """Everyone who is fit, with the chance to be chosen; and everyone passed over, with the reason."""

    weighed: Sequence[Weighed]
    rejections: Sequence[Rejection]


def choose(
    request: RouteRequest,
    group: ModelGroup,
    view: Snapshot,
    rng: Random,
    tried: Collection[str] = (),
    filters: tuple[Filter, ...] = FILTERS,
) -> Choice:
    """One candidate of the first tier that has any left. `tried` holds the backends asked already."""
    strategy = STRATEGIES[group.policy.strategy]
    rejections: list[Rejection] = []
    for tier in view.tiers(group):
        large = len(tier) > LARGE
        if large:
            search = _Search(request, view, tried, filters)
            drawn = strategy.draw(request, Tier.of(tier), view, rng, search.fit)
            if drawn is not None:
                return Choice(drawn, [*rejections, *search.rejections.values()])
        candidates = sift(request, tier, view, tried, filters, rejections)
        if candidates:
            return Choice(strategy.choose(request, candidates, view, rng, large=large), rejections)
    return Choice(None, rejections)


def weigh(
    request: RouteRequest,
    group: ModelGroup,
    view: Snapshot,
    tried: Collection[str] = (),
    filters: tuple[Filter, ...] = FILTERS,
) -> Weighing:
    """What `choose` would do, and how often. Looks at everyone."""
    candidates, rejections = plan(request, group, view, tried, filters)
    return Weighing(STRATEGIES[group.policy.strategy].weigh(request, candidates, view), rejections)


class _Search:
    """Answers whether a candidate is fit, and keeps each rejection once, however often it is drawn."""

    __slots__ = ("_filters", "_request", "_tried", "_view", "rejections")

    def __init__(
        self, request: RouteRequest, view: Snapshot, tried: Collection[str], filters: tuple[Filter, ...]
    ) -> None:
        self._request = request
        self._view = view
        self._tried = tried
        self._filters = filters
        self.rejections: dict[int, Rejection] = {}

    def fit(self, candidate: Candidate) -> bool:
        reason = reason_to_pass_over(self._request, candidate, self._view, self._tried, self._filters)
        if reason is None:
            return True
        self.rejections[id(candidate)] = Rejection(candidate, reason)
        return False
