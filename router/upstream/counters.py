"""What the client has done, as plain numbers that telemetry reads when it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from router.upstream.refusal import Refusal


class CloseReason(StrEnum):
    """Why a connection was closed. Bounded: fit for a metric label."""

    REPLY = "reply"  # the reply said so, or left it unclear where the next one would begin
    EXPIRED = "expired"  # idle for too long
    SURPLUS = "surplus"  # more idle connections than the pool keeps
    SERVER = "server"  # the server closed it while idle, or sent what nobody asked for
    FAILED = "failed"  # the exchange failed, time-outs included
    STALE = "stale"  # the server had closed it before the first byte of a response
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"


@dataclass(slots=True)
class Counters:
    """Counts since the client was made. `opened` less the sum of `closed` is how many connections are open.

    `not_opened` counts attempts to connect that failed, timed out or were cancelled; `reused` the requests that found
    an idle connection, and `replaced` those of them whose connection was stale, so that a fresh one was opened;
    `waited` those for whom there was no room at first, and `refused` the malformed responses.
    """

    opened: int = 0
    not_opened: int = 0
    reused: int = 0
    replaced: int = 0
    waited: int = 0
    closed: dict[CloseReason, int] = field(default_factory=lambda: dict.fromkeys(CloseReason, 0))
    refused: dict[Refusal, int] = field(default_factory=lambda: dict.fromkeys(Refusal, 0))
