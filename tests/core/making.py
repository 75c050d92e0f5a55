"""What the tests of routing are made of: a clock that is a number, and a small world of deployments with their load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from router.core.catalogue import Catalogue
from router.core.events import Event
from router.core.load import BackendLoad, Candidate, Snapshot
from router.core.types import (
    CooldownPolicy,
    Deployment,
    Estimate,
    Kind,
    ModelGroup,
    RouteRequest,
    RoutingPolicy,
)
from router.state.base import Lease
from router.state.memory import MemoryStore

START = 1000.0
HOUR = 3600.0


class FakeClock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def deployment(name: str, group: str = "gpt", **fields: Any) -> Deployment:
    """One backend of its own, unless `backend` or the address and the model say otherwise."""
    fields = {"provider": "openai", "model": name, "api_base": f"http://{name}.test/v1", "api_keys": ("key",)} | fields
    return Deployment(name, group, **fields)


def tier(*names: str, group: str = "gpt", **fields: Any) -> tuple[Deployment, ...]:
    return tuple(deployment(name, group, **fields) for name in names)


def group(*tiers: Sequence[Deployment], name: str = "gpt", **policy: Any) -> ModelGroup:
    return ModelGroup(name, tuple(tuple(each) for each in tiers), RoutingPolicy(**policy))


def request(
    kind: Kind = "chat", *, tokens: int = 10, stream: bool = False, deadline: float = START + HOUR, **fields: Any
) -> RouteRequest:
    return RouteRequest(kind, "gpt", stream, Estimate(tokens, 100), deadline, **fields)


def candidate(
    name: str, *, in_flight: int = 0, siblings: int = 0, turn: float = 0.0, keys: int = 1, **fields: Any
) -> Candidate:
    load = BackendLoad(keys)
    load.in_flight, load.siblings = in_flight, siblings
    made = Candidate(deployment(name, **fields), load)
    load.turns[made.deployment.model_name] = turn
    return made


def snapshot(
    tiers: Sequence[Sequence[Candidate]] = (), turns: Mapping[str, float] | None = None, now: float = START
) -> Snapshot:
    return Snapshot(now, {"gpt": tiers}, turns or {})


class World:
    """A memory store over some groups, the clock it reads and the events it sends."""

    def __init__(
        self, *groups: ModelGroup, aliases: Mapping[str, str] | None = None, wildcards: Sequence[ModelGroup] = ()
    ) -> None:
        self.clock = FakeClock()
        self.rng = Random(7)
        self.events: list[Event] = []
        self.store = MemoryStore(self.clock, self.events.append)
        self.configure(*groups, aliases=aliases, wildcards=wildcards)

    def configure(
        self, *groups: ModelGroup, aliases: Mapping[str, str] | None = None, wildcards: Sequence[ModelGroup] = ()
    ) -> None:
        self.catalogue = Catalogue({each.name: each for each in groups}, aliases or {}, tuple(wildcards))
        self.store.configure(self.catalogue)

    def group(self, name: str = "gpt") -> ModelGroup:
        found = self.catalogue.resolve(name)
        assert found is not None
        return found

    def candidate(self, name: str, group: str = "gpt") -> Candidate:
        for each in self.store.candidates():
            if each.deployment.id == name and each.deployment.model_name == group:
                return each
        raise AssertionError(f"no {name} in {group}")

    def lease(self, name: str, group: str = "gpt", *, stream: bool = False, tokens: int = 10) -> Lease:
        candidate = self.candidate(name, group)
        return self.store.acquire(self.group(group), candidate, Estimate(tokens, 100), stream=stream)

    def streamed(self, name: str, seconds: float, group: str = "gpt") -> Lease:
        """A stream whose first token has come after that long."""
        lease = self.lease(name, group, stream=True)
        self.clock.advance(seconds)
        lease.answered(self.clock.now)
        return lease

    def load(self, name: str, group: str = "gpt") -> BackendLoad:
        return self.candidate(name, group).load

    @property
    def in_flight(self) -> int:
        return sum(each.load.in_flight for each in self.store.candidates())


POLICY = CooldownPolicy(allowed_fails=3, error_rate=0.5, min_requests=10, window=30.0, base=5.0, max=60.0)
