"""What replicas tell each other: a replica's batch, the picture that comes back, and the medium that carries both.

Each replica hands in a batch every interval. All in it is absolute (how things are now, in place of what it said
before) but for its deltas, which are applied once for each sequence number, however often they are sent: a batch whose
answer was lost is sent again with the same sequence and the same deltas, and with the absolute part as it is by then.
A medium keeps the last batch of each replica under a lease, and answers with what the others said, added up.

All durations are in seconds and relative to the moment of the message, as no two replicas share a clock.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

LEASE = 3.0
"""Seconds after its last batch in which a replica counts as alive. Then what it has in flight is forgotten."""
MINUTE = 60.0
"""Seconds for which what a replica has used of the limits counts on after its death."""
TOTAL_TIMEOUT = 1.0
"""Seconds for one trade, connecting included."""
AGES = 6
"""A replica's last minute is told in so many parts of ten seconds, the youngest first."""


class Lifetimes(NamedTuple):
    """For how many seconds a medium keeps what it is told.

    `lease`: see LEASE; `minute`: see MINUTE; `trial`: a half-open trial under way is one replica's, from the last batch
    that told of it; `offer`: who was given a trial may begin it; `sequence`: it is known what has been applied.
    """

    lease: float = LEASE
    minute: float = MINUTE
    trial: float = 3.0
    offer: float = 1.0
    sequence: float = 86_400.0


LIFETIMES = Lifetimes()

_NONE: Mapping[str, Any] = MappingProxyType({})


class Use(NamedTuple):
    """What is used of one subject's limits: requests under way; requests and tokens of the last minute.

    A replica's batch tells its claims apart: the most that it may have used until its next one, 0 where it claims
    nothing. They end with its lease. In a picture each replica counts as the larger of what it uses and what it claims.
    """

    in_flight: int = 0
    requests: int = 0
    tokens: int = 0
    claimed_requests: int = 0
    claimed_tokens: int = 0

    def claimed(self) -> Use:
        """As the siblings count it, while its replica lives."""
        return Use(self.in_flight, max(self.requests, self.claimed_requests), max(self.tokens, self.claimed_tokens))


class Ages(NamedTuple):
    """When the requests and tokens of the last minute came: each `AGES` sums, the last ten seconds first; empty where
    they are not counted. What is left of a dead replica's use is worked out from it."""

    requests: Sequence[int] = ()
    tokens: Sequence[int] = ()


class Failing(NamedTuple):
    """A backend that this replica itself saw fail `age` seconds ago, and has not seen recover. `open_for`: how long its
    breaker stays open; 0.0 where it is closed, or half-open."""

    open_for: float
    age: float


class Cooldown(NamedTuple):
    """Upstream's own word that a backend is to be left alone for `seconds`: one key of it (its position), or, `key`
    being None, all of it. `refused`: it would not have the key, or its account is out of money."""

    backend: str
    key: int | None
    seconds: float
    refused: bool = False


class Sample(NamedTuple):
    """The slowest of what was measured of a backend since the last batch; None where nothing was.

    `first_token`: prompt tokens, and seconds until a stream's first token; `whole`: output tokens, and seconds of a
    whole reply. Failures are not told: who can not reach a backend would take it from those who can.
    """

    first_token: tuple[int, float] | None = None
    whole: tuple[int, float] | None = None


class Batch(NamedTuple):
    """What one replica tells. Subjects are backends' names and clients' keys' (`key:NAME`); what is zero is left out.

    `replica` names one life of one process; `turn` grows with every sending, so that one that was held up never takes
    the place of a later one. `trials`: half-open backends; True where this replica's trial is under way, False where it
    would like to make one. `ages` come now and then, None in between. `recovered`: backends whose trial went well.

    The deltas of `sequence`: `spent` in US dollars by name, and `cooldowns`, which are none the worse for coming twice.
    `known` is what had been spent in all, for a medium that has forgotten.
    """

    replica: str
    sequence: int
    turn: int
    uses: Mapping[str, Use] = _NONE
    ages: Mapping[str, Ages] | None = None
    failing: Mapping[str, Failing] = _NONE
    trials: Mapping[str, bool] = _NONE
    recovered: Collection[str] = ()
    samples: Mapping[str, Sample] = _NONE
    spent: Mapping[str, float] = _NONE
    cooldowns: Sequence[Cooldown] = ()
    known: Mapping[str, float] = _NONE


class Picture(NamedTuple):
    """What comes back: the siblings' part of everything, this replica's own left out.

    `acknowledged` is the last sequence whose deltas have been applied; `newcomer`: the medium had not heard of this
    replica, so one of the two is new. `live` counts the replicas, this one included.

    `openings`: backends that two replicas or more saw fail, and for how long the longest of their breakers stays open.
    `recovered`: how long ago a sibling's trial went well. `held`: half-open backends of which a sibling has the trial,
    and for how long. `spent`: totals in US dollars of those names that have changed since this replica's last batch.
    """

    acknowledged: int
    newcomer: bool
    live: int
    uses: Mapping[str, Use] = _NONE
    cooldowns: Sequence[Cooldown] = ()
    openings: Mapping[str, float] = _NONE
    recovered: Mapping[str, float] = _NONE
    held: Mapping[str, float] = _NONE
    samples: Mapping[str, Sequence[Sample]] = _NONE
    spent: Mapping[str, float] = _NONE


def ledger_name(subject: str, page: str) -> str:
    """What a subject's spending of one period is added up under; a medium forgets it a day after the period's end.

    `page` is the period's number from 1970 on, and its length in seconds, 0 for one without end: `20782/86400`.
    """
    return f"{subject}@{page}"


def kept_for(name: str) -> float:
    """Seconds after its last change for which a ledger's name is surely still wanted."""
    length = name.rpartition("/")[2]
    return 2.0 * int(length) + 86_400.0 if length.isdecimal() and length != "0" else float("inf")


class MediumError(Exception):
    """The medium can not be asked now. `reason` is one of a few words, fit for a metric's label."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class Medium(Protocol):
    """What carries batches between replicas. Every method may raise MediumError."""

    async def trade(self, batch: Batch) -> Picture:
        """Hand in a batch, and get the picture, one at a time. Raises MediumError `timeout` after TOTAL_TIMEOUT."""

    async def publish(self, replica: str, cooldown: Cooldown) -> None:
        """Tell the siblings of a cooldown at once, and keep it for those who hear it later. A later end wins."""

    def listen(self, replica: str) -> AsyncGenerator[Cooldown, None]:
        """The cooldowns that siblings publish, until cancelled or closed."""

    async def leave(self, replica: str) -> None:
        """The replica goes: its lease ends now. What it has used of the limits counts on."""

    async def close(self) -> None:
        """Let go of every connection."""
