"""Whole runs: what requests go through, and that a run can be repeated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.simulator.demand import load
from router.core.simulator.model import MachineModel, Outage, OutageKind, Scenario, SlowDown, TracedRequest
from router.core.simulator.replica import exchange
from router.core.simulator.simulation import Setting, simulate
from router.core.simulator.tally import percentile
from router.core.types import HedgingPolicy, Prices
from router.simulate.replica import MemoryReplica
from tests.core.making import deployment
from tests.core.simulator.stage import PLAIN, catalogue, every, run

QUICK = replace(PLAIN, slots=8, prefill=1000.0, decode=100.0)


def test_an_idle_deployment_serves_each_request_in_its_own_time() -> None:
    told = run(every(5.0, 10), {"a": replace(PLAIN, latency=0.5)})
    assert (told.requests, told.served, told.failures, told.attempts_per_request) == (10, 10, 0, 1.0)
    assert told.first_token_p50 == told.first_token_p99 == pytest.approx(1.5)
    assert told.total_p50 == told.total_p99 == pytest.approx(2.5)
    assert told.shares == {"a": 1.0}


def test_a_whole_reply_has_its_first_token_at_its_end() -> None:
    told = run(every(5.0, 10, stream=False), {"a": PLAIN})
    assert told.first_token_p50 == told.total_p50 == pytest.approx(2.0)


def test_requests_wait_where_slots_are_full() -> None:
    told = run(every(1.0, 3), {"a": PLAIN})
    assert told.total_p50 == pytest.approx(3.0)
    assert told.duration == pytest.approx(6.0)


def test_a_failing_deployment_costs_attempts_and_no_request() -> None:
    down = replace(QUICK, outages=(Outage(0.0, 1000.0, OutageKind.UNAVAILABLE),))
    told = run(every(0.5, 200), {"good": QUICK, "bad": down})
    assert told.failures == 0
    assert told.shares == {"good": 1.0}
    assert told.attempt_failures["server_error"] == told.retries == told.retried_requests
    assert 0 < told.retries < 40, "the breaker has opened"
    assert told.rejections["unhealthy"] > 100


def test_a_rate_limited_deployment_is_left_alone_for_as_long_as_it_says() -> None:
    told = run(every(1.0, 120), {"good": QUICK, "short": replace(QUICK, rpm=6)})
    assert told.failures == 0
    assert told.shares["short"] == pytest.approx(12 / 120)
    assert 0 < told.rate_limited <= 4


def test_a_deployment_that_hangs_is_given_up_after_the_first_token_timeout() -> None:
    hung = replace(QUICK, outages=(Outage(0.0, 1000.0, OutageKind.HANG),))
    told = run(every(1.0, 60), {"good": QUICK, "hung": hung}, first_token_timeout=3.0)
    assert told.failures == 0
    assert told.attempt_failures["first_token_timeout"] == told.retries > 0
    assert told.first_token_p99 == pytest.approx(3.1)


def test_a_queue_too_long_times_out_and_gives_its_places_back() -> None:
    told = run(every(0.0, 5), {"a": PLAIN}, first_token_timeout=2.5, num_retries=0)
    assert (told.served, told.errors) == (1, {"timeout": 4})
    assert told.duration == pytest.approx(2.5)


def test_what_breaks_after_its_first_token_is_not_retried() -> None:
    down = replace(PLAIN, outages=(Outage(1.5, 5.0, OutageKind.REFUSE),))
    told = run(every(1.0, 1), {"a": down, "b": down})
    assert (told.served, told.retries, told.errors) == (0, 0, {"stream_broken": 1})
    assert told.attempt_failures == {"disconnected": 1}


def test_what_breaks_before_its_first_token_is_retried() -> None:
    told = run(
        every(1.0, 1),
        {"a": replace(PLAIN, outages=(Outage(0.5, 5.0, OutageKind.REFUSE),)), "b": PLAIN},
        setting=Setting(2),
    )
    assert (told.served, told.failures) == (1, 0)


def test_a_stream_that_falls_silent_is_broken() -> None:
    hung = replace(PLAIN, outages=(Outage(1.5, 100.0, OutageKind.HANG),))
    told = run(every(1.0, 1), {"a": hung}, stream_idle_timeout=10.0)
    assert told.errors == {"stream_broken": 1}
    assert told.attempt_failures == {"idle_timeout": 1}
    assert told.duration == pytest.approx(11.5)


def test_the_deadline_of_the_request_ends_it() -> None:
    told = run(every(1.0, 1, stream=False), {"a": PLAIN}, timeout=1.5)
    assert told.errors == {"timeout": 1}
    assert told.duration == pytest.approx(1.5)


def test_one_that_hangs_until_the_deadline_of_every_request_is_found_out() -> None:
    hung = replace(PLAIN, outages=(Outage(0.0, 1000.0, OutageKind.HANG),))
    told = run(every(6.0, 4, stream=False), {"a": hung}, timeout=5.0, attempt_timeout=60.0, num_retries=0)
    assert told.attempt_failures == {"attempt_timeout": 3}
    assert told.rejections == {"unhealthy": 1}, "three timeouts in a row have opened its breaker"


def test_a_prompt_too_large_falls_back_to_a_larger_window() -> None:
    served = catalogue(
        deployment("small", context_window=90),
        fallback=[deployment("large", "other", context_window=1000)],
        context_window_fallbacks=("other",),
    )
    told = simulate(every(5.0, 4), served, Scenario(PLAIN), MemoryReplica)
    assert (told.failures, told.fallbacks, told.shares) == (0, 4, {"large": 1.0})


def test_one_backend_under_two_names_is_one_machine() -> None:
    served = catalogue(deployment("a", backend="x"), deployment("b", backend="x"))
    told = simulate(every(0.0, 2), served, Scenario(PLAIN), MemoryReplica)
    assert told.duration == pytest.approx(4.0)


def test_the_cost_is_that_of_the_deployments_that_served() -> None:
    served = catalogue(deployment("a", prices=Prices(0.01, 0.1)))
    assert simulate(every(5.0, 3), served, Scenario(PLAIN), MemoryReplica).cost == pytest.approx(3 * 2.0)
    assert simulate(every(5.0, 3), catalogue(deployment("a")), Scenario(PLAIN), MemoryReplica).unpriced == 3


def test_a_slow_down_is_felt_while_it_lasts() -> None:
    slow = replace(PLAIN, slow_downs=(SlowDown(0.0, 100.0, 3.0),))
    told = run([TracedRequest(at, 100, 10, "gpt") for at in (0.0, 150.0)], {"a": slow})
    assert told.total_p99 == pytest.approx(6.0, rel=0.02)
    assert told.duration == pytest.approx(152.0)


def test_one_that_only_says_429_is_tried_by_one_request_a_rest() -> None:
    full = replace(QUICK, slots=64, latency=0.2, outages=(Outage(0.0, 60.0, OutageKind.RATE_LIMITED, retry_after=1.0),))
    told = run(every(0.01, 2000), {"full": full, "well": replace(QUICK, slots=64)})
    first_come, rests = 0.2 / 0.01, 20.0 / 1.2
    assert told.failures == 0
    assert 10 < told.rate_limited <= first_come + rests + 1


MACHINES = {
    "a": replace(QUICK, jitter=0.3),
    "b": replace(QUICK, decode=30.0, jitter=0.3),
    "c": replace(QUICK, rpm=30, outages=(Outage(20.0, 40.0, OutageKind.UNAVAILABLE),)),
}


@pytest.mark.parametrize("setting", [Setting(1), Setting(5, replicas=3, staleness=0.5)])
def test_the_same_seed_gives_the_same_run(setting: Setting) -> None:
    first, second = (run(every(0.05, 1500), MACHINES, setting=setting) for _ in range(2))
    assert first == second
    assert first != run(every(0.05, 1500), MACHINES, setting=replace(setting, seed=setting.seed + 1))


def test_every_request_ends_one_way_or_the_other_and_no_lease_is_left() -> None:
    opened: list[MemoryReplica] = []

    def open_replica(*given: object) -> MemoryReplica:
        opened.append(MemoryReplica(*given))  # type: ignore[arg-type]
        return opened[-1]

    served = catalogue(*(deployment(name) for name in MACHINES), first_token_timeout=1.0)
    trace = every(0.004, 2000)
    told = simulate(trace, served, Scenario(PLAIN, MACHINES), open_replica, Setting(3, replicas=2))
    assert told.served + sum(told.errors.values()) == len(trace)
    assert told.failures > 0
    assert [each.in_flight for replica in opened for each in replica.loads().values()] == [0] * 6


def test_replicas_hear_of_each_other() -> None:
    served = catalogue(deployment("a"))
    replicas = [MemoryReplica(served, lambda: 0.0) for _ in range(3)]
    for count, replica in enumerate(replicas):
        for each in replica.loads().values():
            each.in_flight = count + 1
    exchange(replicas, 1)
    assert [each.siblings for replica in replicas for each in replica.loads().values()] == [0, 4, 0]


def test_replicas_share_the_requests() -> None:
    machine = {"a": replace(QUICK, slots=64), "b": replace(QUICK, slots=64)}
    told = run(every(0.01, 4000), machine, setting=Setting(1, replicas=4, staleness=0.1))
    assert told.failures == 0
    assert told.shares["a"] == pytest.approx(0.5, abs=0.02)


def test_replicas_know_how_many_they_are_and_how_old_their_news_is() -> None:
    replicas = [MemoryReplica(catalogue(deployment("a")), lambda: 7.0) for _ in range(3)]
    exchange(replicas, 1)
    assert [(one.view().live, one.view().heard_at) for one in replicas[1:]] == [(3, 7.0), (1, float("-inf"))]


WIDE = replace(QUICK, slots=64, jitter=0.1)
STALLING = {
    "a": replace(WIDE, slow_downs=tuple(SlowDown(at, at + 1.0, 40.0) for at in range(20, 200, 15))),
    "b": WIDE,
    "c": WIDE,
}
"""One second in 15 `a` is slow, which meets one request in 45 that is not told of it."""


def test_hedging_takes_off_the_tail_within_its_budget() -> None:
    trace = every(0.05, 4000)
    without = run(trace, STALLING, strategy="round-robin")
    hedged = run(trace, STALLING, strategy="round-robin", hedging=HedgingPolicy())
    assert (without.hedges, without.hedges_won) == (0, 0)
    assert 0 < hedged.hedges_won <= hedged.hedges <= 0.05 * len(trace)
    assert (hedged.failures, hedged.retries) == (0, 0), "a copy is no retry"
    assert hedged.attempts_per_request == pytest.approx(1.0 + hedged.hedges / len(trace))
    assert hedged.first_token_p99 < 0.7 * without.first_token_p99


def test_a_hedge_leaves_no_lease_and_no_job_behind_and_the_prompt_of_the_slower_is_paid_for() -> None:
    opened: list[MemoryReplica] = []

    def open_replica(*given: object) -> MemoryReplica:
        opened.append(MemoryReplica(*given))  # type: ignore[arg-type]
        return opened[-1]

    prices = Prices(0.01, 0.0)
    served = catalogue(*(deployment(name, prices=prices) for name in STALLING), hedging=HedgingPolicy())
    told = simulate(every(0.05, 2000), served, Scenario(PLAIN, STALLING), open_replica)
    assert told.hedges > 0
    assert told.cost == pytest.approx(0.01 * 100 * (2000 + told.hedges))
    assert [(load.in_flight, load.outstanding, load.backlog.waiting) for load in opened[0].loads().values()] == (
        [(0, 0, 0)] * 3
    )


def test_whole_replies_are_not_hedged() -> None:
    assert run(every(0.05, 1500, stream=False), STALLING, hedging=HedgingPolicy()).hedges == 0


def test_the_oracle_retries_on_one_that_nobody_has_heard_of() -> None:
    told = run(every(0.1, 100), {"slow": QUICK, "quick": replace(QUICK, prefill=2000.0, rpm=1)}, strategy="oracle")
    assert told.failures == 0
    assert told.retries > 0


def test_the_oracle_sees_who_will_be_free_first_and_obeys_the_filters() -> None:
    machines = {"long": QUICK, "short": replace(QUICK, slots=1), "down": replace(QUICK, outages=MACHINES["c"].outages)}
    told = run(every(0.05, 1000), machines, strategy="oracle")
    assert (told.failures, told.retries) == (0, 0), "it foresees the outage"
    assert told.shares["long"] > told.shares["short"] > 0.0
    blind = run(every(0.05, 1000), machines, strategy="weighted")
    assert told.first_token_p99 < blind.first_token_p99


def test_requests_of_one_session_go_to_one_deployment() -> None:
    machines = {name: replace(QUICK, slots=64) for name in "abc"}
    assert 1.0 in run(every(0.5, 60, session="s"), machines, strategy="affinity").shares.values()
    assert len(run(every(0.5, 60), machines, strategy="affinity").shares) == 3


def test_the_load_is_the_share_of_what_the_group_can_serve() -> None:
    trace = every(1.0, 101)
    served = catalogue(deployment("a"), deployment("b"))
    assert load(trace, served, Scenario(PLAIN)) == pytest.approx(1.01)
    assert load(trace, served, Scenario(MachineModel(4, 100.0, 10.0))) == pytest.approx(1.01 / 4)
    assert load(trace, served, Scenario(PLAIN, {"b": replace(PLAIN, rpm=6)})) == pytest.approx(1.01 / 0.6)
    assert load(trace, served, Scenario(PLAIN, {"b": replace(PLAIN, tpm=660)})) == pytest.approx(1.01 / 0.6)
    assert load(trace[:1], served, Scenario(PLAIN)) == 0.0


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.9, 4.6), (1.0, 5.0)])
def test_percentiles_are_interpolated(share: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0], share) == pytest.approx(value)
    assert percentile([], share) == 0.0
