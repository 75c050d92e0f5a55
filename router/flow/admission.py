"""The limits of clients' keys: nothing is planned, queued or sent for a request that its key has no room for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from router.core.errors import RouterError
from router.core.events import Finished
from router.core.limits import Admission, Spent
from router.core.types import LimitSubject, ModelGroup, RouteRequest
from router.state.base import StateStore

KEY = "key:"
"""What the subjects of clients' keys are named by, besides the key's own name."""


class Gate:
    def __init__(self, state: StateStore) -> None:
        self._state = state

    def tell(self, subject: LimitSubject, record: Finished) -> None:
        """Note what the key has left now, for the answer to a request that does not get as far as `within`."""
        record.allowances = self._state.left(subject)

    @contextmanager
    def within(self, subject: LimitSubject, route: RouteRequest, group: ModelGroup, record: Finished) -> Iterator[None]:
        """Serve one request of the key inside. Raises RouterError 429 where its limits have no room.

        Whatever happens inside, what was reserved is settled: on the usage in `record` where that is known. A request
        of which nothing was sent is given back whole, one that no deployment has answered is given back its tokens.
        """
        admission = self._state.admit(subject, self._state.view().expect(route, group.name))
        record.allowances = admission.left
        if admission.reservation is None:
            raise _at_limit(subject, admission)
        spent = Spent.ESTIMATE
        try:
            yield
        except RouterError:
            spent = Spent.REQUEST
            raise
        finally:
            self._state.release(admission.reservation, spent if record.attempts else Spent.NOTHING, record.usage)


def _at_limit(subject: LimitSubject, admission: Admission) -> RouterError:
    limits = subject.limits
    used = {
        "rpm": f"{limits.rpm} requests per minute",
        "tpm": f"{limits.tpm} tokens per minute",
        "parallel": f"{limits.max_parallel_requests} requests at once",
    }[admission.short or "rpm"]
    told = f"{subject.name.removeprefix(KEY)} has used its {used}; try again in {admission.wait:.1f} s"
    return RouterError(429, "rate_limit_exceeded", told, type="rate_limit_error", retry_after=admission.wait)
