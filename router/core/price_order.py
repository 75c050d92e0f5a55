"""A large tier's candidates by expected cost, without working out every price for every request.

Cost is linear in the ratio of output to prompt. Price lists are kept sorted for ratios that are powers of two; what is
cheapest at a ratio between two of them is almost always among the first few at both, and a bound says whether it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import frexp, inf

from router.core.cost import Expectation
from router.core.load import Candidate
from router.core.types import Prices

FEW = 16
"""So many different prices are simply worked out."""
_TOP = FEW // 2
_A_LITTLE_LESS = 1.0 - 1e-9
"""Than 1, by more than rounding."""
_LARGEST_RATIO = 2.0**20
_SMALLEST_RATIO = 2.0**-20
_LEAST_BOUND = 1e-200
"""Dollars. Below it, rounding is no longer small beside the numbers."""


def by_cost(expected: Expectation, classes: Iterable[tuple[Prices, list[Candidate]]]) -> Iterator[list[Candidate]]:
    """The cheapest first, those of equal cost together, and last those of unknown cost."""
    found: dict[float, list[list[Candidate]]] = {}
    for prices, members in classes:
        found.setdefault(cost_or_last(expected, prices), []).append(members)
    for cost in sorted(found):
        equal = found[cost]
        yield equal[0] if len(equal) == 1 else [candidate for members in equal for candidate in members]


def cost_or_last(expected: Expectation, prices: Prices) -> float:
    cost = expected.cost(prices)
    return inf if cost is None else cost


class PriceOrder:
    """`classes`: those that charge the same, by what they charge."""

    __slots__ = ("_classes", "_discounts", "_orders", "_steps")

    def __init__(self, classes: Mapping[Prices, list[Candidate]]) -> None:
        self._classes = classes
        self._discounts = any(prices.cached_input is not None for prices in classes)
        self._steps = any(prices.above for prices in classes)
        self._orders: dict[float, list[Prices]] = {}

    def by_cost(self, expected: Expectation) -> Iterator[list[Candidate]]:
        """As the function of that name, and the same whatever is known ahead."""
        ratio = expected.output / expected.prompt if expected.prompt else inf
        discounted = self._steps or (self._discounts and expected.cached)
        if len(self._classes) <= FEW or discounted or not _SMALLEST_RATIO <= ratio < _LARGEST_RATIO:
            yield from by_cost(expected, self._classes.items())
            return
        below = 2.0 ** (frexp(ratio)[1] - 1)
        lower, upper = self._order(below), self._order(2.0 * below)
        first = dict.fromkeys([*lower[:_TOP], *upper[:_TOP]])
        # Whoever is not among the first costs at least what the next one does, at both ratios and so in between.
        part, bound = ratio / below - 1.0, inf
        if len(lower) > _TOP:
            least = (1.0 - part) * _unit(lower[_TOP], below) + part * _unit(upper[_TOP], 2.0 * below)
            bound = least * expected.prompt * _A_LITTLE_LESS
        if bound < _LEAST_BOUND:
            bound = 0.0
        proven = [prices for prices in first if cost_or_last(expected, prices) < bound]
        yield from by_cost(expected, ((prices, self._classes[prices]) for prices in proven))
        rest = self._classes.keys() - set(proven)
        yield from by_cost(expected, ((prices, self._classes[prices]) for prices in rest))

    def _order(self, ratio: float) -> list[Prices]:
        """The known prices by what a prompt token costs, with `ratio` output tokens to it."""
        order = self._orders.get(ratio)
        if order is None:
            known = [prices for prices in self._classes if prices.input is not None and prices.output is not None]
            order = self._orders[ratio] = sorted(known, key=lambda prices: _unit(prices, ratio))
        return order


def _unit(prices: Prices, ratio: float) -> float:
    return (prices.input or 0.0) + ratio * (prices.output or 0.0)
