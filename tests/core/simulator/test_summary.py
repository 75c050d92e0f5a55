"""Means over seeds, and how sure they are."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from router.core.simulator.summary import interval, summarise
from router.core.simulator.tally import Tally, figures


def test_a_single_run_has_no_interval() -> None:
    assert interval([4.0]) == (4.0, 0.0)


def test_the_interval_is_students() -> None:
    mean, half = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3.0
    assert half == pytest.approx(2.776 * 1.5811388 / 5**0.5, rel=1e-3)


@pytest.mark.parametrize("count", [3, 10, 40])
def test_the_true_mean_lies_within_it_95_times_in_100(count: int) -> None:
    rng = Random(1)
    within = 0
    for _ in range(2000):
        mean, half = interval([rng.gauss(10.0, 3.0) for _ in range(count)])
        within += abs(mean - 10.0) <= half
    assert within / 2000 == pytest.approx(0.95, abs=0.015)


def test_shares_and_counts_are_brought_together() -> None:
    tally = Tally()
    tally.total.extend([1.0, 2.0])
    tally.first_token.extend([0.5, 0.5])
    tally.served_by.update(a=2)
    tally.errors["timeout"] += 3
    one = figures(tally, 5, 60.0)
    both = summarise([one, replace(one, shares={"b": 1.0}, failures=5)])
    assert both.of["failures"].mean == 4.0
    assert both.of["total_p50"] == (1.5, 0.0)
    assert {name: share.mean for name, share in both.shares.items()} == {"a": 0.5, "b": 0.5}
    assert both.errors == {"timeout": 6}
