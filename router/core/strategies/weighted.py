"""At random, in proportion to weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from random import Random

from router.core.load import Candidate, Snapshot
from router.core.share import effective_weight, share
from router.core.strategies.base import LOOKS, Fit, Weighed
from router.core.tier import Tier
from router.core.types import RouteRequest


class Weighted:
    """P(i) = weight_i · share_i / Σ weight · share.

    Needs nothing but the configuration, so it is right at once and on every replica. Wrong where deployments differ in
    ways the weights do not say, or change: a slow one gets its share all the same.
    """

    def choose(
        self,
        request: RouteRequest,
        candidates: Sequence[Candidate],
        view: Snapshot,
        rng: Random,
        *,
        large: bool = False,
    ) -> Candidate | None:
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        now = view.now
        weights = [effective_weight(candidate, now) for candidate in candidates]
        point = rng.random() * sum(weights)
        for candidate, weight in zip(candidates, weights, strict=True):
            point -= weight
            if point < 0.0:
                return candidate
        return candidates[-1]

    def draw(self, request: RouteRequest, tier: Tier, view: Snapshot, rng: Random, fit: Fit) -> Candidate | None:
        """By weight out of everyone, again and again; with its share as the chance to be taken, that is by both."""
        now, sums = view.now, tier.weights
        for _ in range(LOOKS):
            candidate = tier[min(bisect_right(sums, rng.random() * sums[-1]), len(tier) - 1)]
            part = share(candidate, now)
            if (part == 1.0 or rng.random() < part) and fit(candidate):
                return candidate
        return None

    def weigh(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> Sequence[Weighed]:
        now = view.now
        total = sum(effective_weight(candidate, now) for candidate in candidates)
        weighed = []
        for candidate in candidates:
            weight = effective_weight(candidate, now)
            inputs = {"weight": candidate.deployment.weight, "share": share(candidate, now)}
            weighed.append(Weighed(candidate, weight, weight / total, inputs))
        return weighed
