"""Waiting where every deployment of a model is at its limit: in order, in bounded rooms, within the deadline.

There is a room for each model group while somebody waits for it. `Room.serve` is one synchronous step: it goes through
the waiting in their order, and whoever can be sent takes its lease there and then, before any newcomer can. Who cannot
holds the backends it waits for against those behind it, or small requests would overtake a large one for ever. A room
is served when a lease has been settled or has let go of its key, when the next slot frees by the clock, and when
somebody comes or leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from math import inf
from typing import Literal, NamedTuple

from router.core.clock import Clock
from router.core.errors import RouterError
from router.core.events import Observer, Queued
from router.core.exhausted import exhausted_error
from router.core.failover import Failover, Stop, Try
from router.core.limits import UNKNOWN_WAIT
from router.core.types import ModelGroup, QueuePolicy, RouteRequest
from router.flow.line import Line
from router.state.base import Lease

RECHECK = 1.0
"""Seconds after which the waiting are looked at again, whatever happened: slots free in ways that nobody tells of."""


class Ticket:
    """A request's turn: what to do first, and the lease for it. `selection`: seconds that it took to find both."""

    __slots__ = ("failover", "lease", "selection", "step")

    def __init__(self, failover: Failover, step: Try, lease: Lease, selection: float = 0.0) -> None:
        self.failover = failover
        self.step = step
        self.lease = lease
        self.selection = selection


class Blocked(NamedTuple):
    """Why it is not its turn. `backends` are those it waits for, none where waiting would not help. `frees_at` is when
    the first of them is known to free, in clock seconds; `any_moment`: one may do so before."""

    error: RouterError
    backends: frozenset[str]
    frees_at: float = inf
    any_moment: bool = False


def blocked(stop: Stop, now: float, tokens: int) -> Blocked:
    """What a request of `tokens`, for which there is nothing left to do, has to wait for."""
    moments = [candidate.frees_at(now, tokens) for candidate in stop.full]
    return Blocked(
        stop.error,
        frozenset(candidate.deployment.backend for candidate in stop.full),
        min((moment for moment in moments if moment > now), default=inf),
        any(moment <= now for moment in moments),
    )


Probe = Callable[[Collection[str]], Ticket | Blocked]
"""Try to go now, without the backends given, which are held for others."""

Answer = Ticket | RouterError | None
"""What a request that waits gets in the end; None: its time is over."""


class Waiter:
    """One request in a room, until the moment `until` (clock seconds)."""

    __slots__ = ("answer", "blocked", "probe", "route", "until")

    def __init__(self, route: RouteRequest, probe: Probe, until: float, answer: asyncio.Future[Answer]) -> None:
        self.route = route
        self.probe = probe
        self.until = until
        self.answer = answer
        self.blocked: Blocked | None = None

    @property
    def key(self) -> str:
        return self.route.key

    @property
    def priority(self) -> int:
        return self.route.priority

    def expire(self) -> None:
        if not self.answer.done():
            self.answer.set_result(None)


class Room:
    """Those who wait for one model group. `held` are the backends that somebody waits for."""

    def __init__(self, clock: Clock) -> None:
        self.line: Line[Waiter] = Line()
        self.backends: set[str] = set()
        self.held: set[str] = set()
        self.frees_at = inf
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def cover(self, group: ModelGroup) -> None:
        """Somebody waits for a deployment of this group: after a reload, not what those before him wait for."""
        self.backends.update(deployment.backend for tier in group.tiers for deployment in tier)

    def serve(self) -> None:
        """Let everybody go whose turn it is, and be called again when the next slot frees."""
        held = self.held = set()
        passed: set[Waiter] = set()
        self.frees_at = inf
        while (waiter := self._next(passed)) is not None and not held >= self.backends:
            try:
                found = waiter.probe(held)
            except Exception as error:  # its own request's, not that of whoever has just settled a lease
                self.line.leave(waiter)
                waiter.answer.set_exception(error)
                continue
            if isinstance(found, Ticket):
                self.line.served(waiter)
                waiter.answer.set_result(found)
            elif not found.backends:
                self.line.leave(waiter)
                waiter.answer.set_result(found.error)
            else:
                waiter.blocked = found
                passed.add(waiter)
                held |= found.backends
                self.frees_at = min(self.frees_at, found.frees_at)
        self._set_timer()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _next(self, passed: Collection[Waiter]) -> Waiter | None:
        return next((each for each in self.line if each not in passed and not each.answer.done()), None)

    def _set_timer(self) -> None:
        self.close()
        if self.line:
            wait = min(max(self.frees_at - self._clock(), 0.0), RECHECK)
            self._timer = asyncio.get_running_loop().call_later(wait, self.serve)


