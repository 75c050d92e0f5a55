from __future__ import annotations

from itertools import permutations
from random import Random

import pytest

from tests.core.making import candidate
from tests.core.strategies.shares import choose, picks


def test_shares_follow_the_weights() -> None:
    shares = picks("weighted", [candidate("a", weight=6), candidate("b", weight=3), candidate("c", weight=1)])
    assert shares["a"] == pytest.approx(6000, abs=200)
    assert shares["b"] == pytest.approx(3000, abs=200)
    assert shares["c"] == pytest.approx(1000, abs=150)


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_the_order_of_the_list_changes_no_share(order: tuple[str, ...]) -> None:
    weights = {"a": 5.0, "b": 3.0, "c": 2.0}
    shares = picks("weighted", [candidate(name, weight=weights[name]) for name in order])
    for name, weight in weights.items():
        assert shares[name] == pytest.approx(1000 * weight, abs=200)


def test_fractions_are_weights_too() -> None:
    shares = picks("weighted", [candidate("a", weight=0.3), candidate("b", weight=0.1)])
    assert shares["a"] == pytest.approx(7500, abs=200)


def test_it_does_not_look_at_the_load() -> None:
    shares = picks("weighted", [candidate("a", in_flight=1000), candidate("b")])
    assert shares["a"] == pytest.approx(5000, abs=200)


class Almost(Random):
    """As close to 1 as a draw gets."""

    def random(self) -> float:
        return 1.0 - 2.0**-53


def test_rounding_never_falls_off_the_end_of_the_list() -> None:
    group = [candidate(f"d{index}", weight=0.1) for index in range(10)]
    assert choose("weighted", group, Almost()) == "d9"
