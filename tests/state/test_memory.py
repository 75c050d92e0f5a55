from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.core.breaker import BreakerState
from router.core.errors import FailureKind
from router.core.events import Cooled, Recovered
from router.core.retry import Health
from router.core.types import CooldownPolicy, Deployment
from router.state.base import CLIENT_GONE, SUCCESS, UNSENT, Lease, Outcome
from tests.core.making import START, World, deployment, group, tier

COOLDOWN = CooldownPolicy(allowed_fails=2, error_rate=0.5, min_requests=4, window=30.0, base=5.0, max=60.0)


def world_of(*places: Deployment) -> World:
    return World(group(places, cooldown=COOLDOWN))


def failed(
    health: Health = Health.FAILURE,
    retry_after: float | None = None,
    *,
    kind: FailureKind = FailureKind.SERVER_ERROR,
    counts: bool = True,
) -> Outcome:
    return Outcome(health, kind, retry_after, counts)


CONNECT = failed(Health.CONNECTION_FAILURE, kind=FailureKind.CONNECT)
LIMITED = failed(Health.COOL_KEY, kind=FailureKind.RATE_LIMITED)
REFUSED = failed(Health.COOL_KEY_LONG, kind=FailureKind.AUTH)
MISSING = failed(Health.COOL_DEPLOYMENT_LONG, kind=FailureKind.NOT_FOUND)
HARMLESS = Outcome(Health.NONE, FailureKind.REJECTED)
OUTCOMES = [SUCCESS, CLIENT_GONE, CONNECT, failed(), failed(retry_after=7.0), LIMITED, REFUSED, MISSING, HARMLESS,
            failed(counts=False), failed(retry_after=7.0, counts=False)]  # fmt: skip


def serve(world: World, name: str, outcome: Outcome, times: int = 1) -> None:
    for _ in range(times):
        world.store.settle(world.lease(name), outcome)


def state(world: World, name: str) -> BreakerState:
    return world.load(name).breaker.state(world.clock.now)


def open_up(world: World, name: str) -> None:
    serve(world, name, CONNECT, 2)
    assert state(world, name) is BreakerState.OPEN


# Leases.


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_in_flight_is_up_while_a_lease_lasts_and_down_whatever_ends_it(outcome: Outcome) -> None:
    world = world_of(*tier("a", "b"))
    leases = [world.lease("a") for _ in range(3)]
    assert world.load("a").in_flight == 3
    assert world.load("b").in_flight == 0
    for left, lease in zip((2, 1, 0), leases, strict=True):
        world.store.settle(lease, outcome)
        assert world.load("a").in_flight == left


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_lease_is_settled_once(outcome: Outcome) -> None:
    world = world_of(*tier("a"))
    lease = world.lease("a")
    other = world.lease("a")
    world.store.settle(lease, outcome)
    with pytest.raises(RuntimeError, match="a is settled already"):
        world.store.settle(lease, outcome)
    assert world.load("a").in_flight == 1, "the second time changed nothing"
    world.store.settle(other, SUCCESS)


def test_a_view_is_the_picture_as_it_is_now() -> None:
    world = world_of(*tier("a", "b"))
    view = world.store.view()
    assert view.now == START
    assert [[each.deployment.id for each in tier_] for tier_ in view.tiers(world.group())] == [["a", "b"]]
    world.clock.advance(5.0)
    assert world.store.view().now == START + 5.0


# Backends.


def test_one_backend_under_two_names_is_one_load() -> None:
    here, there = deployment("a", "gpt", backend="same"), deployment("a2", "other", backend="same")
    world = World(group([here], cooldown=COOLDOWN), group([there], name="other", cooldown=COOLDOWN))
    world.lease("a")
    world.lease("a2", "other")
    assert world.load("a").in_flight == world.load("a2", "other").in_flight == 2
    serve(world, "a", CONNECT)
    serve_other = world.lease("a2", "other")
    world.store.settle(serve_other, CONNECT)
    assert state(world, "a") is BreakerState.OPEN, "one failure under each name"


def test_what_is_known_survives_a_reload_in_another_order() -> None:
    a, b, c = tier("a", "b", "c")
    world = world_of(a, b, c)
    lease = world.lease("b")
    open_up(world, "c")
    serve(world, "a", LIMITED)
    world.configure(group([c, b], [a], cooldown=COOLDOWN), group([b], name="second"))
    assert world.load("b").in_flight == 1
    assert state(world, "c") is BreakerState.OPEN
    assert world.load("a").usable_key(world.clock.now) is None
    world.store.settle(lease, SUCCESS)
    assert world.load("b").in_flight == 0


def test_a_lease_may_outlive_its_deployment() -> None:
    world = world_of(*tier("a", "b"))
    lease = world.lease("a")
    world.configure(group(tier("b"), cooldown=COOLDOWN))
    world.store.settle(lease, CONNECT)
    assert lease.load.in_flight == 0
    assert [each.deployment.id for each in world.store.candidates()] == ["b"]


