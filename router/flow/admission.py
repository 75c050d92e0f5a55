"""The limits of clients' keys: nothing is planned, queued or sent for a request that its key has no room for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from router.core.cost import expected_cost
from router.core.errors import RouterError
from router.core.events import Finished
from router.core.limits import Admission, Reservation, Spent
from router.core.types import Budget, LimitSubject, ModelGroup, RouteRequest
from router.state.base import StateStore
from router.state.books import Refusal

KEY = "key:"
"""What the subjects of clients' keys are named by, besides the key's own name."""
_LOOKED_AT = 16
"""Deployments whose prices are looked at to set dollars aside."""


class Gate:
    def __init__(self, state: StateStore) -> None:
        self._state = state

    def tell(self, subject: LimitSubject, record: Finished) -> None:
        """Note what the key has left now, for the answer to a request that does not get as far as `within`."""
        record.allowances = self._state.left(subject)

    @contextmanager
    def within(
        self, subject: LimitSubject, route: RouteRequest, group: ModelGroup, record: Finished
    ) -> Iterator[Reservation]:
        """Serve one request of the key inside. Raises RouterError 429 where its limits have no room.

        Whatever happens inside, what was reserved is settled: on the usage in `record` where that is known. A request
        of which nothing was sent is given back whole, one that no deployment has answered is given back its tokens.
        """
        refusal = self.over_budget(subject, begun=False)
        if refusal is not None:
            raise refusal
        admission = self._state.admit(subject, self._state.view().expect(route, group.name))
        record.allowances = admission.left
        if admission.reservation is None:
            raise _at_limit(subject, admission)
        held = self._hold(subject, route, group)
        spent = Spent.ESTIMATE
        try:
            yield admission.reservation
        except RouterError:
            spent = Spent.REQUEST
            raise
        finally:
            self._state.release(admission.reservation, spent if record.attempts else Spent.NOTHING, record.usage)
            if subject.budget is not None:
                self._state.pay(subject, held, record.cost or 0.0)

    async def strictly(self, subject: LimitSubject, reservation: Reservation) -> None:
        """Ask for what is reserved where all replicas are counted. Raises RouterError 429, or 503 where nobody can be
        asked and that is to close."""
        strict = self._state.strict
        refusal = None if strict is None else await strict.take(subject.name, subject.limits, reservation)
        if refusal is not None:
            raise unknown_limit(refusal) if refusal.short is None else _at_limit(subject, refusal)

    def over_budget(self, subject: LimitSubject, *, begun: bool) -> RouterError | None:
        """The 429 for a subject whose budget is spent. `begun`: for a request that is under way already."""
        budget = subject.budget
        if budget is None:
            return None
        wait = self._state.broke(subject, begun=begun)
        return None if wait is None else _broke(subject, budget, wait)

    def _hold(self, subject: LimitSubject, route: RouteRequest, group: ModelGroup) -> float:
        """Set aside what the dearest of the first deployments would charge; returns that."""
        if subject.budget is None:
            return 0.0
        view = self._state.view()
        first = next(iter(view.tiers_of.get(group.name, ())), ())[:_LOOKED_AT]
        dollars = max((expected_cost(route, candidate, view) or 0.0 for candidate in first), default=0.0)
        self._state.hold(subject, dollars)
        return dollars


def _broke(subject: LimitSubject, budget: Budget, wait: float) -> RouterError:
    told = f"{subject.name.removeprefix(KEY)} has spent its budget of {budget.dollars:g} US dollars"
    if wait == inf:
        return RouterError(429, "insufficient_quota", told, type="insufficient_quota", should_retry=False)
    told = f"{told}; the next period begins in {wait:.0f} s"
    return RouterError(429, "insufficient_quota", told, type="insufficient_quota", retry_after=wait, should_retry=False)


def unknown_limit(refusal: Refusal) -> RouterError:
    """The 503 for a request of which nobody can say whether a strict limit has room for it."""
    told = "a strict limit can not be checked now; try again shortly"
    return RouterError(503, "limit_unavailable", told, type="api_error", retry_after=refusal.wait)


def _at_limit(subject: LimitSubject, admission: Admission | Refusal) -> RouterError:
    limits = subject.limits
    used = {
        "rpm": f"{limits.rpm} requests per minute",
        "tpm": f"{limits.tpm} tokens per minute",
        "parallel": f"{limits.max_parallel_requests} requests at once",
    }[admission.short or "rpm"]
    told = f"{subject.name.removeprefix(KEY)} has used its {used}; try again in {admission.wait:.1f} s"
    return RouterError(429, "rate_limit_exceeded", told, type="rate_limit_error", retry_after=admission.wait)
