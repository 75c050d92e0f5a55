"""Live load and health, keyed by backend, and the view of them that routing reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from router.core.breaker import Breaker
from router.core.types import Deployment, ModelGroup

KEY_COOLDOWN_BASE = 5.0
"""Seconds a key rests after a 429 that named no time; doubles with every further one."""


class KeyHealth:
    """One API key's rest after a 429 or a refusal. `until` in clock seconds, `streak` the rests in a row.

    `refused`: it rests because upstream would not have it, or its account is out of money.
    """

    __slots__ = ("refused", "streak", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.streak = 0
        self.refused = False

    def cool(self, now: float, seconds: float | None, longest: float) -> float:
        """Rest for `seconds`, or for 5 s doubling up to `longest`; a later end wins. Returns the seconds from now.

        What is told of a key at rest was sent before the rest began: it is no further reason to double.
        """
        if self.until <= now:
            self.streak += 1
        if seconds is None:
            seconds = min(KEY_COOLDOWN_BASE * 2.0 ** min(max(self.streak - 1, 0), 16), longest)
        self.until = max(self.until, now + seconds)
        return self.until - now


class BackendLoad:
    """What is known now of one backend. `in_flight` counts this replica's requests, `siblings` the other replicas'.

    `turn` is the backend's virtual time for round-robin: picks / weight.
    """

    __slots__ = ("breaker", "in_flight", "keys", "next_key", "siblings", "turn")

    def __init__(self, keys: int) -> None:
        self.in_flight = 0
        self.siblings = 0
        self.turn = 0.0
        self.breaker = Breaker()
        self.keys = [KeyHealth() for _ in range(max(keys, 1))]
        self.next_key = 0

    @property
    def rate_limited(self) -> bool:
        """Some key has not been refused: where none is usable, that is for a 429."""
        return not all(key.refused for key in self.keys)

    def usable_key(self, now: float) -> int | None:
        """The index of the key whose turn it is among those not resting; None where all rest."""
        count = len(self.keys)
        for offset in range(count):
            index = (self.next_key + offset) % count
            if self.keys[index].until <= now:
                return index
        return None


class Candidate(NamedTuple):
    """A deployment and what is known of it now."""

    deployment: Deployment
    load: BackendLoad

    def frees_at(self, now: float) -> float:
        """When it may be asked again, in clock seconds (now or earlier: at once)."""
        key = min(health.until for health in self.load.keys)
        return max(key, self.load.breaker.open_until or now, now)


class Snapshot:
    """What one decision reads. `now` is the only clock; `turns` are the groups' virtual times for round-robin."""

    __slots__ = ("now", "tiers_of", "turns")

    def __init__(
        self, now: float, tiers_of: Mapping[str, Sequence[Sequence[Candidate]]], turns: Mapping[str, float]
    ) -> None:
        self.now = now
        self.tiers_of = tiers_of
        self.turns = turns

    def tiers(self, group: ModelGroup) -> Sequence[Sequence[Candidate]]:
        return self.tiers_of[group.name]
