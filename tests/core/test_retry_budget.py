"""Retries add a share to the traffic, and never multiply it."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.core.retry_budget import LATELY, SECONDS, Balance, Draw, RetryBudget, is_free
from router.core.types import RetryBudgetPolicy
from tests.core.making import POLICY, START, candidate

SHARE = RetryBudgetPolicy(ratio=0.2, min_per_second=0.0)
USUAL = RetryBudgetPolicy()


def spend(budget: RetryBudget, now: float, policy: RetryBudgetPolicy, live: int = 1) -> int:
    """Retry for as long as the budget pays; how often."""
    count = 0
    while budget.affords(now, policy, live):
        budget.note(now, Draw.PAID)
        count += 1
        assert count < 10_000
    return count


def test_one_retry_is_paid_for_by_every_fifth_request() -> None:
    budget = RetryBudget()
    for place in range(1, 101):
        budget.note(START, Draw.REQUEST)
        assert spend(budget, START, SHARE) == (place % 5 == 0)


def test_three_a_second_are_paid_for_whatever_the_traffic() -> None:
    budget = RetryBudget()
    assert sum(spend(budget, START + second, USUAL) for second in range(100)) == 3 * 100
    assert spend(RetryBudget(), START, USUAL) == 30, "what an idle model has saved up"


@pytest.mark.parametrize(("live", "most"), [(1, 30), (2, 15), (10, 3), (30, 1)])
def test_the_live_replicas_share_the_three_a_second(live: int, most: int) -> None:
    assert spend(RetryBudget(), START, USUAL, live) == most


def test_a_share_of_less_than_one_retry_comes_up_now_and_then() -> None:
    budget, live = RetryBudget(), 90
    paid = sum(spend(budget, START + second, USUAL, live) for second in range(600))
    assert paid == 20, "one in 30 seconds"
    assert spend(RetryBudget(), START, RetryBudgetPolicy(0.0, 0.0)) == 0


def test_what_is_older_than_ten_seconds_is_forgotten() -> None:
    budget = RetryBudget()
    for _ in range(50):
        budget.note(START, Draw.REQUEST)
    assert budget.balance(START + SECONDS - 1, SHARE, 1) == Balance(50, 0, 10.0)
    assert budget.balance(START + SECONDS, SHARE, 1) == Balance(0, 0, 0.0)


def test_a_spent_budget_fills_again_as_its_retries_grow_old() -> None:
    budget = RetryBudget()
    assert spend(budget, START, USUAL) == 30
    assert spend(budget, START + SECONDS - 1, USUAL) == 0
    assert spend(budget, START + SECONDS, USUAL) == 30


def test_free_retries_neither_cost_nor_earn() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.note(START, Draw.FREE)
    assert budget.balance(START, SHARE, 1) == Balance(0, 0, 0.0)


def test_paid_retries_are_no_requests_so_retries_never_pay_for_retries() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.note(START, Draw.REQUEST)
    assert spend(budget, START, SHARE) == 20


def test_a_retry_is_free_on_one_that_has_succeeded_lately_and_whose_breaker_is_closed() -> None:
    place = candidate("a")
    assert not is_free(place, START), "nobody knows whether it is well"
    place.load.succeeded_at = START
    assert is_free(place, START + LATELY)
    assert not is_free(place, START + LATELY + 0.1)
    place.load.breaker.cool(START, START + 5.0, POLICY)
    assert not is_free(place, START + 1.0)
    assert not is_free(place, START + 6.0), "half-open: that is a trial"


class BudgetMachine(RuleBasedStateMachine):
    """Against a list of all that ever happened."""

    @initialize(ratio=st.sampled_from([0.0, 0.2, 1.0]), least=st.sampled_from([0.0, 0.3, 3.0]), live=st.integers(1, 40))
    def begin(self, ratio: float, least: float, live: int) -> None:
        self.budget = RetryBudget()
        self.policy = RetryBudgetPolicy(ratio, least)
        self.live = live
        self.now = START
        self.requests: list[float] = []
        self.retries: list[float] = []

    def recent(self, moments: list[float]) -> int:
        return sum(int(moment) > int(self.now) - SECONDS for moment in moments)

    @rule(seconds=st.floats(0.0, 3.0) | st.sampled_from([1.0, 9.0, 10.0, 11.0, 1e6]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 30))
    def requests_begin(self, count: int) -> None:
        for _ in range(count):
            self.budget.note(self.now, Draw.REQUEST)
            self.requests.append(self.now)

    @rule()
    def a_free_retry_begins(self) -> None:
        self.budget.note(self.now, Draw.FREE)

    @rule(count=st.integers(1, 30))
    def retries_are_asked_for(self, count: int) -> None:
        steady = self.policy.min_per_second * SECONDS / self.live
        for _ in range(count):
            granted = self.policy.ratio * self.recent(self.requests) + steady
            affords = self.budget.affords(self.now, self.policy, self.live)
            if steady >= 1.0 or not steady:
                assert affords == (granted - self.recent(self.retries) >= 1.0 - 1e-9)
            if not affords:
                break
            self.budget.note(self.now, Draw.PAID)
            self.retries.append(self.now)

    @invariant()
    def it_counts_what_happened_in_the_last_ten_seconds(self) -> None:
        told = self.budget.balance(self.now, self.policy, self.live)
        assert (told.requests, told.retries) == (self.recent(self.requests), self.recent(self.retries))

    @invariant()
    def retries_never_exceed_what_the_policy_grants(self) -> None:
        steady = self.policy.min_per_second * SECONDS / self.live
        granted = self.policy.ratio * max(self.most_requests(), 0) + max(steady, 1.0 if steady else 0.0)
        assert self.recent(self.retries) <= granted + 1e-6

    def most_requests(self) -> int:
        """In a window that some retry of the last ten seconds looked back on."""
        begin = int(self.now) - 2 * SECONDS
        return sum(int(moment) > begin for moment in self.requests)


TestBudgetMachine = BudgetMachine.TestCase
