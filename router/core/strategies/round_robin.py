"""Each in its turn, as often as its weight says."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from router.core.load import Candidate, Snapshot
from router.core.strategies.base import lowest
from router.core.types import RouteRequest


class RoundRobin:
    """Lowest turn = picks / weight, counted when a lease is taken.

    A turn never lags behind its group's virtual time, so a newcomer, or one back from a cooldown, starts level with the
    others in place of getting everything until it has caught up (start-time fair queueing: Goyal, Vin and Cheng,
    SIGCOMM 1996). Wrong where requests differ much in size: equal counts are not equal loads.
    """

    def choose(
        self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot, rng: Random
    ) -> Candidate | None:
        turns = view.turns
        return lowest(
            candidates,
            lambda candidate: max(candidate.load.turn, turns.get(candidate.deployment.model_name, 0.0)),
            rng,
        )
