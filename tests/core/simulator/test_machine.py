"""A modelled deployment: what it makes of the jobs it is given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.simulator.events import ORIGIN, EventLoop
from router.core.simulator.machine import Machine, Size
from router.core.simulator.model import FOREVER, MachineModel, Outage, OutageKind
from tests.core.simulator.stage import PLAIN

PLAIN_SIZE = Size(100, 10, 1.0)


@dataclass(eq=False)
class Sent:
    """`heard`: what it was told, and when."""

    events: EventLoop
    size: Size = PLAIN_SIZE
    heard: list[tuple[float, str]] = field(default_factory=list)
    failure: UpstreamFailure | None = None

    def started(self, first: float, end: float) -> None:
        self.heard.append((self.events.now - ORIGIN, f"{first - ORIGIN:g} {end - ORIGIN:g}"))

    def refused(self, failure: UpstreamFailure) -> None:
        self.failure = failure
        self.heard.append((self.events.now - ORIGIN, failure.kind.value))


class Bench:
    """Submits jobs to one machine."""

    def __init__(self, model: MachineModel, window: int | None = None) -> None:
        self.events = EventLoop()
        self.machine = Machine(model, self.events, window)

    def send(self, at: float, **sizes: float) -> Sent:
        job = Sent(self.events, PLAIN_SIZE._replace(**sizes))  # type: ignore[arg-type]
        self.events.at(ORIGIN + at, self.machine.submit, job)
        return job

    def run(self) -> None:
        self.events.run(lambda: False)


def test_a_job_takes_as_long_as_its_tokens() -> None:
    bench = Bench(PLAIN)
    job = bench.send(0.0, prompt_tokens=50, output_tokens=20)
    bench.run()
    assert job.heard == [(0.0, "0.5 2.5")]


def test_an_unusual_job_takes_longer() -> None:
    bench = Bench(PLAIN)
    job = bench.send(0.0, work=2.0)
    bench.run()
    assert job.heard == [(0.0, "2 4")]


def test_further_jobs_queue_first_come_first_served() -> None:
    bench = Bench(replace(PLAIN, slots=2))
    jobs = [bench.send(0.1 * place) for place in range(4)]
    bench.run()
    assert [job.heard[0][0] for job in jobs] == pytest.approx([0.0, 0.1, 2.0, 2.1])


def test_who_leaves_frees_a_slot_or_a_place_in_the_queue() -> None:
    bench = Bench(PLAIN)
    first, second, third = (bench.send(0.0) for _ in range(3))
    bench.events.at(ORIGIN + 0.5, bench.machine.leave, second)
    bench.events.at(ORIGIN + 1.0, bench.machine.leave, first)
    bench.run()
    assert [job.heard for job in (second, third)] == [[], [(1.0, "2 3")]]


@pytest.mark.parametrize(
    ("kind", "failure", "status"),
    [
        (OutageKind.REFUSE, FailureKind.CONNECT, None),
        (OutageKind.UNAVAILABLE, FailureKind.SERVER_ERROR, 503),
        (OutageKind.RATE_LIMITED, FailureKind.RATE_LIMITED, 429),
    ],
)
def test_an_outage_is_answered_after_the_latency(kind: OutageKind, failure: FailureKind, status: int | None) -> None:
    bench = Bench(replace(PLAIN, latency=0.25, outages=(Outage(10.0, 20.0, kind, 3.0),)))
    before, within, after = bench.send(0.0), bench.send(10.0), bench.send(20.0)
    bench.run()
    assert within.heard == [(10.25, failure.value)]
    assert within.failure is not None
    assert within.failure.status == status
    assert within.failure.retry_after == (None if kind is OutageKind.REFUSE else 3.0)
    assert [job.heard[0][0] for job in (before, after)] == [0.0, 20.0]


def test_a_process_that_goes_down_takes_its_connections_with_it() -> None:
    bench = Bench(replace(PLAIN, outages=(Outage(1.5, 20.0, OutageKind.REFUSE),)))
    serving, waiting = bench.send(0.0), bench.send(0.0)
    bench.run()
    assert serving.heard == [(0.0, "1 2"), (1.5, "disconnected")]
    assert waiting.heard == [(1.5, "disconnected")]


def test_a_machine_that_hangs_goes_on_afterwards() -> None:
    bench = Bench(replace(PLAIN, outages=(Outage(0.5, 10.0, OutageKind.HANG),)))
    job = bench.send(0.0)
    bench.run()
    assert job.heard == [(0.0, "10.5 11.5")]


def test_a_machine_that_hangs_for_ever_ends_no_simulation() -> None:
    bench = Bench(replace(PLAIN, outages=(Outage(0.5, float("inf"), OutageKind.HANG),)))
    job = bench.send(0.0)
    bench.run()
    assert job.heard == [(0.0, "inf inf")]
    assert bench.events.now == ORIGIN


def test_requests_beyond_the_limit_get_a_429_that_says_when_to_come_back() -> None:
    bench = Bench(replace(PLAIN, slots=9, rpm=2))
    jobs = [bench.send(float(at)) for at in (0, 1, 2)]
    bench.run()
    failure = jobs[2].failure
    assert [job.failure for job in jobs[:2]] == [None, None]
    assert failure is not None
    assert failure.retry_after is not None
    assert failure.retry_after == pytest.approx(58.0)
    again = Bench(replace(PLAIN, slots=9, rpm=2))
    later = [again.send(at) for at in (0.0, 1.0, 2.0 + failure.retry_after)]
    again.run()
    assert [job.failure for job in later] == [None, None, None]


def test_tokens_beyond_the_limit_get_a_429_but_one_large_request_is_served() -> None:
    bench = Bench(replace(PLAIN, slots=9, tpm=150))
    large, small = bench.send(0.0, prompt_tokens=400), bench.send(1.0)
    bench.run()
    assert large.failure is None
    assert small.failure is not None
    assert small.failure.kind is FailureKind.RATE_LIMITED


def test_a_prompt_larger_than_the_window_is_refused() -> None:
    bench = Bench(PLAIN, window=99)
    job = bench.send(0.0)
    bench.run()
    assert job.heard == [(0.0, "context_window")]


# What only the oracle may ask.


@pytest.mark.parametrize(("queued", "moment"), [(0, 1.0), (1, 3.0), (2, 3.0), (3, 5.0)])
def test_it_can_be_asked_when_one_more_would_be_answered(queued: int, moment: float) -> None:
    bench = Bench(replace(PLAIN, slots=2))
    for _ in range(1 + queued):
        bench.machine.submit(Sent(bench.events))
    assert bench.machine.first_token_at(PLAIN_SIZE) - ORIGIN == pytest.approx(moment)


def test_what_is_foreseen_follows_those_who_come_and_go() -> None:
    bench = Bench(PLAIN)
    first, second = Sent(bench.events), Sent(bench.events)
    bench.machine.submit(first)
    assert bench.machine.first_token_at(second.size) - ORIGIN == pytest.approx(3.0)
    bench.machine.submit(second)
    assert bench.machine.first_token_at(first.size) - ORIGIN == pytest.approx(5.0)
    bench.machine.leave(second)
    assert bench.machine.first_token_at(second.size) - ORIGIN == pytest.approx(3.0)


def test_one_that_is_down_or_hangs_for_good_would_never_answer() -> None:
    down = Bench(replace(PLAIN, outages=(Outage(0.0, 9.0, OutageKind.UNAVAILABLE),)))
    hung = Bench(replace(PLAIN, outages=(Outage(0.0, FOREVER, OutageKind.HANG),)))
    for bench in (down, hung):
        assert bench.machine.first_token_at(PLAIN_SIZE) == FOREVER
