"""The seam to the load picture: one replica's state store, as the simulation drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from router.core.errors import UpstreamFailure
from router.core.failover import Try
from router.core.load import BackendLoad, Snapshot
from router.core.retry import Verdict
from router.core.types import Estimate, Usage


class Hold(Protocol):
    """One attempt's lease. It is given back once, by one of the last four."""

    def answered(self) -> None:
        """A stream's first token has come."""

    def produced(self, tokens: int) -> None:
        """So many output tokens more have come."""

    def served(self, duration: float, first_token: float | None, usage: Usage) -> None:
        """It went well. Times in seconds; `first_token` None for a whole reply."""

    def failed(self, verdict: Verdict, failure: UpstreamFailure, counts: bool) -> None:
        """It did not. `counts`: whether that may count against the breaker."""

    def cut_off(self) -> None:
        """The router ended it, for reasons that tell nothing about the deployment."""

    def outrun(self, waited: float) -> None:
        """It had sent nothing after that many seconds, and another attempt of the same request had."""


class Replica(Protocol):
    """One router's picture."""

    def view(self) -> Snapshot: ...
    def acquire(self, step: Try, estimate: Estimate, stream: bool) -> Hold:
        """Take a lease for `step`, of what the view that it was decided by expects of the request."""

    def loads(self) -> Mapping[str, BackendLoad]:
        """What it knows, by backend."""

    def heard(self, live: int) -> None:
        """It has been told of the others now. They are `live` in all, itself included."""


def exchange(replicas: Sequence[Replica], hearer: int) -> None:
    """Replica number `hearer` learns how many requests the others have under way now."""
    replicas[hearer].heard(len(replicas))
    others = [replica.loads() for place, replica in enumerate(replicas) if place != hearer]
    for backend, load in replicas[hearer].loads().items():
        load.siblings = sum(loads[backend].in_flight for loads in others)
