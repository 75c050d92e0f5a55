from __future__ import annotations

from collections.abc import Mapping

import pytest

from router.core.estimators import Ewma
from router.core.load import Candidate, Snapshot
from router.core.types import Prices
from tests.core.making import START, candidate, request
from tests.core.strategies.shares import doubted, picks, routed


def priced(
    input: float | None = None,
    output: float | None = None,
    cached: float | None = None,
    name: str = "",
    **fields: int,
) -> Candidate:
    return candidate(name or f"at {(input, output)}", prices=Prices(input, output, cached), **fields)


def view_of(places: list[Candidate], output: float = 100.0, cached: float = 0.0) -> Snapshot:
    def known(value: float) -> Mapping[str, Ewma]:
        mean = Ewma(1.0)
        mean.add(value)
        return {"gpt": mean}

    return Snapshot(START, {"gpt": [places]}, {}, known(output), known(cached))


def test_the_cheapest_is_taken_however_busy_it_is() -> None:
    places = [priced(2.0, 2.0), priced(1.0, 1.0, name="cheap", in_flight=50)]
    assert picks("cost-based", places, 50) == {"cheap": 50}


def test_equal_costs_go_where_it_is_least_busy() -> None:
    places = [priced(1.0, 1.0, name="busy", in_flight=3), priced(1.0, 1.0, name="idle"), priced(2.0, 2.0)]
    assert picks("cost-based", places, 50) == {"idle": 50}


def test_input_and_output_are_weighed_as_the_request_has_them() -> None:
    reader, writer = priced(1.0, 5.0, name="reads cheaply"), priced(2.0, 3.0, name="writes cheaply")
    view = view_of([reader, writer], output=100.0)
    long, short = request(tokens=1000), request(tokens=10)
    assert picks("cost-based", [reader, writer], 50, view=view, asked=long) == {"reads cheaply": 50}
    assert picks("cost-based", [reader, writer], 50, view=view, asked=short) == {"writes cheaply": 50}


def test_the_output_expected_is_no_more_than_the_request_allows() -> None:
    reader, writer = priced(1.0, 5.0, name="reads cheaply"), priced(2.0, 3.0, name="writes cheaply")
    view = view_of([reader, writer], output=1000.0)
    capped = request(tokens=100, max_output=20)
    assert picks("cost-based", [reader, writer], 50, view=view, asked=capped) == {"reads cheaply": 50}


def test_an_embedding_has_no_output_to_pay_for() -> None:
    places = [priced(1.0, 0.0, name="a"), priced(0.9, None, name="no output price")]
    assert picks("cost-based", places, 50, asked=request("embedding")) == {"no output price": 50}
    assert picks("cost-based", places, 50, asked=request("chat")) == {"a": 50}


@pytest.mark.parametrize("unknown", [(None, None), (None, 0.0), (0.0, None)])
def test_unknown_prices_come_last(unknown: tuple[float | None, float | None]) -> None:
    dear, mystery = priced(1e3, 1e3, name="dear"), priced(*unknown, name="mystery")
    assert picks("cost-based", [mystery, dear], 50) == {"dear": 50}
    assert picks("cost-based", [mystery], 1) == {"mystery": 1}


def test_what_is_usually_cached_counts_at_its_own_price() -> None:
    plain, caching = priced(1.0, 1.0, name="plain"), priced(1.2, 1.0, 0.1, name="caching")
    asked = request(tokens=1000)
    cold, warm = view_of([plain, caching], cached=0.0), view_of([plain, caching], cached=0.5)
    assert picks("cost-based", [plain, caching], 50, view=cold, asked=asked) == {"plain": 50}
    assert picks("cost-based", [plain, caching], 50, view=warm, asked=asked) == {"caching": 50}


def test_a_cheap_one_that_comes_back_is_not_run_over() -> None:
    back, dear = priced(1.0, 1.0, name="back"), priced(2.0, 2.0, name="dear")
    back.load.standing.recovered(START - 3.0)
    assert picks("cost-based", [back, dear], 5000)["back"] == pytest.approx(1500, rel=0.1)


def test_with_everyone_in_doubt_the_cheapest_gets_what_nobody_took() -> None:
    cheap, dear = doubted(priced(1.0, 1.0, name="cheap")), doubted(priced(2.0, 2.0, name="dear"))
    assert picks("cost-based", [cheap, dear], 6000)["cheap"] == pytest.approx(4500, rel=0.05), "1/2 + 1/2 · 1/2"


@pytest.mark.parametrize("prices", [3, 200])
def test_in_a_large_group_the_cheapest_is_found_all_the_same(prices: int) -> None:
    places = [
        priced(1.0 + index % prices, 4.0 + (index * 7) % prices, name=f"d{index}", in_flight=index % 3)
        for index in range(400)
    ]
    for tokens in (1, 30, 100, 1000, 100_000):
        asked = request(tokens=tokens)
        prices_of = {each.deployment.id: each.deployment.prices for each in places}
        costs = {name: tokens * (each.input or 0) + 100 * (each.output or 0) for name, each in prices_of.items()}
        for name in routed("cost-based", places, 20, asked=asked):
            assert costs[name] == min(costs.values())