def test_another_account_at_the_same_address_is_a_load_of_its_own() -> None:
    one = deployment("a", api_base="http://u.test", model="m", api_keys=("k1",))
    two = deployment("b", api_base="http://u.test", model="m", api_keys=("k2",))
    world = world_of(one, two)
    world.lease("a")
    assert world.load("b").in_flight == 0


# Keys.


def keyed(*keys: str) -> World:
    return world_of(deployment("a", api_keys=keys))


def signed(world: World, count: int) -> list[str]:
    return [world.lease("a").key for _ in range(count)]


def test_keys_take_turns() -> None:
    assert signed(keyed("k1", "k2", "k3"), 6) == ["k1", "k2", "k3"] * 2


def test_without_keys_nothing_is_signed() -> None:
    assert signed(keyed(), 2) == ["", ""]


@pytest.mark.parametrize("outcome", [LIMITED, REFUSED])
def test_a_resting_key_is_skipped_and_comes_back(outcome: Outcome) -> None:
    world = keyed("k1", "k2", "k3")
    lease = world.lease("a")
    assert lease.key == "k1"
    world.store.settle(lease, outcome)
    assert signed(world, 4) == ["k2", "k3", "k2", "k3"]
    world.clock.advance(COOLDOWN.max)
    assert signed(world, 3) == ["k1", "k2", "k3"]
    assert signed(world, 3) == ["k2", "k3", "k2"], "the first of them tries it, and the others wait for that"


def test_a_429_rests_its_own_key_for_as_long_as_upstream_says() -> None:
    world = keyed("k1", "k2")
    serve(world, "a", failed(Health.COOL_KEY, 17.0, kind=FailureKind.RATE_LIMITED))
    assert [key.until for key in world.load("a").keys] == [START + 17.0, 0.0]
    assert world.events == [Cooled("a", FailureKind.RATE_LIMITED, 17.0, 0, 0)]
    assert state(world, "a") is BreakerState.CLOSED


def test_429s_that_name_no_time_double_and_a_success_ends_the_row() -> None:
    world = keyed("k1")
    rests = []
    for _ in range(6):
        serve(world, "a", LIMITED)
        rests.append(world.load("a").keys[0].until - world.clock.now)
        world.clock.now = world.load("a").keys[0].until
    assert rests == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    serve(world, "a", SUCCESS)
    serve(world, "a", LIMITED)
    assert world.load("a").keys[0].until == world.clock.now + 5.0


def limited_until_now(*keys: str) -> World:
    """Its first key, or the deployment that has none, comes back from a rest just now."""
    world = keyed(*keys)
    serve(world, "a", LIMITED)
    world.clock.now = world.load("a").keys[0].until
    return world


@pytest.mark.parametrize("keys", [(), ("k1",)])
def test_one_request_at_a_time_tries_what_comes_back_from_a_429(keys: tuple[str, ...]) -> None:
    world = limited_until_now(*keys)
    trial = world.lease("a")
    assert trial.key_trial
    assert world.load("a").usable_key(world.clock.now) is None, "the others go elsewhere"
    world.store.settle(trial, SUCCESS)
    assert world.load("a").usable_key(world.clock.now) == 0
    assert not world.lease("a").key_trial


def test_the_head_of_a_stream_ends_the_trial() -> None:
    world = limited_until_now("k1")
    trial = world.lease("a", stream=True)
    trial.let_in(world.clock.now)
    assert world.load("a").usable_key(world.clock.now) == 0
    world.clock.advance(60.0)
    world.store.settle(trial, LIMITED)
    assert world.load("a").keys[0].until == world.clock.now + 5.0, "its end says no more about the trial"


@pytest.mark.parametrize("outcome", [CLIENT_GONE, UNSENT, failed(), CONNECT])
def test_a_trial_of_a_key_that_tells_nothing_about_it_is_given_back(outcome: Outcome) -> None:
    world = limited_until_now("k1")
    serve(world, "a", outcome)
    assert world.load("a").usable_key(world.clock.now) == 0
    assert world.lease("a").key_trial


def test_a_key_on_trial_leaves_the_other_keys_to_the_others() -> None:
    world = limited_until_now("k1", "k2")
    assert sorted(signed(world, 3)) == ["k1", "k2", "k2"]


def test_a_success_from_before_the_rest_is_no_trial() -> None:
    world = keyed("k1")
    early = world.lease("a")
    serve(world, "a", LIMITED)
    world.store.settle(early, SUCCESS)
    world.clock.advance(5.0)
    assert world.lease("a").key_trial


