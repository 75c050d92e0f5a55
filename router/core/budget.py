"""Budgets: US dollars in a period, checked against what has been spent and what is under way.

Periods are counted from 1970 on, so that every replica begins a new one at the same moment. A request holds what it is
expected to cost while it is under way, so that a burst stops near the limit; the one that reaches it is still served,
and what it really cost is spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, slots=True)
class Budget:
    """US dollars that may be spent in each `period` (seconds, counted from 1970 on; None: in all)."""

    dollars: float
    period: float | None = None


class Spending:
    """What one subject spends. Moments are seconds since 1970, amounts US dollars."""

    __slots__ = ("_period", "held", "page", "spent", "untold")

    def __init__(self) -> None:
        self._period = 0
        self.page = ""
        """Names the period for all replicas: `NUMBER/SECONDS`, and `0/0` without any."""
        self.spent = 0.0
        self.held = 0.0
        self.untold: dict[str, float] = {}
        """By page: what was spent here since the siblings were last told of it."""

    def wait(self, budget: Budget, now: float, *, begun: bool) -> float | None:
        """Seconds until the next period, where this one's dollars are gone; None while some are left.

        Infinite where no other period follows. `begun`: asked by a request that is under way, for which only what is
        spent counts; for a new one, what is held is gone too.
        """
        self._turn_page(budget, now)
        if self.spent + (0.0 if begun else self.held) < budget.dollars:
            return None
        return float("inf") if budget.period is None else (self._period + 1) * budget.period - now

    def hold(self, dollars: float) -> None:
        """Set aside what a request is expected to cost."""
        self.held += dollars

    def pay(self, budget: Budget, now: float, held: float, dollars: float) -> None:
        """That request is over: `held` is free again, and `dollars` are spent."""
        self._turn_page(budget, now)
        self.held = max(self.held - held, 0.0)
        self.spent += dollars
        if dollars:
            self.untold[self.page] = self.untold.get(self.page, 0.0) + dollars

    def _turn_page(self, budget: Budget, now: float) -> None:
        period = 0 if budget.period is None else floor(now / budget.period)
        if period != self._period or not self.page:
            self._period = period
            self.page = f"{period}/{budget.period or 0:.0f}"
            self.spent = 0.0
