"""The seam: choosing one of several candidates. A strategy holds no state; all it needs is in the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from router.core.load import Candidate, Snapshot
from router.core.types import RouteRequest


class Strategy(Protocol):
    def choose(
        self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot, rng: Random
    ) -> Candidate | None:
        """One of `candidates`, which are all fit to serve; None only where there are none."""


def lowest(candidates: Sequence[Candidate], score: Callable[[Candidate], float], rng: Random) -> Candidate | None:
    """The candidate with the lowest score; ties are broken at random, never by list order."""
    best: Candidate | None = None
    best_score = 0.0
    ties = 0
    for candidate in candidates:
        value = score(candidate)
        if best is None or value < best_score:
            best, best_score, ties = candidate, value, 1
        elif value == best_score:
            ties += 1
            if rng.random() * ties < 1.0:
                best = candidate
    return best
