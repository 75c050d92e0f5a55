"""The client's side and the load picture, both of which note what is done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import isgetsetdescriptor, ismemberdescriptor
from typing import Any

from router.core.clock import Clock
from router.core.errors import FailureKind, RouterError
from router.core.events import Finished, Observer
from router.core.filters import FILTERS
from router.core.load import BackendLoad, Candidate
from router.core.retry import Health
from router.core.retry_budget import Draw
from router.core.types import Estimate, ModelGroup, RouteRequest
from router.dialects.base import Headers
from router.edge.errors import error_event
from router.state.base import Lease, Outcome
from router.state.memory import MemoryStore
from router.upstream.base import BodyStream

SLACK = 0.001
"""Seconds by which a limit may strike too soon."""


class RecordingExchange:
    """A client that reads everything at once; or one that, after every write, stops reading for `rest` seconds.

    `transcript` has one letter a call: `r`eply, `s`tart, `w`rite, `e`nd, `f`ail. `on_call` is told of each.
    """

    def __init__(self, rest: float = 0.0, on_call: Callable[[str], None] = lambda letter: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._rest = rest
        self._on_call = on_call
        self._stream: BodyStream | None = None
        self.transcript = ""
        self.writes: list[tuple[float, bytes]] = []
        self.error: RouterError | None = None
        self.committed = False
        self.gone = False

    @property
    def body(self) -> bytes:
        return b"".join(frames for _, frames in self.writes)

    @property
    def holds(self) -> BodyStream | None:
        return self._stream

    def reply(self, body: bytes, record: Finished, upstream: Headers) -> None:
        self._note("r", body)

    def start(self, frames: bytes, record: Finished, upstream: Headers) -> None:
        self._note("s", frames)

    def write(self, frames: bytes) -> None:
        self._note("w", frames)

    def end(self, frames: bytes = b"") -> None:
        self._note("e", frames)

    def fail(self, error: RouterError) -> None:
        self.error = error
        self._note("f", error_event(error))

    def hold(self, stream: BodyStream | None) -> None:
        self._stream = stream
        self._pause()

    def _note(self, letter: str, frames: bytes) -> None:
        self.committed = True
        self.transcript += letter
        self.writes.append((self._loop.time(), frames))
        self._on_call(letter)
        self._pause()

    def _pause(self) -> None:
        if self._rest and self._stream is not None:
            self._stream.pause()
            self._loop.call_later(self._rest, self._resume, self._stream)

    def _resume(self, stream: BodyStream) -> None:
        if self._stream is stream:
            stream.resume()


@dataclass
class Client:
    """One request under way."""

    route: RouteRequest
    exchange: RecordingExchange
    leases: list[Lease] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)
    counted: dict[str, int] = field(default_factory=dict)


CLIENT: ContextVar[Client] = ContextVar("CLIENT")
"""Whose request the running task serves; the tasks that it starts serve the same."""


class WatchedStore(MemoryStore):
    """A memory store that knows who asks (by the context of the task) and looks over the shoulder of both sides.

    `broken` names what should never be.
    """

    def __init__(self, clock: Clock, observer: Observer) -> None:
        super().__init__(clock, observer)
        self._now = clock
        self.leases: list[Lease] = []
        self.settled: list[tuple[Lease, Outcome]] = []
        self.broken: list[str] = []

    def acquire(
        self,
        group: ModelGroup,
        candidate: Candidate,
        estimate: Estimate,
        draw: Draw = Draw.REQUEST,
        stream: bool = False,
    ) -> Lease:
        client = self._client()
        if client.exchange.committed:
            self.broken.append("I4: an attempt after the first byte to the client")
        if self._now() >= client.route.deadline:
            self.broken.append("I3: an attempt after the deadline")
        backend = candidate.deployment.backend
        if backend in client.tried:
            left = [other.deployment.id for other in self._fresh(client, group)]
            if left:
                self.broken.append(f"I2: {candidate.deployment.id} was tried again while {left} was left")
        client.tried.add(backend)
        lease = super().acquire(group, candidate, estimate, draw, stream)
        client.leases.append(lease)
        self.leases.append(lease)
        return lease

    def settle(self, lease: Lease, outcome: Outcome) -> None:
        client = self._client()
        if any(known is lease for known, _ in self.settled):
            self.broken.append(f"I1: {lease.deployment.id} was settled twice")
        self.settled.append((lease, outcome))
        before, trial = health_of(lease.load), lease.key_trial
        super().settle(lease, outcome)
        after = health_of(lease.load)
        if trial:
            given_back(before["keys"][lease.key_index], after["keys"][lease.key_index], trial, self._now())
        changed = before != after
        task = asyncio.current_task()
        served = outcome.told and outcome.kind is None
        gone = task is not None and task.cancelling() and lease.outrun is None
        if changed and not served and gone:
            self.broken.append("I10: the client went away, and health changed")
        late = client.route.hurried and self._now() >= client.route.deadline - SLACK
        if changed and outcome.kind is FailureKind.ATTEMPT_TIMEOUT and late:
            self.broken.append("I10: the client's own deadline passed, and health changed")
        before["latency"] = after["latency"]  # every failure is slow, whether it counts or not
        if before["open_until"] is not None:
            before["open_until"] = after["open_until"]  # open already: a retry-after may prolong it
        if before != after and outcome.health in (Health.FAILURE, Health.CONNECTION_FAILURE):
            client.counted[lease.group.name] = client.counted.get(lease.group.name, 0) + 1
            if client.counted[lease.group.name] > 1:
                self.broken.append(f"I10: one request counted two failures in {lease.group.name}")

    def _client(self) -> Client:
        return CLIENT.get()

    def _fresh(self, client: Client, group: ModelGroup) -> list[Candidate]:
        """The group's candidates that this request has not tried and may be sent to now."""
        view = self.view()
        return [
            candidate
            for tier in view.tiers(group)
            for candidate in tier
            if candidate.deployment.backend not in client.tried
            and all(reject(client.route, candidate, view) is None for reject in FILTERS)
        ]


def given_back(before: dict[str, Any], after: dict[str, Any], trial: float, now: float) -> None:
    """Who holds a key's trial, which is in its `until`, is no health either; a key that failed has a later one."""
    if before["until"] == trial and after["until"] == now:
        before["until"] = now


def health_of(load: BackendLoad) -> dict[str, Any]:
    """All that is remembered of a backend's failures and speed; who holds the half-open trial is left out."""
    known = {name: value for name, value in slots_of(load.breaker).items() if name != "trial"}
    keys = [slots_of(key) for key in load.keys]
    return known | {"keys": keys, "latency": {name: slots_of(part) for name, part in slots_of(load.latency).items()}}


def slots_of(thing: object) -> dict[str, Any]:
    fields = vars(type(thing)).items()
    held = [name for name, slot in fields if ismemberdescriptor(slot) or isgetsetdescriptor(slot)]  # once compiled
    values = {name: getattr(thing, name) for name in held}
    return {name: list(value) if isinstance(value, list) else value for name, value in values.items()}
