"""Hedging: a stream that is slow to begin is sent a second time, to another deployment; the first token decides.

    first attempt ──────────────────────────┬─▶ first token: the client's stream; the other is cancelled at once
                       (slower than usual)  │
                             └─▶ copy ──────┘

Each attempt runs in a task of its own and writes to a `Contender`, which passes on what it is given once it has won.
There is one copy at most for a request; none once a token has come, none where quota is short, and no more of them than
the group has saved up (`core.hedging`). Every attempt settles its own lease, however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from router.core.clock import Clock
from router.core.errors import RouterError
from router.core.events import Finished, Hedged, HedgeOutcome, Observer
from router.core.failover import Failover, Try
from router.core.routes import Routes
from router.core.types import ModelGroup, RouteRequest, Usage
from router.dialects.base import Headers, InferenceRequest
from router.flow.exchange import Exchange
from router.state.base import Lease, StateStore
from router.upstream.base import BodyStream

Attempt = Callable[
    [InferenceRequest, RouteRequest, Try, Lease, Failover, Exchange, Finished, float], Coroutine[Any, Any, bool]
]
"""Send once, and settle: True where the client has its answer."""

_SERVED = ("served_by", "deployment", "provider", "usage", "cost", "first_token", "last_attempt", "outcome", "error")
"""What the record of a request says of the attempt that served it."""


class Race:
    """The attempts of one request that are under way together."""

    def __init__(self, exchange: Exchange, record: Finished, failover: Failover, clock: Clock) -> None:
        self.exchange = exchange
        self.record = record
        self.contenders: list[Contender] = []
        self.winner: Contender | None = None
        self._failover = failover
        self._clock = clock

    def running(self) -> list[asyncio.Task[bool]]:
        return [each.task for each in self.contenders if not each.task.done()]

    def claim(self, contender: Contender) -> bool:
        """`contender` has its first token. False where another had one before."""
        if self.winner is None:
            self.winner = contender
            for other in self.contenders:
                if other is not contender and not other.lease.settled:
                    other.lease.outrun = self._clock() - other.began
                    other.task.cancel()
            self.tell(contender)
        return self.winner is contender

    def tell(self, contender: Contender) -> None:
        """Note in the request's record what is known of this attempt."""
        for name in _SERVED:
            setattr(self.record, name, getattr(contender.record, name))
        self.record.attempts = self._failover.attempts


class Contender:
    """One attempt in a race, and the `Exchange` it writes to."""

    def __init__(self, race: Race, lease: Lease, began: float) -> None:
        self.lease = lease
        self.began = began
        self.record = race.record.copied()
        self.task: asyncio.Task[bool]
        self._race = race

    @property
    def committed(self) -> bool:
        return self._race.exchange.committed

    @property
    def gone(self) -> bool:
        return self._race.exchange.gone

    @property
    def _won(self) -> bool:
        return self._race.winner is self

    def reply(self, body: bytes, record: Finished, upstream: Headers) -> None:
        if self._race.claim(self):
            self._race.exchange.reply(body, self._race.record, upstream)

    def start(self, frames: bytes, record: Finished, upstream: Headers) -> None:
        if self._race.claim(self):
            self._race.exchange.start(frames, self._race.record, upstream)

    def write(self, frames: bytes) -> None:
        if self._won:
            self._race.exchange.write(frames)

    def end(self, frames: bytes = b"") -> None:
        if self._won:
            self._race.exchange.end(frames)

    def fail(self, error: RouterError) -> None:
        if self._won:
            self._race.exchange.fail(error)

    def hold(self, stream: BodyStream | None) -> None:
        if self._won:
            self._race.exchange.hold(stream)


