"""What happened, as frozen values on one stream. Metrics, logs and traces subscribe; nobody else need know of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from router.core.errors import FailureKind
from router.core.failover import FallbackKind
from router.core.filters import Reason
from router.core.types import Kind, Usage


class Attempted(NamedTuple):
    """One attempt ended. `outcome` is `ok`, `client_gone` or a FailureKind; times in seconds."""

    group: str
    deployment: str
    provider: str
    outcome: str
    duration: float


class Rejected(NamedTuple):
    """A filter passed over a deployment."""

    group: str
    reason: Reason


class FellBack(NamedTuple):
    """Another model group took over."""

    group: str
    to: str
    kind: FallbackKind


class Cooled(NamedTuple):
    """A deployment, or one of its keys, is left alone for `seconds`.

    `key` is the key's position, None for all of it.
    """

    deployment: str
    reason: FailureKind
    seconds: float
    key: int | None


class Recovered(NamedTuple):
    """A half-open trial succeeded: the deployment gets traffic again."""

    deployment: str


@dataclass(slots=True)
class Finished:
    """One client request is over: the access log's line. Filled in while it runs and emitted once.

    `model` is the configured name that was asked for (`other` for one that is not), `outcome` one of `ok`, `error`,
    `client_gone`, `broken`; times in seconds, `received` on the wall clock; `upstream` is the time spent waiting for
    attempts; `cost` in US dollars, None where unknown.
    """

    request_id: str
    kind: Kind | str
    key: str = ""
    model: str = "other"
    served_by: str = ""
    deployment: str = ""
    provider: str = ""
    stream: bool = False
    status: int = 0
    outcome: str = "ok"
    error: str = ""
    attempts: int = 0
    usage: Usage | None = None
    cost: float | None = None
    received: float = 0.0
    duration: float = 0.0
    first_token: float | None = None
    upstream: float = 0.0


Event = Attempted | Rejected | FellBack | Cooled | Recovered | Finished
Observer = Callable[[Event], None]
