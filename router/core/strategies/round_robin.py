"""Each in its turn, as often as its weight says."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Comparing
from router.core.types import RouteRequest


class RoundRobin(Comparing):
    """Lowest turn = picks / (weight × share), counted when a lease is taken; in a large tier the lower of two.

    A turn never lags behind its group's virtual time, so a newcomer, or one back from a cooldown, starts level with the
    others in place of getting everything until it has caught up (start-time fair queueing: Goyal, Vin and Cheng,
    SIGCOMM 1996). Wrong where requests differ much in size: equal counts are not equal loads.
    """

    def of_two(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> bool:
        return False  # turns are each replica's own, and never old news

    def scores(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        name = candidates[0].deployment.model_name
        virtual = view.turns.get(name, 0.0)
        return [max(each.load.turns.get(name, 0.0), virtual) for each in candidates]

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        return {
            "turn": candidate.load.turns.get(candidate.deployment.model_name, 0.0),
            "group_turn": view.turns.get(candidate.deployment.model_name, 0.0),
            "weight": candidate.deployment.weight,
            "share": share(candidate, view.now),
        }
