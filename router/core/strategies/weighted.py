"""At random, in proportion to weight."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from router.core.load import Candidate, Snapshot
from router.core.types import RouteRequest


class Weighted:
    """P(i) = weight_i / Σ weight.

    Needs nothing but the configuration, so it is right at once and on every replica. Wrong where deployments differ in
    ways the weights do not say, or change: a slow one gets its share all the same.
    """

    def choose(
        self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot, rng: Random
    ) -> Candidate | None:
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        point = rng.random() * sum(candidate.deployment.weight for candidate in candidates)
        for candidate in candidates:
            point -= candidate.deployment.weight
            if point < 0.0:
                return candidate
        return candidates[-1]
