"""The seam between flow and the load picture. Nothing here waits: routing reads memory."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from router.core.catalogue import Catalogue
from router.core.errors import FailureKind
from router.core.load import BackendLoad, Candidate, Snapshot
from router.core.retry import Health
from router.core.types import Deployment, Estimate, ModelGroup


class Outcome(NamedTuple):
    """How one attempt ended, as far as the deployment's health is concerned.

    `kind` is None for a success; `counts` whether a failure may count for the breaker; `told` False where the attempt
    says nothing about the deployment (its client went away).
    """

    health: Health = Health.NONE
    kind: FailureKind | None = None
    retry_after: float | None = None
    counts: bool = True
    told: bool = True


SUCCESS = Outcome()
CLIENT_GONE = Outcome(told=False)


class Lease:
    """One attempt's hold on a deployment: in-flight is up while it lasts. `key` is the API key to sign with."""

    __slots__ = ("candidate", "group", "key", "key_index", "load", "settled", "trial")

    def __init__(self, group: ModelGroup, candidate: Candidate, key: str, key_index: int, trial: bool) -> None:
        self.group = group
        self.candidate = candidate
        self.load: BackendLoad = candidate.load
        self.key = key
        self.key_index = key_index
        self.trial = trial
        self.settled = False

    @property
    def deployment(self) -> Deployment:
        return self.candidate.deployment


class StateStore(Protocol):
    """Keeps the load picture. `acquire` and `settle` come in pairs: every lease is settled exactly once."""

    def configure(self, catalogue: Catalogue) -> None:
        """Serve this catalogue from now on. What is known of backends that stay is kept."""

    def view(self) -> Snapshot:
        """The picture as it is now."""

    def acquire(self, group: ModelGroup, candidate: Candidate, estimate: Estimate) -> Lease:
        """Take a lease on `candidate` for one attempt."""

    def settle(self, lease: Lease, outcome: Outcome) -> None:
        """Give the lease back and book what it told. Raises RuntimeError on a lease settled before."""

    async def run(self) -> None:
        """Exchange the picture with siblings until cancelled."""
