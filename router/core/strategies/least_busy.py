"""Where the fewest requests are under way."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from router.core.load import Candidate, Snapshot
from router.core.strategies.base import lowest
from router.core.types import RouteRequest

SCAN_LIMIT = 16
"""Larger groups are sampled: two random candidates are compared."""


def busyness(candidate: Candidate) -> float:
    """(own + siblings' in-flight + 1) / weight."""
    load = candidate.load
    return (load.in_flight + load.siblings + 1) / candidate.deployment.weight


class LeastBusy:
    """Lowest (in-flight + 1) / weight; in a large group the better of two random ones.

    Two choices come close to the best one at no scan, and replicas with equally old news do not all pick the same
    deployment (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Needs in-flight counts
    only. Wrong where a deployment fails fast, since it then always looks idle: the breaker's business, not this one's.
    """

    def choose(
        self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot, rng: Random
    ) -> Candidate | None:
        if len(candidates) > SCAN_LIMIT:
            candidates = rng.sample(candidates, 2)
        return lowest(candidates, busyness, rng)