def test_a_burst_of_429s_is_one_reason_to_rest() -> None:
    world = keyed("k1")
    for lease in [world.lease("a") for _ in range(100)]:
        world.store.settle(lease, LIMITED)
    assert world.load("a").keys[0].until == START + 5.0


@pytest.mark.parametrize("order", [(3.0, 30.0), (30.0, 3.0)])
def test_the_later_end_of_a_rest_wins(order: tuple[float, float]) -> None:
    world = keyed("k1")
    leases = [world.lease("a"), world.lease("a")]
    for lease, seconds in zip(leases, order, strict=True):
        world.store.settle(lease, failed(Health.COOL_KEY, seconds, kind=FailureKind.RATE_LIMITED))
    assert world.load("a").keys[0].until == START + 30.0


def test_a_refused_key_rests_for_the_longest_cooldown_whatever_upstream_says() -> None:
    world = keyed("k1", "k2")
    serve(world, "a", failed(Health.COOL_KEY_LONG, 1.0, kind=FailureKind.AUTH))
    assert world.load("a").keys[0].until == START + COOLDOWN.max
    assert world.events == [Cooled("a", FailureKind.AUTH, COOLDOWN.max, 0, 0)]
    assert [key.refused for key in world.load("a").keys] == [True, False]


def test_429s_and_refusals_do_not_touch_the_breaker() -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", LIMITED, 20)
    serve(world, "a", REFUSED, 20)
    assert state(world, "a") is BreakerState.CLOSED


# Health.


def test_connection_failures_open_the_breaker_and_say_so_once() -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", CONNECT, 5)
    assert state(world, "a") is BreakerState.OPEN
    assert world.events == [Cooled("a", FailureKind.CONNECT, 5.0, None)]


def test_the_error_rate_opens_it() -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", SUCCESS, 2)
    serve(world, "a", failed(), 2)
    assert state(world, "a") is BreakerState.OPEN


def test_the_last_closed_deployment_of_a_group_is_not_opened_on_error_rate() -> None:
    world = world_of(*tier("a", "b"), deployment("c", enabled=False))
    open_up(world, "b")
    serve(world, "a", failed(), 50)
    assert state(world, "a") is BreakerState.CLOSED


def test_a_twin_is_no_other_deployment_to_turn_to() -> None:
    world = world_of(deployment("a", backend="same"), deployment("a2", backend="same"))
    serve(world, "a", failed(), 50)
    assert state(world, "a") is BreakerState.CLOSED


def test_a_closed_deployment_of_a_lower_tier_is_one_to_turn_to() -> None:
    world = World(group(tier("a"), tier("b"), cooldown=COOLDOWN))
    serve(world, "a", failed(), 4)
    assert state(world, "a") is BreakerState.OPEN


def test_what_the_client_did_leaves_health_alone() -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", CONNECT)
    serve(world, "a", CLIENT_GONE, 20)
    serve(world, "a", CONNECT)
    assert state(world, "a") is BreakerState.OPEN, "a client that left is no success between two failures"


def test_a_client_that_left_proves_no_key() -> None:
    world = keyed("k1")
    serve(world, "a", LIMITED)
    world.clock.advance(5.0)
    serve(world, "a", CLIENT_GONE)
    serve(world, "a", LIMITED)
    assert world.load("a").keys[0].until == world.clock.now + 10.0


def test_failures_that_do_not_count_are_not_counted() -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", failed(Health.CONNECTION_FAILURE, counts=False), 50)
    assert state(world, "a") is BreakerState.CLOSED
    assert world.events == []


@pytest.mark.parametrize(("seconds", "until"), [(7.0, 7.0), (500.0, 60.0)])
def test_a_failures_retry_after_cools_for_that_long_up_to_the_longest(seconds: float, until: float) -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", failed(retry_after=seconds))
    assert world.load("a").breaker.open_until == START + until
    assert world.events == [Cooled("a", FailureKind.SERVER_ERROR, until, None)]


def test_a_retry_after_of_nothing_cools_nothing() -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", failed(retry_after=0.0))
    assert state(world, "a") is BreakerState.CLOSED


def test_a_failure_that_does_not_count_opens_nothing_but_may_prolong() -> None:
    world = world_of(*tier("a", "b"))
    serve(world, "a", failed(retry_after=7.0, counts=False))
    assert state(world, "a") is BreakerState.CLOSED
    serve(world, "a", failed(retry_after=7.0))
    world.clock.advance(7.0)
    serve(world, "a", failed(retry_after=7.0, counts=False))
    assert world.load("a").breaker.open_until == START + 14.0


def test_a_model_that_is_not_there_cools_the_deployment_for_the_longest() -> None:
    world = keyed("k1", "k2")
    serve(world, "a", MISSING)
    assert world.load("a").breaker.open_until == START + COOLDOWN.max
    assert world.events == [Cooled("a", FailureKind.NOT_FOUND, COOLDOWN.max, None)]


