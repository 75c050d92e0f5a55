"""The seam: choosing one of several candidates. A strategy holds no state; all it needs is in the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol

from router.core.load import Candidate, Snapshot
from router.core.tier import LARGE, Tier
from router.core.types import RouteRequest

LOOKS = 32
"""How many candidates of a large tier are drawn in search of fit ones, before everyone is looked at."""

Fit = Callable[[Candidate], bool]
Inputs = Mapping[str, float | str | None]


class Weighed(NamedTuple):
    """What a strategy makes of one candidate. `score` is in the strategy's own measure, `probability` the exact chance
    to be chosen while nothing changes, `inputs` what the score was made of."""

    candidate: Candidate
    score: float
    probability: float
    inputs: Inputs


class Strategy(Protocol):
    def choose(
        self,
        request: RouteRequest,
        candidates: Sequence[Candidate],
        view: Snapshot,
        rng: Random,
        *,
        large: bool = False,
    ) -> Candidate | None:
        """One of `candidates`, which are all fit to serve; None only where there are none. `large`: they are those of a
        large tier."""

    def draw(self, request: RouteRequest, tier: Tier, view: Snapshot, rng: Random, fit: Fit) -> Candidate | None:
        """One out of a large tier, as `choose` would of those that are fit, without looking at everyone. None where
        too few fit ones were found."""

    def weigh(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> Sequence[Weighed]:
        """What `choose` goes by, and how likely it is to name each, in the order of `candidates`."""


def is_large(candidates: Sequence[Candidate], view: Snapshot) -> bool:
    """Whether `candidates` are those of a large tier."""
    return len(candidates) > LARGE or (len(candidates) > 0 and len(view.tier_of(candidates[0])) > LARGE)


def lowest(candidates: Sequence[Candidate], scores: Sequence[float], rng: Random) -> Candidate:
    """The candidate with the lowest score; ties are broken at random, never by list order."""
    best = min(scores)
    ties = scores.count(best)
    if ties == 1:
        return candidates[scores.index(best)]
    tied = [candidate for candidate, score in zip(candidates, scores, strict=True) if score == best]
    return tied[int(rng.random() * ties)]


def chances_of_lowest(scores: Sequence[float]) -> list[float]:
    """How likely `lowest` is to name each."""
    best = min(scores)
    ties = scores.count(best)
    return [1.0 / ties if score == best else 0.0 for score in scores]
