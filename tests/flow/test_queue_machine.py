"""The queue under anything that may happen: requests come, end, fail and hang up in any order, and time passes."""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.core.errors import FailureKind, UpstreamFailure
from router.core.filters import reason_against
from router.core.types import QueuePolicy
from tests.flow.queueing import Asked, Router, deployment, group, settled
from tests.virtual_time import VirtualTimeLoop

ENDS = {
    "ok": None,
    "500": UpstreamFailure(FailureKind.SERVER_ERROR, "500", status=500),
    "refused": UpstreamFailure(FailureKind.CONNECT, "refused"),
    "rejected": UpstreamFailure(FailureKind.REJECTED, "400", status=400),
}
ANSWERS = {
    "served", "gone", "429 rate_limit_exceeded", "503 overloaded", "503 no_deployment_available", "504 timeout",
    "502 upstream_error", "502 upstream_unreachable", "400 invalid_request_error",
}  # fmt: skip
SLACK = 0.01


class Queueing(RuleBasedStateMachine):
    """One model with two deployments under limits, three keys, two priorities."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.router: Router | None = None
        self.number = 0

    @initialize(
        rpm=st.sampled_from((None, 1, 3)),
        tpm=st.sampled_from((None, 50)),
        parallel=st.sampled_from((None, 1, 2)),
        waiting=st.integers(min_value=1, max_value=5),
        timeout=st.sampled_from((0.5, 10.0, 70.0)),
    )
    def begin(self, rpm: int | None, tpm: int | None, parallel: int | None, waiting: int, timeout: float) -> None:
        self.policy = QueuePolicy(waiting, timeout)
        self.rpm, self.parallel = rpm, parallel
        limited = deployment("a", rpm=rpm, tpm=tpm, max_parallel_requests=parallel)
        places = (limited, deployment("b", max_parallel_requests=1))

        async def make() -> Router:
            return Router(group(*places, queue=self.policy, num_retries=0))

        self.router = self.loop.run_until_complete(make())

    def of(self, state: str) -> list[Asked]:
        return [] if self.router is None else [each for each in self.router.all if each.state == state]

    def settle(self, seconds: float = 0.0) -> None:
        if seconds:
            self.loop.run_until_complete(asyncio.sleep(seconds))
        self.loop.run_until_complete(settled())

    @rule(
        key=st.sampled_from("abc"),
        priority=st.integers(min_value=0, max_value=1),
        tokens=st.sampled_from((1, 20, 50, 80)),
        timeout=st.sampled_from((0.3, 5.0, 200.0)),
        settles=st.booleans(),
    )
    def comes(self, key: str, priority: int, tokens: int, timeout: float, settles: bool) -> None:
        assert self.router is not None
        self.number += 1
        self.router.ask(f"{self.number}", key, priority=priority, tokens=tokens, timeout=timeout)
        if settles:
            self.settle()

    @precondition(lambda self: self.of("runs"))
    @rule(which=st.integers(min_value=0, max_value=9), how=st.sampled_from(sorted(ENDS)), settles=st.booleans())
    def ends(self, which: int, how: str, settles: bool) -> None:
        running = [each for each in self.of("runs") if each.sent is not None and not each.sent.done()]
        if running:
            running[which % len(running)].answered(ENDS[how])
        if settles:
            self.settle()

    @precondition(lambda self: self.of("waits") or self.of("runs"))
    @rule(which=st.integers(min_value=0, max_value=9), turns=st.integers(min_value=0, max_value=6))
    def hangs_up(self, which: int, turns: int) -> None:
        there = self.of("waits") + self.of("runs")
        task = there[which % len(there)].task
        assert task is not None
        for _ in range(turns):
            self.loop.run_until_complete(asyncio.sleep(0))
        task.cancel()

    @rule(seconds=st.sampled_from((0.1, 0.5, 1.0, 7.0, 59.0, 61.0)))
    def time_passes(self, seconds: float) -> None:
        self.settle(seconds)

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        router = self.router
        if router is None:
            return
        self.settle()
        now = router.loop.time()
        waiting = self.of("waits")
        queue = router.runner.queue
        assert sum(queue.waiting().values()) == len(waiting) <= self.policy.max_waiting
        assert router.in_flight == len(self.of("runs"))
        assert {each.state for each in router.all} <= ANSWERS | {"waits", "runs"}
        for asked in waiting:
            assert now <= min(asked.asked + self.policy.timeout, asked.route.deadline) + SLACK
        self.nobody_waits_beside_a_free_slot()
        for candidate in router.store.candidates():
            limit = candidate.deployment.max_parallel_requests
            assert limit is None or candidate.load.in_flight <= limit
            meter = candidate.load.meter
            if self.rpm is not None and meter is not None and meter.requests is not None:
                assert meter.requests.total(now) <= self.rpm

    def nobody_waits_beside_a_free_slot(self) -> None:
        """Whoever is next in line can not be sent anywhere."""
        assert self.router is not None
        room = self.router.runner.queue._rooms.get("gpt")
        if room is None:
            return
        first = next(iter(room.line))
        view = self.router.store.view()
        for candidate in self.router.store.candidates():
            assert reason_against(first.route, candidate, view) is not None

    def teardown(self) -> None:
        if self.router is not None:
            for asked in self.of("runs"):
                if asked.sent is not None and not asked.sent.done():
                    asked.answered()
            self.settle()
            for asked in [*self.of("waits"), *self.of("runs")]:
                assert asked.task is not None
                asked.task.cancel()
            self.settle()
            assert self.router.in_flight == 0
            assert len(self.router.runner.queue) == 0
            for candidate in self.router.store.candidates():
                assert candidate.load.meter is None or candidate.load.meter.in_flight == 0
        self.loop.close()


TestQueueing = Queueing.TestCase
TestQueueing.settings = settings(max_examples=150, stateful_step_count=40)