# Trials.


def half_open() -> World:
    world = world_of(*tier("a", "b"))
    open_up(world, "a")
    world.clock.advance(5.0)
    world.events.clear()
    return world


def test_the_first_lease_after_the_cooldown_is_the_trial() -> None:
    world = half_open()
    first, second = world.lease("a"), world.lease("a")
    assert (first.trial, second.trial) == (True, False)


def test_a_trial_that_succeeds_closes_it_and_says_so() -> None:
    world = half_open()
    serve(world, "a", SUCCESS)
    assert state(world, "a") is BreakerState.CLOSED
    assert world.events == [Recovered("a")]


def test_an_answer_of_any_kind_is_a_success_of_the_trial() -> None:
    world = half_open()
    serve(world, "a", HARMLESS)
    assert state(world, "a") is BreakerState.CLOSED


def test_a_trial_that_fails_opens_it_for_longer_and_says_so() -> None:
    world = half_open()
    serve(world, "a", failed())
    assert world.load("a").breaker.open_until == world.clock.now + 10.0
    assert world.events == [Cooled("a", FailureKind.SERVER_ERROR, 10.0, None)]


@pytest.mark.parametrize("outcome", [CLIENT_GONE, LIMITED, REFUSED, failed(counts=False)])
def test_a_trial_that_tells_nothing_is_given_back(outcome: Outcome) -> None:
    world = half_open()
    serve(world, "a", outcome)
    assert state(world, "a") is BreakerState.HALF_OPEN
    assert world.lease("a").trial


def test_a_trial_that_finds_no_model_is_over_too() -> None:
    world = half_open()
    serve(world, "a", MISSING)
    world.clock.advance(COOLDOWN.max)
    assert world.lease("a").trial


@pytest.mark.parametrize("outcome", [each for each in OUTCOMES if each is not SUCCESS])
def test_a_request_from_before_does_not_end_somebody_elses_trial(outcome: Outcome) -> None:
    world = world_of(*tier("a", "b"))
    early = world.lease("a")
    open_up(world, "a")
    world.clock.advance(5.0)
    trial = world.lease("a")
    assert trial.trial
    world.store.settle(early, outcome)
    assert world.load("a").breaker.trial
    world.store.settle(trial, SUCCESS)
    assert state(world, "a") is BreakerState.CLOSED


class StoreMachine(RuleBasedStateMachine):
    """Leases taken and given back in any order, over time and reloads: nothing leaks and nothing sticks."""

    @initialize()
    def begin(self) -> None:
        self.places = [
            deployment("a", api_keys=("k1", "k2")),
            deployment("b", api_keys=()),
            deployment("c", backend="same"),
            deployment("d", backend="same"),
        ]
        self.world = world_of(*self.places)
        self.leases: list[Lease] = []

    @rule(name=st.sampled_from("abcd"))
    def take(self, name: str) -> None:
        lease = self.world.lease(name)
        assert lease.key in (lease.deployment.api_keys or ("",))
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def give_back(self, data: st.DataObject, outcome: Outcome) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        self.world.store.settle(lease, outcome)
        with pytest.raises(RuntimeError):
            self.world.store.settle(lease, outcome)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def let_in(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.leases)).let_in(self.world.clock.now)

    @rule(seconds=st.floats(0.0, 70.0))
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(order=st.permutations(range(4)))
    def reload(self, order: list[int]) -> None:
        self.world.configure(group([self.places[index] for index in order], cooldown=COOLDOWN))

    @invariant()
    def in_flight_is_what_is_out(self) -> None:
        for place in self.places:
            out = sum(lease.deployment.backend == place.backend for lease in self.leases)
            assert self.world.load(place.id).in_flight == out

    @invariant()
    def a_trial_is_somebodys(self) -> None:
        for place in self.places:
            trials = [lease for lease in self.leases if lease.trial and lease.deployment.backend == place.backend]
            assert len(trials) <= 1
            assert self.world.load(place.id).breaker.trial == bool(trials)

    @invariant()
    def a_key_on_trial_is_somebodys(self) -> None:
        now = self.world.clock.now
        for place in self.places:
            for index, key in enumerate(self.world.load(place.id).keys):
                holders = [
                    lease for lease in self.leases
                    if lease.load is self.world.load(place.id) and lease.key_index == index
                    and lease.key_trial == key.until > now
                ]  # fmt: skip
                assert len(holders) == (key.trials > 0 and key.until > now)

    @invariant()
    def nothing_rests_for_longer_than_the_longest_cooldown(self) -> None:
        limit = self.world.clock.now + COOLDOWN.max
        for place in self.places:
            load = self.world.load(place.id)
            assert (load.breaker.open_until or 0.0) <= limit
            assert all(key.until <= limit for key in load.keys)


TestStoreMachine = StoreMachine.TestCase
