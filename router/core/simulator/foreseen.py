"""The bound: what a router could do that knew everything, the length of every answer included.

It is here to judge the strategies by, and can route nothing: what it looks at exists in a simulation only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from router.core.catalogue import Catalogue
from router.core.choice import Choice
from router.core.failover import Failover
from router.core.filters import Filter
from router.core.load import Candidate, Snapshot
from router.core.plan import Rejection, plan
from router.core.strategies.base import lowest
from router.core.types import ModelGroup, RouteRequest

ORACLE = "oracle"
"""Where a strategy's name is expected, this one stands for the bound."""


class Foreseen(Failover):
    """Each request goes where it will in truth get its first token soonest, among those that the filters leave.

    `first_token_at` tells when a candidate's machine would send it, in clock seconds. Every request looks after itself
    only, so this is no bound in the strict sense; but no strategy that decides one request at a time knows more.
    """

    def __init__(
        self,
        request: RouteRequest,
        group: ModelGroup,
        catalogue: Catalogue,
        rng: Random,
        rejected: Callable[[Sequence[Rejection]], None],
        first_token_at: Callable[[Candidate], float],
    ) -> None:
        super().__init__(request, group, catalogue, rng, rejected)
        self._first_token_at = first_token_at

    def _pick(self, view: Snapshot, tried: Collection[str], filters: tuple[Filter, ...]) -> Choice:
        candidates, rejections = plan(self.request, self.group, view, tried, filters)
        if not candidates:
            return Choice(None, rejections)
        return Choice(lowest(candidates, [self._first_token_at(one) for one in candidates], self._rng), rejections)
