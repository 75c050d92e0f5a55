"""One attempt of a request in simulated time: the machine's job, and the router's time-outs over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.core.errors import FailureKind, UpstreamFailure
from router.core.failover import Try
from router.core.simulator.model import FOREVER
from router.core.simulator.replica import Hold

if TYPE_CHECKING:
    from router.core.simulator.journey import Journey

CHUNKS = 8
"""In how many parts the output of a stream arrives, for those who count what is still to come."""


class Attempt:
    """Tells its journey of its first token, and of how it ended; not, where the journey itself has ended it."""

    __slots__ = ("_began", "_deadline", "_first_at", "_first_by", "_journey", "_machine", "_over", "hold", "size",
                 "step")  # fmt: skip

    def __init__(self, journey: Journey, step: Try, hold: Hold) -> None:
        policy, request = step.group.policy, journey.request
        now = journey.world.events.now
        self.step = step
        self.hold = hold
        self._journey = journey
        self._machine = journey.world.machines[step.candidate.deployment.backend]
        self.size = journey.size_on(self._machine)
        self._began = now
        self._deadline = min(now + policy.attempt_timeout, request.deadline)
        self._first_by = now + policy.first_token_timeout if request.stream else FOREVER
        self._first_at: float | None = None
        self._over = False

    @property
    def begun(self) -> bool:
        """Its first token has come."""
        return self._first_at is not None and self._first_at <= self._journey.world.events.now

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
        self._leave()
        failure.sent_bytes = self._journey.request.stream and self.begun
        self._journey.failed(self, failure, self._deadline)

    def outrun(self) -> None:
        """Another attempt of the same request has its first token: this one is no longer needed."""
        self._leave()
        self.hold.outrun(self._journey.world.events.now - self._began)

    def stop(self) -> None:
        """It is no longer needed, which tells nothing about the deployment."""
        self._leave()
        self.hold.cut_off()

    def _leave(self) -> None:
        self._over = True
        self._machine.leave(self)

    def _answered(self, end: float) -> None:
        if self._over:
            return
        self._journey.answered(self)
        self.hold.answered()
        output = self.size.output_tokens
        steps = min(output, CHUNKS)
        now, events = self._journey.world.events.now, self._journey.world.events
        for step in range(1, steps):
            events.at(now + (end - now) * step / steps, self._produced, output // steps)

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