class Queue:
    """The rooms. `give_back` returns the lease of a ticket that nobody has come for."""

    def __init__(self, clock: Clock, observer: Observer, give_back: Callable[[Lease], None]) -> None:
        self._clock = clock
        self._observer = observer
        self._give_back = give_back
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        """Rooms in use."""
        return len(self._rooms)

    def __contains__(self, group: ModelGroup) -> bool:
        return group.name in self._rooms

    def waiting(self) -> dict[str, int]:
        """How many wait, by model group."""
        return {name: len(room.line) for name, room in self._rooms.items()}

    def freed(self, backend: str) -> None:
        """A lease on `backend` has been settled, or has let go of the key that it had to itself."""
        for room in list(self._rooms.values()):
            if backend in room.backends:
                room.serve()

    async def wait(self, group: ModelGroup, policy: QueuePolicy, route: RouteRequest, probe: Probe) -> Ticket:
        """Wait for the turn of `route`; not at all where it is its turn already.

        Raises RouterError: 503 where the room is full, 429 where no slot frees in time, 504 at the deadline.
        """
        now = self._clock()
        room = self._rooms.get(group.name)
        if room is None:
            room = self._rooms[group.name] = Room(self._clock)
        outcome: Literal["served", "timeout", "full", "refused", "client_gone"] = "client_gone"
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiter = Waiter(route, probe, min(now + policy.timeout, route.deadline), answer)
        try:
            if len(room.line) >= policy.max_waiting:
                outcome = "full"
                found: Answer = self._past(room, group, probe)
            else:
                room.cover(group)
                room.line.join(waiter)
                room.serve()
                found = await self._answer(waiter)
            if isinstance(found, Ticket):
                outcome = "served"
                return found
            if found is None:
                outcome = "timeout"
                raise self._too_late(group, policy, route, waiter, room)
            if outcome != "full":
                outcome = "refused"
            raise found
        finally:
            self._leave(group, room, waiter)
            self._observer(Queued(group.name, outcome, self._clock() - now))

    def _past(self, room: Room, group: ModelGroup, probe: Probe) -> Ticket | RouterError:
        """Past a full room goes only who wants nothing that those in it wait for."""
        found = probe(room.held)
        if isinstance(found, Ticket):
            return found
        return _full(group) if found.backends else found.error

    async def _answer(self, waiter: Waiter) -> Answer:
        """Wait, where that may help."""
        blocked = waiter.blocked
        if blocked is not None and not blocked.any_moment and blocked.frees_at > waiter.until:
            return blocked.error
        timer = asyncio.get_running_loop().call_later(waiter.until - self._clock(), waiter.expire)
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            answer = waiter.answer
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                found = answer.result()
                if isinstance(found, Ticket):
                    self._give_back(found.lease)
            raise
        finally:
            timer.cancel()

    def _leave(self, group: ModelGroup, room: Room, waiter: Waiter) -> None:
        before = len(room.line)
        room.line.leave(waiter)
        if not room.line:
            room.close()
            if self._rooms.get(group.name) is room:
                del self._rooms[group.name]
        elif len(room.line) < before:
            room.serve()  # what it held is free for those behind it

    def _too_late(
        self, group: ModelGroup, policy: QueuePolicy, route: RouteRequest, waiter: Waiter, room: Room
    ) -> RouterError:
        now = self._clock()
        if waiter.until >= route.deadline:
            return exhausted_error(group, (), (), now, deadline=True)
        told = f"{group.name}: every deployment is at its limit; none was free within {policy.timeout:g} s in the queue"
        wait = room.frees_at - now
        again = wait if 0.0 < wait < inf else UNKNOWN_WAIT
        return RouterError(429, "rate_limit_exceeded", told, type="rate_limit_error", retry_after=again)


def _full(group: ModelGroup) -> RouterError:
    told = f"{group.name}: every deployment is at its limit, and the queue is full; try again shortly"
    return RouterError(503, "overloaded", told, type="api_error", retry_after=UNKNOWN_WAIT)
