from __future__ import annotations

from math import inf

from router.core.budget import Spending
from router.core.types import Budget

DAILY = Budget(10.0, 86_400.0)
NOON = 20_000 * 86_400.0 + 43_200.0


def test_what_is_spent_is_gone_until_the_period_ends() -> None:
    spending = Spending()
    spending.pay(DAILY, NOON, 0.0, 9.99)
    assert spending.wait(DAILY, NOON, begun=False) is None
    spending.pay(DAILY, NOON, 0.0, 0.01)
    assert spending.wait(DAILY, NOON, begun=False) == 43_200.0
    assert spending.wait(DAILY, NOON + 43_199.0, begun=False) == 1.0
    assert spending.wait(DAILY, NOON + 43_200.0, begun=False) is None
    assert spending.spent == 0.0


def test_without_a_period_nothing_ever_comes_back() -> None:
    spending = Spending()
    budget = Budget(1.0)
    spending.pay(budget, NOON, 0.0, 1.0)
    assert spending.wait(budget, NOON * 2, begun=False) == inf


def test_what_is_under_way_holds_up_new_requests_but_not_its_own_fallbacks() -> None:
    spending = Spending()
    spending.hold(10.0)
    assert spending.wait(DAILY, NOON, begun=False) == 43_200.0
    assert spending.wait(DAILY, NOON, begun=True) is None
    spending.pay(DAILY, NOON, 10.0, 0.5)
    assert spending.wait(DAILY, NOON, begun=False) is None
    assert (spending.held, spending.spent) == (0.0, 0.5)


def test_a_budget_of_nothing_allows_nothing() -> None:
    assert Spending().wait(Budget(0.0, 60.0), 30.0, begun=False) == 30.0
