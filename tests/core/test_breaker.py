"""A walk through the breaker's states on a clock that stands still until it is moved."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.core.breaker import Breaker, BreakerState
from router.core.types import CooldownPolicy
from tests.core.making import POLICY

NOW = 1000.0


def fail(breaker: Breaker, now: float = NOW, *, connection: bool = False, spare: bool = False) -> bool:
    return breaker.failed(now, POLICY, False, connection=connection, spare=spare)


def connection_failures(breaker: Breaker, count: int, now: float = NOW) -> list[bool]:
    return [fail(breaker, now, connection=True) for _ in range(count)]


def succeed(breaker: Breaker, now: float = NOW, count: int = 1) -> None:
    for _ in range(count):
        breaker.succeeded(now, POLICY, False)


def opened(now: float = NOW) -> Breaker:
    breaker = Breaker()
    connection_failures(breaker, 3, now)
    assert breaker.state(now) is BreakerState.OPEN
    return breaker


def trial_fails(breaker: Breaker, now: float) -> None:
    assert breaker.start(now)
    assert breaker.failed(now, POLICY, True, connection=False, spare=False)


def trial_succeeds(breaker: Breaker, now: float) -> None:
    assert breaker.start(now)
    assert breaker.succeeded(now, POLICY, True)


def test_a_new_breaker_is_closed_and_admits() -> None:
    breaker = Breaker()
    assert breaker.state(NOW) is BreakerState.CLOSED
    assert breaker.admits(NOW)
    assert not breaker.start(NOW), "a request to a closed backend is no trial"


def test_connection_failures_in_a_row_open_it_at_the_allowed_number() -> None:
    breaker = Breaker()
    assert connection_failures(breaker, 3) == [False, False, True]
    assert breaker.state(NOW) is BreakerState.OPEN
    assert not breaker.admits(NOW)


@pytest.mark.parametrize("interruption", ["success", "other failure"])
def test_connection_failures_that_are_not_in_a_row_do_not_open_it(interruption: str) -> None:
    breaker = Breaker()
    connection_failures(breaker, 2)
    if interruption == "success":
        succeed(breaker)
    else:
        fail(breaker)
    assert connection_failures(breaker, 2) == [False, False]
    assert breaker.state(NOW) is BreakerState.CLOSED


def test_connection_failures_open_even_the_last_closed_deployment() -> None:
    breaker = Breaker()
    results = [fail(breaker, connection=True, spare=True) for _ in range(3)]
    assert results == [False, False, True]


def test_the_error_rate_says_nothing_below_min_requests() -> None:
    breaker = Breaker()
    assert not any(fail(breaker) for _ in range(9))
    assert fail(breaker), "the tenth request makes the rate count"


def test_the_error_rate_opens_it_exactly_when_reached() -> None:
    breaker = Breaker()
    succeed(breaker, count=6)
    assert [fail(breaker) for _ in range(6)] == [False] * 5 + [True], "6 of 12 is one half"


def test_an_error_rate_below_the_limit_does_not_open_it() -> None:
    breaker = Breaker()
    succeed(breaker, count=20)
    assert not any(fail(breaker) for _ in range(19))


def test_outcomes_older_than_the_window_are_forgotten() -> None:
    breaker = Breaker()
    for _ in range(9):
        fail(breaker, NOW)
    assert not fail(breaker, NOW + POLICY.window + 1.0)
    assert breaker.state(NOW + POLICY.window + 1.0) is BreakerState.CLOSED


def test_outcomes_within_the_window_are_remembered() -> None:
    breaker = Breaker()
    for _ in range(9):
        fail(breaker, NOW)
    assert fail(breaker, NOW + POLICY.window * 0.85)


def test_successes_go_stale_too_and_no_longer_dilute_the_rate() -> None:
    breaker = Breaker()
    succeed(breaker, NOW, count=100)
    later = NOW + POLICY.window + 1.0
    assert [fail(breaker, later) for _ in range(10)] == [False] * 9 + [True]


def test_outcomes_are_remembered_through_every_part_of_the_window() -> None:
    breaker = Breaker()
    for _ in range(9):
        fail(breaker, NOW)
    for second in range(3, 30, 3):
        succeed(breaker, NOW + second)
    assert fail(breaker, NOW + 27.0), "10 of 19"


def test_a_part_of_the_window_starts_empty_when_its_turn_comes_again() -> None:
    breaker = Breaker()
    for _ in range(9):
        fail(breaker, NOW)
    for second in range(3, 33, 3):
        succeed(breaker, NOW + second)
    assert not fail(breaker, NOW + 30.0), "1 of 11"
    assert not any(fail(breaker, NOW + 30.0) for _ in range(8)), "9 of 19"


def test_the_window_slides_by_parts_in_place_of_jumping() -> None:
    breaker = Breaker()
    for second in range(0, 60, 3):  # a failure and two successes every three seconds: a third fails, for two windows
        succeed(breaker, NOW + second, count=2)
        assert not fail(breaker, NOW + second)


def test_groups_with_windows_of_different_lengths_do_not_wipe_each_others_history() -> None:
    short, long = replace(POLICY, window=5.0), replace(POLICY, window=300.0)
    breaker = Breaker()
    breaker.succeeded(NOW - 400.0, short, False)
    breaker.succeeded(NOW - 400.0, long, False)
    results = []
    for place in range(10):
        policy = short if place % 2 else long
        results.append(breaker.failed(NOW + place * 0.1, policy, False, connection=False, spare=False))
    assert results == [False] * 9 + [True], "10 of 10 in the last 5 seconds"


def test_each_group_judges_by_its_own_window() -> None:
    short, long = replace(POLICY, window=5.0), replace(POLICY, window=300.0)
    breaker = Breaker()
    breaker.succeeded(NOW - 400.0, short, False)
    for _ in range(10):
        breaker.succeeded(NOW, long, False)
    for _ in range(9):
        breaker.failed(NOW, long, False, connection=False, spare=False)
    later = NOW + 20.0
    assert not breaker.failed(later, short, False, connection=False, spare=False), "1 of 1 is too few"
    assert breaker.failed(later, long, False, connection=False, spare=False), "11 of 21 in the last 300 seconds"


def test_a_long_silence_leaves_nothing_behind() -> None:
    breaker = Breaker()
    for _ in range(9):
        fail(breaker, NOW)
    assert not fail(breaker, NOW + 1e6)


def test_the_last_closed_deployment_is_never_opened_on_error_rate() -> None:
    breaker = Breaker()
    assert not any(fail(breaker, spare=True) for _ in range(50))
    assert breaker.state(NOW) is BreakerState.CLOSED
    assert fail(breaker, spare=False), "what was counted meanwhile counts once another one has closed"


def test_it_stays_open_for_the_base_time_and_is_half_open_then() -> None:
    breaker = opened(NOW)
    assert breaker.state(NOW + 4.999) is BreakerState.OPEN
    assert breaker.state(NOW + 5.0) is BreakerState.HALF_OPEN


def test_each_failed_trial_doubles_the_time_up_to_the_longest() -> None:
    now = NOW
    breaker = opened(now)
    times = []
    for _ in range(7):
        assert breaker.open_until is not None
        times.append(breaker.open_until - now)
        now = breaker.open_until
        trial_fails(breaker, now)
    assert times == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_doubling_for_ever_does_not_overflow() -> None:
    breaker, now = opened(), NOW
    for _ in range(2000):
        assert breaker.open_until is not None
        now = breaker.open_until
        trial_fails(breaker, now)
    assert breaker.open_until == now + POLICY.max


def test_half_open_lets_one_trial_through_at_a_time() -> None:
    breaker = opened()
    now = NOW + 5.0
    assert breaker.admits(now)
    assert breaker.start(now)
    assert not breaker.admits(now)
    assert not breaker.start(now), "a second request is no trial"


def test_an_open_breaker_gives_no_trial() -> None:
    breaker = opened()
    assert not breaker.start(NOW + 4.9)
    assert breaker.admits(NOW + 5.0), "nothing was taken"


def test_a_successful_trial_closes_it() -> None:
    breaker = opened()
    trial_succeeds(breaker, NOW + 5.0)
    assert breaker.state(NOW + 5.0) is BreakerState.CLOSED
    assert breaker.admits(NOW + 5.0)


def test_an_abandoned_trial_lets_the_next_request_try() -> None:
    breaker = opened()
    assert breaker.start(NOW + 5.0)
    breaker.abandon_trial()
    assert breaker.state(NOW + 5.0) is BreakerState.HALF_OPEN
    assert breaker.start(NOW + 5.0)


def test_a_record_from_before_it_opened_is_wiped_when_it_closes() -> None:
    breaker = Breaker()
    for _ in range(10):
        fail(breaker)
    assert breaker.state(NOW) is BreakerState.OPEN
    trial_succeeds(breaker, NOW + 5.0)
    assert not any(fail(breaker, NOW + 5.0) for _ in range(9))


def test_a_success_from_before_it_opened_does_not_close_it() -> None:
    breaker = opened()
    assert not breaker.succeeded(NOW + 1.0, POLICY, False)
    assert breaker.state(NOW + 1.0) is BreakerState.OPEN


def test_a_failure_from_before_it_opened_neither_prolongs_nor_doubles() -> None:
    breaker = opened()
    assert connection_failures(breaker, 10, NOW + 1.0) == [False] * 10
    assert breaker.open_until == NOW + 5.0
    trial_fails(breaker, NOW + 5.0)
    assert breaker.open_until == NOW + 15.0


def test_a_late_failure_does_not_end_somebody_elses_trial() -> None:
    breaker = opened()
    assert breaker.start(NOW + 5.0)
    fail(breaker, NOW + 5.0)
    assert not breaker.admits(NOW + 5.0)


def test_flapping_goes_on_doubling() -> None:
    breaker = opened(NOW)
    trial_succeeds(breaker, NOW + 5.0)
    connection_failures(breaker, 3, NOW + 6.0)
    assert breaker.open_until == NOW + 16.0
    trial_succeeds(breaker, NOW + 16.0)
    connection_failures(breaker, 3, NOW + 16.0 + POLICY.window)
    assert breaker.open_until == NOW + 16.0 + POLICY.window + 20.0


def test_a_calm_window_resets_the_doubling() -> None:
    breaker = opened(NOW)
    trial_succeeds(breaker, NOW + 5.0)
    calm = NOW + 5.0 + POLICY.window + 0.1
    connection_failures(breaker, 3, calm)
    assert breaker.open_until == calm + 5.0


def test_a_calm_window_resets_the_doubling_also_where_it_is_opened_from_outside() -> None:
    breaker = opened(NOW)
    trial_fails(breaker, NOW + 5.0)
    trial_succeeds(breaker, NOW + 15.0)
    calm = NOW + 1000.0
    assert breaker.cool(calm, calm + 2.0, POLICY)
    trial_fails(breaker, calm + 2.0)
    assert breaker.open_until == calm + 2.0 + 5.0


def test_cooling_opens_a_closed_breaker() -> None:
    breaker = Breaker()
    assert breaker.cool(NOW, NOW + 17.0, POLICY)
    assert breaker.state(NOW + 16.9) is BreakerState.OPEN
    assert breaker.state(NOW + 17.0) is BreakerState.HALF_OPEN


@pytest.mark.parametrize(("until", "expected"), [(2.0, 5.0), (5.0, 5.0), (50.0, 50.0), (500.0, 500.0)])
def test_a_later_deadline_wins_and_an_earlier_one_never_does(until: float, expected: float) -> None:
    breaker = opened(NOW)
    assert not breaker.cool(NOW, NOW + until, POLICY), "it was open before"
    assert breaker.open_until == NOW + expected


def test_a_failed_trial_does_not_shorten_a_later_deadline() -> None:
    breaker = opened(NOW)
    assert breaker.start(NOW + 5.0)
    breaker.cool(NOW + 5.0, NOW + 500.0, POLICY)
    breaker.failed(NOW + 6.0, POLICY, True, connection=False, spare=False)
    assert breaker.open_until == NOW + 500.0


def test_cooling_counts_as_no_opening() -> None:
    breaker = Breaker()
    breaker.cool(NOW, NOW + 1.0, POLICY)
    trial_fails(breaker, NOW + 1.0)
    assert breaker.open_until == NOW + 6.0


def test_one_allowed_failure_opens_at_once() -> None:
    breaker = Breaker()
    assert breaker.failed(NOW, CooldownPolicy(allowed_fails=1), False, connection=True, spare=True)


def test_probes_that_fail_in_a_row_open_it_and_a_good_one_closes_it() -> None:
    breaker = Breaker()
    assert [breaker.probe_failed(NOW, POLICY, 1.0) for _ in range(3)] == [False, False, True]
    assert breaker.probe_succeeded(NOW + 1.0)
    assert breaker.state(NOW + 1.0) is BreakerState.CLOSED


def test_requests_that_go_well_do_not_hide_probes_that_fail() -> None:
    breaker = Breaker()
    for opens in (False, False, True):
        succeed(breaker)
        assert breaker.probe_failed(NOW, POLICY, 1.0) is opens


def test_a_probe_that_fails_keeps_it_open_until_the_next() -> None:
    breaker = opened()
    assert not breaker.probe_failed(NOW + 4.0, POLICY, 30.0)
    assert breaker.state(NOW + 33.0) is BreakerState.OPEN
    assert breaker.state(NOW + 34.0) is BreakerState.HALF_OPEN
    assert breaker.own_until == NOW + 34.0, "siblings are told of that, too"


def test_a_good_probe_closes_what_refused_connections_opened_and_not_what_hung() -> None:
    for refused in (True, False):
        breaker = Breaker()
        for _ in range(3):
            breaker.failed(NOW, POLICY, False, connection=True, spare=False, refused=refused)
        assert breaker.probe_succeeded(NOW + 1.0) is refused


def test_a_good_probe_does_not_shorten_a_rest_that_upstream_asked_for() -> None:
    breaker = Breaker()
    for _ in range(3):
        breaker.failed(NOW, POLICY, False, connection=True, spare=False, refused=True)
    breaker.cool(NOW, NOW + 60.0, POLICY)
    assert not breaker.probe_succeeded(NOW + 59.0)
    assert breaker.probe_succeeded(NOW + 60.0)


class BreakerMachine(RuleBasedStateMachine):
    """The breaker beside the simplest model of it: a deadline, and the requests under way with the trial among them."""

    @initialize(start=st.floats(0.0, 1e6))
    def begin(self, start: float) -> None:
        self.breaker = Breaker()
        self.now = start
        self.deadline: float | None = None
        self.requests: list[bool] = []  # under way; True for the trial

    @rule(seconds=st.floats(0.0, 100.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.deadline is not None)
    @rule()
    def time_passes_to_the_deadline(self) -> None:
        assert self.deadline is not None
        self.now = max(self.now, self.deadline)

    @precondition(lambda self: self.breaker.admits(self.now))
    @rule()
    def a_request_starts(self) -> None:
        trial = self.breaker.start(self.now)
        assert trial == (self.deadline is not None)
        self.requests.append(trial)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def one_succeeds(self, data: st.DataObject) -> None:
        trial = self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        assert self.breaker.succeeded(self.now, POLICY, trial) == (trial and self.deadline is not None)
        if trial:
            self.deadline = None

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), connection=st.booleans(), spare=st.booleans())
    def one_fails(self, data: st.DataObject, connection: bool, spare: bool) -> None:
        trial = self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        was = self.deadline
        opened = self.breaker.failed(self.now, POLICY, trial, connection=connection, spare=spare)
        if trial:
            assert opened, "a failed trial opens it again"
        if was is not None and not trial:
            assert not opened, "old news"
        if opened:
            assert self.breaker.open_until is not None
            assert self.breaker.open_until >= max(was or 0.0, self.now + POLICY.base), "a later deadline wins"
            assert self.breaker.open_until <= max(was or 0.0, self.now + POLICY.max)
            self.deadline = self.breaker.open_until

    @precondition(lambda self: any(self.requests))
    @rule()
    def the_trials_client_goes_away(self) -> None:
        self.requests.remove(True)
        self.breaker.abandon_trial()

    @rule(seconds=st.floats(0.0, 500.0))
    def it_is_cooled_from_outside(self, seconds: float) -> None:
        opened = self.breaker.cool(self.now, self.now + seconds, POLICY)
        assert opened == (self.deadline is None)
        self.deadline = max(self.deadline or 0.0, self.now + seconds)

    @rule(hold=st.floats(0.0, 100.0))
    def a_probe_fails(self, hold: float) -> None:
        opened = self.breaker.probe_failed(self.now, POLICY, hold)
        if opened:
            assert self.deadline is None
            self.deadline = self.breaker.open_until
            assert self.deadline is not None
            assert self.deadline >= self.now + max(POLICY.base, hold)
        elif self.deadline is not None:
            self.deadline = max(self.deadline, self.now + hold)

    @rule()
    def a_probe_is_answered(self) -> None:
        if self.breaker.probe_succeeded(self.now):
            assert self.deadline is not None
            assert self.breaker.unreachable
            assert self.breaker.told_until <= self.now
            self.deadline = None

    @invariant()
    def it_agrees_with_the_model(self) -> None:
        assert self.breaker.open_until == self.deadline
        if self.deadline is None:
            expected = BreakerState.CLOSED
        else:
            expected = BreakerState.OPEN if self.now < self.deadline else BreakerState.HALF_OPEN
        assert self.breaker.state(self.now) is expected

    @invariant()
    def it_never_admits_while_open(self) -> None:
        if self.breaker.state(self.now) is BreakerState.OPEN:
            assert not self.breaker.admits(self.now)

    @invariant()
    def there_is_at_most_one_trial_and_it_shuts_the_door(self) -> None:
        assert sum(self.requests) <= 1
        assert self.breaker.trial == any(self.requests)
        if any(self.requests) and self.deadline is not None:
            assert not self.breaker.admits(self.now)

    @invariant()
    def it_never_locks_up(self) -> None:
        if not any(self.requests):
            assert self.breaker.admits(max(self.now, self.deadline or 0.0))


TestBreakerMachine = BreakerMachine.TestCase
