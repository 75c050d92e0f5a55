"""What happened, as frozen values on one stream. Metrics, logs and traces subscribe; nobody else need know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from router.core.errors import FailureKind
from router.core.failover import FallbackKind
from router.core.filters import Reason
from router.core.quota import Allowances
from router.core.trace import Trace
from router.core.types import Kind, Usage


class Attempted(NamedTuple):
    """One attempt ended. `outcome` is `ok`, `client_gone`, `outrun` (another one was faster) or a FailureKind; times in
    seconds. `selection` is how long it took to choose the deployment and take the lease."""

    group: str
    deployment: str
    provider: str
    outcome: str
    duration: float
    selection: float = 0.0


class Rejected(NamedTuple):
    """A filter passed over a deployment."""

    group: str
    reason: Reason


class RetryDenied(NamedTuple):
    """A retry was not made, since the group's retry budget is spent."""

    group: str


class FellBack(NamedTuple):
    """Another model group took over."""

    group: str
    to: str
    kind: FallbackKind


HedgeOutcome = Literal["won", "lost", "failed", "client_gone"]


class Hedged(NamedTuple):
    """A slow stream was sent a second time. `outcome`: the copy `won`, or `lost` to the first attempt, or both failed.

    `outrun` is the deployment that was outrun, "" where none was, and `cost` what it is expected to charge for that in
    US dollars; None where unknown.
    """

    group: str
    outcome: HedgeOutcome
    outrun: str
    cost: float | None


class Cooled(NamedTuple):
    """A deployment, or one of its keys, is left alone for `seconds`.

    `key` is the key's position in the deployment's list, None for all of it; `slot` its position among the backend's
    keys, which is the same in every process (`BackendLoad.api_keys`).
    """

    deployment: str
    reason: FailureKind
    seconds: float
    key: int | None
    slot: int | None = None


class Recovered(NamedTuple):
    """A half-open trial succeeded: the deployment gets traffic again."""

    deployment: str


class SharingLost(NamedTuple):
    """The siblings can not be heard any more. `reason` is a metric's label, `detail` what is known besides."""

    reason: str
    detail: str


class SharingRestored(NamedTuple):
    """The picture is shared, for the first time or again, by so many replicas."""

    live: int


class Probed(NamedTuple):
    """A deployment's health page was asked. `outcome` is `ok` or a FailureKind."""

    deployment: str
    outcome: str


class Queued(NamedTuple):
    """A request has left the queue of a model group after `waited` seconds: it was its turn, or its time was over, or
    the room full, or there was nothing (more) to wait for, or its client went away."""

    group: str
    outcome: Literal["served", "timeout", "full", "refused", "client_gone"]
    waited: float


class Reloaded(NamedTuple):
    """The configuration was read anew, which took `seconds`; it is in force since `at` (seconds since 1970).

    `problems`: why it is not, and the one before still is; `fixed`: settings that wait for a restart.
    """

    at: float
    seconds: float
    problems: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


_FACTS = ("allowances", "attempts", "cost", "deployment", "duration", "error", "first_token", "hedge_cost",
          "key", "kind", "last_attempt", "metadata", "model", "outcome", "provider", "received", "request_id",
          "served_by", "status", "stream", "team", "trace", "upstream", "usage", "waited")  # fmt: skip


class Finished:
    """One client request is over: the access log's line. Filled in while it runs and emitted once.

    `model` is the configured name that was asked for (`other` for one that is not), `outcome` one of `ok`, `error`,
    `client_gone`, `broken`; times in seconds, `received` on the wall clock; `upstream` is the time spent waiting for
    deployments, `waited` that for anything else (the client's body, a slot, the next retry), `last_attempt` how long
    the last attempt took; `cost` in US dollars, None where unknown, `hedge_cost` the part of it that the slower one of
    two attempts took; `allowances` what its key had left, None without limits; `trace` its spans, None where tracing
    is off; `metadata` is the client's own.
    """

    __slots__ = _FACTS

    def __init__(self, request_id: str, kind: Kind | str) -> None:
        self.request_id = request_id
        self.kind: Kind | str = kind
        self.key = ""
        self.team = ""
        self.model = "other"
        self.served_by = ""
        self.deployment = ""
        self.provider = ""
        self.stream = False
        self.status = 0
        self.outcome = "ok"
        self.error = ""
        self.attempts = 0
        self.usage: Usage | None = None
        self.cost: float | None = None
        self.hedge_cost = 0.0
        self.received = 0.0
        self.duration = 0.0
        self.first_token: float | None = None
        self.upstream = 0.0
        self.waited = 0.0
        self.last_attempt = 0.0
        self.allowances: Allowances | None = None
        self.trace: Trace | None = None
        self.metadata: Mapping[str, Any] | None = None

    def copied(self) -> Finished:
        """Another one that says the same so far."""
        other = Finished(self.request_id, self.kind)
        for name in _FACTS:
            setattr(other, name, getattr(self, name))
        return other


Event = (
    Attempted
    | Rejected
    | RetryDenied
    | Hedged
    | FellBack
    | Cooled
    | Recovered
    | SharingLost
    | SharingRestored
    | Probed
    | Queued
    | Reloaded
    | Finished
)
Observer = Callable[[Event], None]
