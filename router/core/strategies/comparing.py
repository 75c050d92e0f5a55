"""The way most strategies choose: the lowest score wins, among all of a few or between two at random."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from random import Random

from router.core.load import Candidate, Snapshot
from router.core.strategies.base import LOOKS, Fit, Inputs, Weighed, chances_of_lowest, is_large, lowest
from router.core.tier import LARGE, Tier, shuffled, two_of
from router.core.types import RouteRequest

FRESH = 0.25
"""Seconds for which news of the siblings says how things are now."""


class Comparing(ABC):
    """Lowest score of everyone; in a large tier, or where siblings might all choose the same, the lower of two random
    ones.

    Two choices come close to the best one without a scan, and replicas whose news of each other is equally old do not
    all pick the same deployment (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001, and "How
    Useful Is Old Information?", 2000).
    """

    @abstractmethod
    def scores(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        """Lower is better. In the order of `candidates`."""

    @abstractmethod
    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        """What the score of `candidate` is made of."""

    def of_two(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> bool:
        """Whether two of these few are to be compared, rather than all: siblings have requests there, and their news is
        stale, or they are so many that what looks idle to all of them at once would be swamped."""
        if view.live <= len(candidates) and view.now - view.heard_at <= FRESH:
            return False
        siblings = 0
        for candidate in candidates:
            siblings += candidate.load.siblings
        return siblings > 0

    def choose(
        self,
        request: RouteRequest,
        candidates: Sequence[Candidate],
        view: Snapshot,
        rng: Random,
        *,
        large: bool = False,
    ) -> Candidate | None:
        count = len(candidates)
        if count < 2:
            return candidates[0] if count else None
        if count > 2 and (large or count > LARGE or self.of_two(request, candidates, view)):
            candidates = two_of(candidates, rng)
        return lowest(candidates, self.scores(request, candidates, view), rng)

    def draw(self, request: RouteRequest, tier: Tier, view: Snapshot, rng: Random, fit: Fit) -> Candidate | None:
        first: Candidate | None = None
        for candidate in shuffled(tier, rng, LOOKS):
            if not fit(candidate):
                continue
            if first is not None:
                pair = (first, candidate)
                return lowest(pair, self.scores(request, pair, view), rng)
            first = candidate
        return None

    def weigh(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> Sequence[Weighed]:
        if not candidates:
            return ()
        scores = self.scores(request, candidates, view)
        if len(candidates) > 2 and (is_large(candidates, view) or self.of_two(request, candidates, view)):
            chances = self.chances_of_two(request, candidates, view)
        else:
            chances = chances_of_lowest(scores)
        return [
            Weighed(candidate, score, chance, self.inputs(request, candidate, view))
            for candidate, score, chance in zip(candidates, scores, chances, strict=True)
        ]

    def chances_of_two(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        """How likely each is to be drawn and to win: exact over all pairs, without going through them."""
        scores = self.scores(request, candidates, view)
        ordered = sorted(scores)
        return _shares([_wins(score, ordered) for score in scores])


class Timed(Comparing):
    """A score that is a product: a time known from samples, and the rest.

    One without a sample counts as fast as the fastest of those it is compared with, which is how it gets its trial;
    each request that it has under way then counts once more, so a trial that hangs holds up few others.

    Streams are compared among all of a few even beside siblings: what is expected of a queue rests on one's own news of
    it, and no two replicas have the same.
    """

    @abstractmethod
    def factors(
        self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot
    ) -> tuple[list[float | None], list[float]]:
        """The times, in seconds or None where there is no sample, and what they are multiplied by."""

    def of_two(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> bool:
        return not request.stream and super().of_two(request, candidates, view)

    def scores(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        times, rests = self.factors(request, candidates, view)
        if None in times:
            trial = min([time for time in times if time is not None], default=1.0)
            return [(trial if time is None else time) * rest for time, rest in zip(times, rests, strict=True)]
        return [time * rest for time, rest in zip(times, rests, strict=True) if time is not None]  # all of them

    def chances_of_two(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        times, rests = self.factors(request, candidates, view)
        everyone = sorted(rests)
        strangers = sorted(rest for time, rest in zip(times, rests, strict=True) if time is None)
        known = sorted(time * rest for time, rest in zip(times, rests, strict=True) if time is not None)
        wins = []
        for time, rest in zip(times, rests, strict=True):
            if time is None:
                wins.append(_wins(rest, everyone))
            else:
                # Compared with a stranger the times are equal, so that the rest decides; no tie with oneself there.
                wins.append(_wins(time * rest, known) + _wins(rest, strangers, itself=False))
        return _shares(wins)


def _wins(score: float, ordered: Sequence[float], *, itself: bool = True) -> float:
    """Over how many of `ordered` a score prevails; a tie is half a win, and none with itself."""
    above = bisect_right(ordered, score)
    ties = above - bisect_left(ordered, score) - itself
    return len(ordered) - above + ties / 2


def _shares(wins: Sequence[float]) -> list[float]:
    pairs = len(wins) * (len(wins) - 1) / 2
    return [won / pairs for won in wins]
