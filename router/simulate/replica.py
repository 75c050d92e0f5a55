"""The memory store of one simulated replica, behind the simulator's seam."""

from __future__ import annotations

from collections.abc import Mapping

from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.core.errors import UpstreamFailure
from router.core.events import Event
from router.core.failover import Try
from router.core.limits import Spent
from router.core.load import BackendLoad, Snapshot
from router.core.retry import Verdict
from router.core.types import Estimate, Usage
from router.state.base import CLIENT_GONE, Lease, Outcome, Served
from router.state.memory import MemoryStore


class MemoryHold:
    __slots__ = ("_clock", "_lease", "_store")

    def __init__(self, store: MemoryStore, lease: Lease, clock: Clock) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock

    def answered(self) -> None:
        now = self._clock()
        self._lease.let_in(now)
        self._lease.answered(now)

    def produced(self, tokens: int) -> None:
        self._lease.produced(tokens)

    def served(self, duration: float, first_token: float | None, usage: Usage) -> None:
        self._store.settle(self._lease, Outcome(served=Served(duration, first_token, usage)))

    def failed(self, verdict: Verdict, failure: UpstreamFailure, counts: bool) -> None:
        spent = Spent.ESTIMATE if failure.sent_bytes else None
        outcome = Outcome(verdict.health, failure.kind, failure.retry_after, counts, spent=spent)
        self._store.settle(self._lease, outcome)

    def cut_off(self) -> None:
        self._store.settle(self._lease, CLIENT_GONE)

    def outrun(self, waited: float) -> None:
        self._lease.outrun = waited
        self._store.settle(self._lease, CLIENT_GONE)


class MemoryReplica:
    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._clock = clock
        self._store = MemoryStore(clock, _ignore)
        self._store.configure(catalogue)
        self._loads = {candidate.deployment.backend: candidate.load for candidate in self._store.candidates()}

    def view(self) -> Snapshot:
        return self._store.view()

    def acquire(self, step: Try, estimate: Estimate, stream: bool) -> MemoryHold:
        lease = self._store.acquire(step.group, step.candidate, estimate, step.draw, stream)
        return MemoryHold(self._store, lease, self._clock)

    def loads(self) -> Mapping[str, BackendLoad]:
        return self._loads

    def heard(self, live: int) -> None:
        self._store.live, self._store.heard_at = live, self._clock()


def _ignore(event: Event) -> None:
    """What happened is counted by the simulation itself."""
