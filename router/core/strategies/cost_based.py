"""Where it should cost least."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from router.core.cost import Expectation, expectation
from router.core.load import Candidate, Snapshot
from router.core.price_order import by_cost, cost_or_last
from router.core.share import share
from router.core.strategies.base import Fit, Weighed
from router.core.strategies.least_busy import LeastBusy
from router.core.tier import Tier, shuffled
from router.core.types import RouteRequest

_LEAST_BUSY = LeastBusy()


class CostBased:
    """Lowest expected cost = prompt × input price + expected output × output price; among equal costs the least busy.

    Expected output is what the model usually gives, capped by what the request allows; the part of prompts that
    upstream usually finds in its cache counts at the price for that, where one is known. A price of 0 is a price; where
    a price is unknown, the candidate comes after all others. One whose share is lowered (see `standing`) is taken with
    that chance only, else the next cheapest is; so a cheap one that comes back is not run over. Needs prices, and a few
    replies. Wrong where cheap is slow: until a limit or a breaker says no, everything goes there.
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
        picks = (
            _LEAST_BUSY.choose(request, members, view, rng, large=large)
            for members in classes_of(expectation_of(request, candidates, view), candidates)
        )
        return _first_taken(picks, view.now, rng)

    def draw(self, request: RouteRequest, tier: Tier, view: Snapshot, rng: Random, fit: Fit) -> Candidate | None:
        order = tier.prices.by_cost(expectation_of(request, tier, view))
        picks = (_least_busy_fit(request, members, view, rng, fit) for members in order)
        return _first_taken(picks, view.now, rng)

    def weigh(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> Sequence[Weighed]:
        if not candidates:
            return ()
        expected = expectation_of(request, candidates, view)
        now = view.now
        chances: dict[int, float] = {}
        turned_down: list[tuple[Candidate, float]] = []  # of the cheapest ones: whoever it is comes back in the end
        reached = 1.0
        for members in classes_of(expected, candidates):
            weighed = _LEAST_BUSY.weigh(request, members, view)
            first = not chances
            for one in weighed:
                part = share(one.candidate, now)
                chances[id(one.candidate)] = reached * one.probability * part
                if first:
                    turned_down.append((one.candidate, one.probability * (1.0 - part)))
            reached *= sum(one.probability * (1.0 - share(one.candidate, now)) for one in weighed)
        at_first = sum(chance for _, chance in turned_down)
        for candidate, chance in turned_down:
            if at_first:
                chances[id(candidate)] += reached * chance / at_first
        return [
            Weighed(
                candidate,
                cost_or_last(expected, candidate.deployment.prices),
                chances[id(candidate)],
                {
                    "expected_cost": expected.cost(candidate.deployment.prices),
                    "prompt_tokens": expected.prompt,
                    "cached_tokens": expected.cached,
                    "output_tokens": expected.output,
                    "in_flight": candidate.load.in_flight,
                    "siblings": candidate.load.siblings,
                    "share": share(candidate, now),
                },
            )
            for candidate in candidates
        ]


def expectation_of(request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> Expectation:
    return expectation(request, view, candidates[0].deployment.model_name)


def classes_of(expected: Expectation, candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """By expected cost, the cheapest first, those of equal cost together."""
    return by_cost(expected, [(candidate.deployment.prices, [candidate]) for candidate in candidates])


def _least_busy_fit(
    request: RouteRequest, members: Sequence[Candidate], view: Snapshot, rng: Random, fit: Fit
) -> Candidate | None:
    """Of those of one cost the less busy of two random fit ones; None without any."""
    found: list[Candidate] = []
    for candidate in shuffled(members, rng, len(members)):
        if fit(candidate):
            found.append(candidate)
            if len(found) == 2:
                break
    return _LEAST_BUSY.choose(request, found, view, rng)


def _first_taken(picks: Iterable[Candidate | None], now: float, rng: Random) -> Candidate | None:
    """The first of `picks` that is taken with its share for a chance; else the first."""
    first: Candidate | None = None
    for candidate in picks:
        if candidate is None:
            continue
        part = share(candidate, now)
        if part == 1.0 or rng.random() < part:
            return candidate
        first = first or candidate
    return first
