"""One request's way through the router, driven as the runner drives it, in simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from random import Random
from typing import NamedTuple

from router.core.catalogue import Catalogue
from router.core.errors import FailureKind, UpstreamFailure
from router.core.failover import Failover, Stop, Try, Wait
from router.core.load import Candidate
from router.core.plan import Rejection
from router.core.simulator.events import EventLoop
from router.core.simulator.foreseen import ORACLE, Foreseen
from router.core.simulator.machine import Machine
from router.core.simulator.model import FOREVER
from router.core.simulator.replica import Hold, Replica
from router.core.simulator.tally import Tally
from router.core.types import ModelGroup, RouteRequest, Usage

CHUNKS = 8
"""In how many parts the output of a stream arrives, for those who count what is still to come."""


class World(NamedTuple):
    """What all journeys share. `machines` by backend."""

    events: EventLoop
    catalogue: Catalogue
    machines: dict[str, Machine]
    tally: Tally
    rng: Random


class Probe(NamedTuple):
    """The size of a job that is not sent."""

    prompt_tokens: int
    output_tokens: int
    work: float


class Journey:
    """`usage` is what the request will turn out to take; `deviation` how unusually long that takes, in standard
    deviations."""

    __slots__ = ("_failover", "_group", "_replica", "began", "deviation", "request", "usage", "world")

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
        if group.policy.strategy == ORACLE:
            self._failover: Failover = Foreseen(
                request, group, world.catalogue, world.rng, self._rejected, self._first_token_at
            )
        else:
            self._failover = Failover(request, group, world.catalogue, world.rng, self._rejected)

    def go_on(self) -> None:
        """Take the next step."""
        step = self._failover.next(self._replica.view())
        if self._failover.denied:
            self._failover.denied = ""
            self.world.tally.retries_denied += 1
        if isinstance(step, Try):
            self.world.tally.attempts += 1
            Attempt(self, step, self._replica.acquire(step, self.request)).send()
        elif isinstance(step, Wait):
            self.world.events.at(self.world.events.now + step.seconds, self.go_on)
        elif isinstance(step, Stop):
            self._over(step.error.code)

    def served(self, attempt: Attempt, first_at: float) -> None:
        now, tally = self.world.events.now, self.world.tally
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

    def failed(self, attempt: Attempt, failure: UpstreamFailure, cut_short: bool) -> None:
        """`cut_short`: by the request's own deadline."""
        tally = self.world.tally
        verdict = self._failover.failed(attempt.step, failure)
        if cut_short:
            attempt.hold.cut_off()
        else:
            attempt.hold.failed(verdict, failure, attempt.step.counts)
        tally.attempt_failures[failure.kind.value] += 1
        if failure.kind is FailureKind.RATE_LIMITED:
            tally.rate_limited += 1
        if failure.sent_bytes:
            self._over("stream_broken")
        else:
            self.go_on()

    def _first_token_at(self, candidate: Candidate) -> float:
        machine = self.world.machines[candidate.deployment.backend]
        work = exp(machine.model.jitter * self.deviation)
        return machine.first_token_at(Probe(self.usage.prompt_tokens, self.usage.completion_tokens, work))

    def _over(self, error: str) -> None:
        tally, failover = self.world.tally, self._failover
        tally.over += 1
        if error:
            tally.errors[error] += 1
        if failover.attempts > 1:
            tally.retried += 1
            tally.retries += failover.attempts - 1
        if failover.group is not self._group:
            tally.fallbacks += 1

    def _rejected(self, rejections: Sequence[Rejection]) -> None:
        counts = self.world.tally.rejections
        for rejection in rejections:
            counts[rejection.reason.value] += 1


class Attempt:
    """One attempt: the machine's job, and the router's time-outs over it."""

    __slots__ = ("_began", "_deadline", "_first_at", "_first_by", "_journey", "_machine", "_over", "hold", "step")

    def __init__(self, journey: Journey, step: Try, hold: Hold) -> None:
        policy, request = step.group.policy, journey.request
        now = journey.world.events.now
        self.step = step
        self.hold = hold
        self._journey = journey
        self._machine = journey.world.machines[step.candidate.deployment.backend]
        self._began = now
        self._deadline = min(now + policy.attempt_timeout, request.deadline)
        self._first_by = now + policy.first_token_timeout if request.stream else FOREVER
        self._first_at: float | None = None
        self._over = False

    @property
    def prompt_tokens(self) -> int:
        return self._journey.usage.prompt_tokens

    @property
    def output_tokens(self) -> int:
        return self._journey.usage.completion_tokens

    @property
    def work(self) -> float:
        return exp(self._machine.model.jitter * self._journey.deviation)

    def send(self) -> None:
        self._machine.submit(self)
        if self._first_at is None:  # it queues
            self._end_at(*self._time_out())

    def started(self, first: float, end: float) -> None:
        machine = self._machine
        first, end = first + machine.model.latency, end + machine.model.latency
        stream = self._journey.request.stream
        self._first_at = first if stream else end
        when, kind = self._time_out()
        if stream and first <= self._first_by:
            when, kind = self._deadline, FailureKind.ATTEMPT_TIMEOUT
            silent = machine.pace.silence(first, end, self.step.group.policy.stream_idle_timeout)
            if silent < when:
                when, kind = silent, FailureKind.IDLE_TIMEOUT
        if stream and first < when:
            self._journey.world.events.at(first, self._answered, min(end, when))
        if end <= when:
            self._journey.world.events.at(end, self._served)
        else:
            self._end_at(when, kind)

    def refused(self, failure: UpstreamFailure) -> None:
        if self._over:
            return
        self._over = True
        self._machine.leave(self)
        now = self._journey.world.events.now
        failure.sent_bytes = self._journey.request.stream and self._first_at is not None and self._first_at <= now
        late = failure.kind is FailureKind.ATTEMPT_TIMEOUT
        self._journey.failed(self, failure, late and (failure.sent_bytes or now >= self._journey.request.deadline))

    def _answered(self, end: float) -> None:
        if self._over:
            return
        self.hold.answered()
        steps = min(self.output_tokens, CHUNKS)
        now, events = self._journey.world.events.now, self._journey.world.events
        for step in range(1, steps):
            events.at(now + (end - now) * step / steps, self._produced, self.output_tokens // steps)

    def _produced(self, tokens: int) -> None:
        if not self._over:
            self.hold.produced(tokens)

    def _time_out(self) -> tuple[float, FailureKind]:
        """When the router gives up on an attempt that has sent nothing, and what it calls that."""
        if self._first_by < self._deadline:
            return self._first_by, FailureKind.FIRST_TOKEN_TIMEOUT
        return self._deadline, FailureKind.ATTEMPT_TIMEOUT

    def _end_at(self, when: float, kind: FailureKind) -> None:
        self._journey.world.events.at(when, self._timed_out, kind, self._first_at)

    def _timed_out(self, kind: FailureKind, known: float | None) -> None:
        """`known`: when the first token was due as this time-out was set. Once it has changed, another one holds."""
        if known == self._first_at:
            self.refused(UpstreamFailure(kind, kind.value.replace("_", " ")))

    def _served(self) -> None:
        if self._over:
            return
        self._over = True
        now, journey, first_at = self._journey.world.events.now, self._journey, self._first_at
        assert first_at is not None
        first_token = first_at - self._began if journey.request.stream else None
        self.hold.served(now - self._began, first_token, journey.usage)
        journey.served(self, first_at)
