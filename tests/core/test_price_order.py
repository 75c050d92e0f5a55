"""What is cheapest is found without working out every price: always the same as by working out every price."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.core.cost import Expectation
from router.core.load import Candidate
from router.core.price_order import FEW, PriceOrder, by_cost, cost_or_last
from router.core.types import Prices
from tests.core.making import candidate

PRICE = st.none() | st.floats(0.0, 1e-4) | st.sampled_from([0.0, 1e-6, 2e-6])
PRICES = st.lists(
    st.builds(Prices, PRICE, PRICE, st.none() | st.floats(0.0, 1e-6)), min_size=1, max_size=60, unique=True
)
PLACE = candidate("d")
SMALL = 5e-324
DEAR_TO_READ = [Prices(0.01 * count, 1e-6 * (20 - count)) for count in range(1, 20)]
"""The more a prompt token costs, the less an output token does."""


def classes_of(prices: list[Prices]) -> dict[Prices, list[Candidate]]:
    return {each: [Candidate(PLACE.deployment, PLACE.load)] for each in prices}


def costs(expected: Expectation, prices: list[Prices], count: int | None = None) -> list[list[float]]:
    """The costs of those that come together, in the order they come in."""
    classes = classes_of(prices)
    owner = {id(members[0]): each for each, members in classes.items()}
    found = islice(PriceOrder(classes).by_cost(expected), count)
    return [[cost_or_last(expected, owner[id(member)]) for member in members] for members in found]


@example(DEAR_TO_READ, 0.0, 0.0, 1.0).via("a prompt of no tokens: what its tokens would cost must not matter")
@example(DEAR_TO_READ, 0.5, 0.0, 1.0).via("a prompt of less than one")
@example([Prices(SMALL * count, SMALL * count) for count in range(20)], 1.4, 0.0, 1.0).via("costs that round to equal")
@given(PRICES, st.floats(0.0, 1e5), st.floats(0.0, 1.0), st.floats(0.0, 1e5))
@settings(max_examples=300)
def test_everyone_comes_once_the_cheapest_first(
    prices: list[Prices], prompt: float, cached: float, output: float
) -> None:
    expected = Expectation(prompt, prompt * cached, output)
    groups = costs(expected, prices)
    flat = [cost for group in groups for cost in group]
    assert flat == sorted(cost_or_last(expected, each) for each in prices)


@example(DEAR_TO_READ, 0.0, 1.0)
@example([Prices(SMALL * count, SMALL * count) for count in range(20)], 1.4, 1.0)
@given(PRICES, st.floats(0.0, 1e5), st.floats(0.0, 1e5))
@settings(max_examples=300)
def test_the_first_are_all_that_cost_the_least(prices: list[Prices], prompt: float, output: float) -> None:
    expected = Expectation(prompt, 0.0, output)
    (first,) = costs(expected, prices, 1)
    everyone = [cost_or_last(expected, each) for each in prices]
    assert first == [min(everyone)] * everyone.count(min(everyone))


@pytest.mark.parametrize("ratio", [0.01, 0.3, 1.0, 1.9, 40.0])
def test_of_many_prices_few_are_worked_out(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Random(1)
    order = PriceOrder(classes_of([Prices(rng.random(), rng.random()) for _ in range(2000)]))
    worked_out = 0
    real = Expectation.cost

    def counting(self: Expectation, prices: Prices) -> float | None:
        nonlocal worked_out
        worked_out += 1
        return real(self, prices)

    next(order.by_cost(Expectation(1000.0, 0.0, 1000.0 * ratio)))
    monkeypatch.setattr(Expectation, "cost", counting)
    next(order.by_cost(Expectation(1000.0, 0.0, 1000.0 * ratio)))
    assert worked_out <= 2 * FEW


def test_equal_costs_come_together_whatever_the_prices() -> None:
    expected = Expectation(100.0, 0.0, 100.0)
    (group,) = by_cost(expected, classes_of([Prices(1.0, 3.0), Prices(3.0, 1.0), Prices(2.0, 2.0)]).items())
    assert len(group) == 3
