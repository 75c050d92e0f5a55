"""One request's way through the router, driven as the runner drives it, in simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from random import Random
from typing import NamedTuple

from router.core.catalogue import Catalogue
from router.core.errors import FailureKind, UpstreamFailure
from router.core.failover import Failover, Stop, Try, Wait
from router.core.load import Candidate, Snapshot
from router.core.plan import Rejection
from router.core.retry import is_no_fault
from router.core.simulator.attempt import Attempt
from router.core.simulator.events import EventLoop
from router.core.simulator.foreseen import ORACLE, Foreseen
from router.core.simulator.machine import Machine, Size
from router.core.simulator.replica import Replica
from router.core.simulator.tally import Tally
from router.core.types import HedgingPolicy, ModelGroup, RouteRequest, Usage


class World(NamedTuple):
    """What all journeys share. `machines` by backend."""

    events: EventLoop
    catalogue: Catalogue
    machines: dict[str, Machine]
    tally: Tally
    rng: Random


class Journey:
    """`usage` is what the request will turn out to take; `deviation` how unusually long that takes, in standard
    deviations. Several attempts are under way together only where the first of them is hedged."""

    __slots__ = ("_copy", "_failover", "_group", "_replica", "_running", "began", "deviation", "request", "usage",
                 "world")  # fmt: skip

    def __init__(
        self, world: World, replica: Replica, request: RouteRequest, group: ModelGroup, usage: Usage, deviation: float
    ) -> None:
        self.world = world
        self.request = request
        self.usage = usage
        self.deviation = deviation
        self.began = world.events.now
        self._replica = replica
        self._group = group
        self._running: list[Attempt] = []
        self._copy: Attempt | None = None
        if group.policy.strategy == ORACLE:
            self._failover: Failover = Foreseen(
                request, group, world.catalogue, world.rng, self._rejected, self._first_token_at
            )
        else:
            self._failover = Failover(request, group, world.catalogue, world.rng, self._rejected)

    def go_on(self) -> None:
        """Take the next step."""
        view = self._replica.view()
        step = self._failover.next(view)
        if self._failover.denied:
            self._failover.denied = ""
            self.world.tally.retries_denied += 1
        if isinstance(step, Try):
            attempt = self._send(step, view)
            if step.group.policy.hedging is not None and self.request.stream:
                self._watch(attempt, step.group.policy.hedging, view)
        elif isinstance(step, Wait):
            self.world.events.at(self.world.events.now + step.seconds, self.go_on)
        elif isinstance(step, Stop):
            self._over(step.error.code)

    def size_on(self, machine: Machine) -> Size:
        """What the request asks of `machine`."""
        work = exp(machine.model.jitter * self.deviation)
        return Size(self.usage.prompt_tokens, self.usage.completion_tokens, work)

    def answered(self, attempt: Attempt) -> None:
        """`attempt` has its first token, which decides between it and its copy."""
        if len(self._running) > 1:
            for other in self._running:
                if other is not attempt:
                    other.outrun()
                    prompt = Usage(self.usage.prompt_tokens, 0)
                    self.world.tally.cost += other.step.candidate.deployment.prices.cost(prompt) or 0.0
            self._running = [attempt]

    def served(self, attempt: Attempt, first_at: float) -> None:
        self.answered(attempt)  # in case its first token was its last
        now, tally = self.world.events.now, self.world.tally
        tally.hedges_won += attempt is self._copy
        deployment = attempt.step.candidate.deployment
        tally.first_token.append(first_at - self.began)
        tally.total.append(now - self.began)
        tally.served_by[deployment.id] += 1
        cost = deployment.prices.cost(self.usage)
        if cost is None:
            tally.unpriced += 1
        else:
            tally.cost += cost
        self._over("")

    def failed(self, attempt: Attempt, failure: UpstreamFailure, deadline: float) -> None:
        """`deadline`: the attempt's, in clock seconds."""
        tally = self.world.tally
        verdict = self._failover.failed(attempt.step, failure)
        if is_no_fault(failure, deadline, self.request, self._failover.attempts):
            attempt.hold.cut_off()
        else:
            attempt.hold.failed(verdict, failure, attempt.step.counts)
        tally.attempt_failures[failure.kind.value] += 1
        if failure.kind is FailureKind.RATE_LIMITED:
            tally.rate_limited += 1
        self._running.remove(attempt)
        if failure.sent_bytes:
            self._over("stream_broken")
        elif not self._running or not self._failover.stays:  # what one refuses to answer, the others will
            for other in self._running:
                other.stop()
            self._running.clear()
            self.go_on()

    def _send(self, step: Try, view: Snapshot) -> Attempt:
        self.world.tally.attempts += 1
        estimate = view.expect(self.request, step.candidate.deployment.model_name)
        attempt = Attempt(self, step, self._replica.acquire(step, estimate, self.request.stream))
        self._running.append(attempt)
        attempt.send()
        return attempt

    def _watch(self, attempt: Attempt, policy: HedgingPolicy, view: Snapshot) -> None:
        """Send a copy of `attempt` where it is slow to begin, as `flow.hedging` does."""
        hedges = view.hedges[attempt.step.group.name]
        if self._failover.attempts == 1:
            hedges.stream(policy.max_ratio)
        after = hedges.after(policy.quantile)
        if after is not None:
            self.world.events.at(self.world.events.now + after, self._hedge, attempt)

    def _hedge(self, attempt: Attempt) -> None:
        if attempt.begun or attempt not in self._running:
            return
        view = self._replica.view()
        hedges = view.hedges[attempt.step.group.name]
        step = self._failover.hedge(view) if hedges.affords else None
        if step is not None:
            hedges.take()
            self.world.tally.hedges += 1
            self._copy = self._send(step, view)

    def _first_token_at(self, candidate: Candidate) -> float:
        machine = self.world.machines[candidate.deployment.backend]
        return machine.first_token_at(self.size_on(machine))

    def _over(self, error: str) -> None:
        tally, failover = self.world.tally, self._failover
        tally.over += 1
        if error:
            tally.errors[error] += 1
        retries = failover.attempts - 1 - (self._copy is not None)
        if retries > 0:
            tally.retried += 1
            tally.retries += retries
        if failover.group is not self._group:
            tally.fallbacks += 1

    def _rejected(self, rejections: Sequence[Rejection]) -> None:
        counts = self.world.tally.rejections
        for rejection in rejections:
            counts[rejection.reason.value] += 1
