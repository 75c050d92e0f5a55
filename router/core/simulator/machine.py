"""A modelled deployment: slots, a queue before them, limits and outages."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heapreplace
from typing import NamedTuple, Protocol

from router.core.errors import FailureKind, UpstreamFailure
from router.core.simulator.events import EventLoop
from router.core.simulator.model import FOREVER, MachineModel, Outage, OutageKind
from router.core.simulator.pace import Pace
from router.core.window import Window

_LEAST_RETRY_AFTER = 0.001


class Size(NamedTuple):
    """What a job asks for, in tokens; `work` multiplies how long this one takes."""

    prompt_tokens: int
    output_tokens: int
    work: float


class Job(Protocol):
    """One attempt, as the machine sees it."""

    @property
    def size(self) -> Size: ...

    def started(self, first: float, end: float) -> None:
        """It has a slot; if nothing interferes, its first token leaves at `first` and its last at `end`."""

    def refused(self, failure: UpstreamFailure) -> None:
        """It was not served, or is no longer."""


class Machine:
    """`window`: the largest prompt it takes, in tokens."""

    def __init__(self, model: MachineModel, events: EventLoop, window: int | None = None) -> None:
        self.model = model
        self._events = events
        self._window = window
        self._origin = events.now
        self.pace = Pace(model, self._origin)
        self._serving: dict[Job, float] = {}  # to when it ends; in order, so that a run can be repeated
        self._waiting: set[Job] = set()
        self._queue: deque[Job] = deque()
        self._frees: list[float] | None = None
        """When each slot will be free once everyone here has been served, in clock seconds; None: to be worked out."""
        self._requests, self._tokens = Window(), Window()
        for outage in model.outages:
            if outage.kind is OutageKind.REFUSE:
                events.at(self._origin + outage.start, self._drop_all)

    def submit(self, job: Job) -> None:
        """Send it. The job hears `started`, at once or later, or `refused`, never at once."""
        failure = self._refusal(job)
        if failure is not None:
            self._events.at(self._events.now + self.model.latency, job.refused, failure)
        elif len(self._serving) < self.model.slots:
            self._start(job)
        else:
            self._waiting.add(job)
            self._queue.append(job)
        if failure is None and self._frees is not None:
            self._foresee(job.size)

    def leave(self, job: Job) -> None:
        """The router is no longer interested: its slot, or its place in the queue, is free."""
        self._frees = None
        self._waiting.discard(job)
        if job in self._serving:
            self._ended(job)

    def first_token_at(self, size: Size) -> float:
        """When a job of that size would send its first token if it were sent now and nobody left early; infinite if
        never."""
        if self._outage() is not None:
            return FOREVER
        if self._frees is None:
            self._frees = [*self._serving.values(), *(0.0 for _ in range(self.model.slots - len(self._serving)))]
            heapify(self._frees)
            for waiting in self._queue:
                if waiting in self._waiting:
                    self._foresee(waiting.size)
        return self._first(max(self._frees[0], self._events.now), size)

    def _foresee(self, size: Size) -> None:
        assert self._frees is not None
        start = max(self._frees[0], self._events.now)
        seconds = self.model.seconds(size.prompt_tokens, size.output_tokens) * size.work
        heapreplace(self._frees, self.pace.finish(start, seconds))

    def _first(self, start: float, size: Size) -> float:
        """When a job that has its slot at `start` sends its first token."""
        return self.pace.finish(start, size.prompt_tokens / self.model.prefill * size.work)

    def _start(self, job: Job) -> None:
        size = job.size
        first = self._first(self._events.now, size)
        end = self.pace.finish(first, size.output_tokens / self.model.decode * size.work)
        self._serving[job] = end
        if end < FOREVER:
            self._events.at(end, self._ended, job)
        job.started(first, end)

    def _ended(self, job: Job) -> None:
        if job not in self._serving:
            return
        del self._serving[job]
        while self._queue and len(self._serving) < self.model.slots:
            following = self._queue.popleft()
            if following in self._waiting:
                self._waiting.remove(following)
                self._start(following)

    def _drop_all(self) -> None:
        """The process is gone, and every connection with it."""
        dropped = [*self._serving, *(job for job in self._queue if job in self._waiting)]
        self._serving.clear()
        self._waiting.clear()
        self._queue.clear()
        self._frees = None
        for job in dropped:
            job.refused(UpstreamFailure(FailureKind.DISCONNECTED, "closed the connection"))

    def _refusal(self, job: Job) -> UpstreamFailure | None:
        outage = self._outage()
        if outage is not None:
            return _failure(outage)
        if self._window is not None and job.size.prompt_tokens > self._window:
            return UpstreamFailure(FailureKind.CONTEXT_WINDOW, "context window exceeded", status=400)
        wait = self._over_limit(job)
        if wait is None:
            return None
        return UpstreamFailure(FailureKind.RATE_LIMITED, "429", status=429, retry_after=max(wait, _LEAST_RETRY_AFTER))

    def _outage(self) -> Outage | None:
        """What it answers with in place of serving, now."""
        for outage in self.model.outages:
            if outage.start <= self._events.now - self._origin < outage.end and outage.kind is not OutageKind.HANG:
                return outage
        return None

    def _over_limit(self, job: Job) -> float | None:
        """Seconds until there is room for it; None where there is now, and then it is counted."""
        now, model = self._events.now, self.model
        tokens = job.size.prompt_tokens + job.size.output_tokens
        frees = now
        if model.rpm is not None:
            frees = self._requests.frees_at(now, 1, model.rpm)
        if model.tpm is not None:
            frees = max(frees, self._tokens.frees_at(now, min(tokens, model.tpm), model.tpm))
        if frees > now:
            return frees - now
        if model.rpm is not None:
            self._requests.add(now, 1)
        if model.tpm is not None:
            self._tokens.add(now, tokens)
        return None


def _failure(outage: Outage) -> UpstreamFailure:
    if outage.kind is OutageKind.REFUSE:
        return UpstreamFailure(FailureKind.CONNECT, "refused the connection")
    if outage.kind is OutageKind.RATE_LIMITED:
        return UpstreamFailure(FailureKind.RATE_LIMITED, "429", status=429, retry_after=outage.retry_after)
    return UpstreamFailure(FailureKind.SERVER_ERROR, "503", status=503, retry_after=outage.retry_after)
