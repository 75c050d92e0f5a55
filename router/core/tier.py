"""The candidates of one priority, with what is worked out about a large tier once, when it is bound."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from random import Random

from router.core.hashing import mix
from router.core.load import Candidate
from router.core.price_order import PriceOrder
from router.core.types import Prices

LARGE = 16
"""Tiers with more candidates are not scanned for a request: some are drawn, and those are looked at."""
RING_POINTS = 32
"""Places on the ring of a backend of mean weight: parts of the ring then differ by some 18 %."""
_MOST_POINTS = 256


class Tier(tuple[Candidate, ...]):
    """Compares, iterates and indexes as the tuple of its candidates."""

    @staticmethod
    def of(candidates: Sequence[Candidate]) -> Tier:
        return candidates if isinstance(candidates, Tier) else Tier(candidates)

    def prepare(self, *, ring: bool) -> None:
        """Work everything out now, for no request to wait for it; the ring only where it is wanted."""
        if len(self) > LARGE:
            _ = self.weights, self.prices, self._ring if ring else None

    @cached_property
    def weights(self) -> list[float]:
        """Running sums of the weights."""
        return list(accumulate(candidate.deployment.weight for candidate in self))

    @cached_property
    def prices(self) -> PriceOrder:
        """Who is cheap."""
        classes: dict[Prices, list[Candidate]] = {}
        for candidate in self:
            classes.setdefault(candidate.deployment.prices, []).append(candidate)
        return PriceOrder(classes)

    def around(self, key: int) -> Iterator[Candidate]:
        """Every candidate, as the ring has them from `key` (64 bits) on; each comes several times."""
        points, owners = self._ring
        start = bisect_left(points, key)
        for place in range(start - len(owners), start):
            yield owners[place]

    @cached_property
    def _ring(self) -> tuple[list[int], list[Candidate]]:
        points = []
        per_weight = RING_POINTS * len(self) / self.weights[-1]
        for number, candidate in enumerate(self):
            count = min(round(per_weight * candidate.deployment.weight), _MOST_POINTS) or 1
            points += [(mix(candidate.deployment.place + turn), number) for turn in range(count)]
        points.sort()
        return [point for point, _ in points], [self[number] for _, number in points]


def two_of(candidates: Sequence[Candidate], rng: Random) -> list[Candidate]:
    """Two different ones at random; of fewer than three, all."""
    count = len(candidates)
    if count < 3:
        return list(candidates)
    first, second = int(rng.random() * count), int(rng.random() * (count - 1))
    return [candidates[first], candidates[second + (second >= first)]]


def shuffled(candidates: Sequence[Candidate], rng: Random, most: int) -> Iterator[Candidate]:
    """Up to `most` different ones at random, one by one: a shuffle of which only the beginning is made."""
    moved: dict[int, int] = {}
    count = len(candidates)
    for place in range(min(most, count)):
        other = place + int(rng.random() * (count - place))
        chosen = moved.get(other, other)
        moved[other] = moved.get(place, place)
        yield candidates[chosen]