class Hedger:
    """`attempt` sends and settles; `give_back` returns the lease of one that never began."""

    def __init__(
        self,
        state: StateStore,
        observer: Observer,
        clock: Clock,
        attempt: Attempt,
        give_back: Callable[[Lease], None],
    ) -> None:
        self._state = state
        self._observer = observer
        self._clock = clock
        self._attempt = attempt
        self._give_back = give_back

    async def serve(
        self,
        request: InferenceRequest,
        route: RouteRequest,
        routes: Routes,
        failover: Failover,
        step: Try,
        lease: Lease,
        exchange: Exchange,
        record: Finished,
        selection: float,
    ) -> bool:
        """The attempt of `step`, and a copy of it where it is slow. True where the client has its answer."""
        race = Race(exchange, record, failover, self._clock)
        waited = record.upstream
        first = self._enter(race, request, route, step, lease, failover, selection)
        outcome: HedgeOutcome = "client_gone"
        try:
            patience = self._patience(routes, step.group, failover)
            while running := race.running():
                done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                patience = None
                if not done:
                    if race.winner is None:
                        self._copy(race, request, route, routes, step.group, failover)
                elif any(not task.cancelled() and task.result() for task in done):
                    outcome = "lost" if race.winner is first else "won"
                    return True
                elif race.winner is None and not failover.stays:
                    break  # what one deployment refuses to answer, the others will
            outcome = "failed"
            return False
        finally:
            await self._stop(race)
            race.tell(race.winner or race.contenders[-1])
            record.upstream = waited + self._clock() - first.began
            if len(race.contenders) > 1:
                self._book(race, step.group, outcome)

    def _enter(
        self,
        race: Race,
        request: InferenceRequest,
        route: RouteRequest,
        step: Try,
        lease: Lease,
        failover: Failover,
        selection: float,
    ) -> Contender:
        contender = Contender(race, lease, self._clock())
        race.contenders.append(contender)
        race.record.attempts = failover.attempts
        attempt = self._attempt(request, route, step, lease, failover, contender, contender.record, selection)
        contender.task = asyncio.get_running_loop().create_task(attempt)
        contender.task.add_done_callback(lambda _: None if lease.settled else self._give_back(lease))
        return contender

    def _patience(self, routes: Routes, group: ModelGroup, failover: Failover) -> float | None:
        """Seconds after which a first attempt is slow; None for one that is not to be copied."""
        hedges, policy = self._state.view(routes).hedges.get(group.name), group.policy.hedging
        if hedges is None or policy is None:
            return None
        if failover.attempts == 1:
            hedges.stream(policy.max_ratio)
        return hedges.after(policy.quantile)

    def _copy(
        self,
        race: Race,
        request: InferenceRequest,
        route: RouteRequest,
        routes: Routes,
        group: ModelGroup,
        failover: Failover,
    ) -> None:
        """Send a second one, where somebody is fit for it and the group has one saved up."""
        asked = self._clock()
        view = self._state.view(routes)
        hedges = view.hedges.get(group.name)
        step = failover.hedge(view) if hedges is not None and hedges.affords else None
        if hedges is None or step is None:
            return
        hedges.take()
        estimate = view.expect(route, step.candidate.deployment.model_name)
        lease = self._state.acquire(step.group, step.candidate, estimate, step.draw, stream=True)
        self._enter(race, request, route, step, lease, failover, self._clock() - asked)

    async def _stop(self, race: Race) -> None:
        """End whatever is still under way, and see it settled."""
        running = race.running()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _book(self, race: Race, group: ModelGroup, outcome: HedgeOutcome) -> None:
        """The prompt of the one that was outrun has been read, and will be charged for: by the estimate."""
        cost, deployment = None, ""
        for contender in race.contenders:
            if contender.lease.outrun is not None:
                deployment = contender.lease.deployment.id
                prompt = Usage(contender.lease.estimate.prompt_tokens, 0)
                cost = contender.lease.deployment.prices.cost(prompt)
        record = race.record
        if cost and record.cost is not None:
            record.cost += cost
            record.hedge_cost = cost
        self._observer(Hedged(group.name, outcome, deployment, cost))
