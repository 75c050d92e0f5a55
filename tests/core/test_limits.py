"""What may be sent within the limits, and what LiteLLM gets wrong about them."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.errors import FailureKind
from router.core.filters import FILTERS, Reason, limits
from router.core.limits import Meter, Spent, headroom, shortage, spent_by
from router.core.load import Candidate
from router.core.quota import Allowance, Allowances
from router.core.types import Limits, Usage
from router.state.base import CLIENT_GONE, SUCCESS, Lease, Outcome, Served
from tests.core.making import START, World, deployment, group, request, tier


def world(**fields: Any) -> World:
    return World(group(tier("a", **fields)))


def send(world: World, name: str = "a", **asked: Any) -> Lease | None:
    """What the request path does: filter, then acquire."""
    candidate, view = world.candidate(name), world.store.view()
    route = request(**asked)
    if limits(route, candidate, view) is not None:
        return None
    return world.store.acquire(world.group(), candidate, view.expect(route, "gpt"))


def sent(world: World, count: int, **asked: Any) -> int:
    return sum(send(world, **asked) is not None for _ in range(count))


def why(world: World, name: str = "a", **asked: Any) -> Reason | None:
    return limits(request(**asked), world.candidate(name), world.store.view())


def settle(world: World, lease: Lease | None, outcome: Outcome = SUCCESS) -> None:
    assert lease is not None
    world.store.settle(lease, outcome)


def used(prompt: int, completion: int) -> Outcome:
    return Outcome(served=Served(1.0, None, Usage(prompt, completion)))


# LiteLLM's mistakes.


@pytest.mark.parametrize("rpm", [1, 2, 60])
def test_rpm_is_not_off_by_one(rpm: int) -> None:
    place = world(rpm=rpm)
    assert sent(place, rpm + 5) == rpm
    assert why(place) is Reason.RPM


def test_the_minute_slides_and_does_not_begin_anew_on_the_clocks_minute() -> None:
    place = world(rpm=10)
    place.clock.now = 59.0
    assert sent(place, 10) == 10
    place.clock.now = 60.5
    assert sent(place, 10) == 0
    place.clock.now = 119.0
    assert sent(place, 20) == 10


def test_rpm_60_does_not_also_mean_60_at_once() -> None:
    place = world(rpm=60)
    assert sent(place, 60) == 60
    assert place.in_flight == 60
    place.clock.advance(60.0)
    assert sent(place, 60) == 60
    assert place.in_flight == 120


def test_requests_that_have_ended_do_not_make_room_in_the_minute() -> None:
    place = world(rpm=2)
    for _ in range(2):
        settle(place, send(place))
    assert place.in_flight == 0
    assert why(place) is Reason.RPM


def test_a_burst_is_held_to_the_limit_on_tokens_before_any_of_it_is_answered() -> None:
    assert sent(world(tpm=1100), 100) == 10  # 10 tokens of prompt and 100 expected


def test_one_backend_under_two_names_has_one_count() -> None:
    here, there = deployment("a", backend="same", rpm=3), deployment("a2", backend="same", rpm=3)
    place = World(group([here, there]))
    assert [send(place, name) is not None for name in ("a", "a2", "a", "a2")] == [True, True, True, False]


def test_each_names_own_limit_is_compared_with_the_count_of_the_backend() -> None:
    large, small = deployment("large", backend="same", rpm=5), deployment("small", backend="same", rpm=2)
    free = deployment("free", backend="same")
    place = World(group([large, small, free]))
    assert sent(place, 2, name="free") == 2
    assert (why(place, "large"), why(place, "small"), why(place, "free")) == (None, Reason.RPM, None)
    assert sent(place, 9, name="large") == 3
    assert send(place, "free") is not None


# Requests at once.


def test_max_parallel_requests_are_at_once_and_a_settled_lease_makes_room() -> None:
    place = world(max_parallel_requests=2)
    leases = [send(place) for _ in range(3)]
    assert leases[2] is None
    assert why(place) is Reason.PARALLEL
    settle(place, leases[0])
    assert sent(place, 5) == 1


def test_siblings_requests_count_among_those_at_once() -> None:
    place = world(max_parallel_requests=2)
    place.load("a").siblings = 1
    assert sent(place, 5) == 1


def test_nobody_knows_when_one_of_those_at_once_ends() -> None:
    place = world(max_parallel_requests=1)
    send(place)
    assert place.candidate("a").frees_at(START) == START


# Tokens.


def test_true_usage_takes_the_place_of_the_estimate() -> None:
    place = world(tpm=1000)
    lease = send(place)
    assert headroom(place.candidate("a"), START) == pytest.approx(1.0 - 110 / 1000)
    settle(place, lease, used(10, 690))
    assert headroom(place.candidate("a"), START) == pytest.approx(1.0 - 700 / 1000)
    assert why(place, tokens=201, max_output=100) is Reason.TPM
    assert why(place, tokens=200, max_output=100) is None


def test_true_usage_counts_from_when_the_request_was_sent() -> None:
    place = world(tpm=1000)
    lease = send(place)
    place.clock.advance(59.0)
    settle(place, lease, used(500, 500))
    assert headroom(place.candidate("a"), place.clock.now) == 0.0
    place.clock.advance(1.0)
    assert headroom(place.candidate("a"), place.clock.now) == 1.0


def test_the_estimate_is_of_the_models_usual_output() -> None:
    place = world(tpm=1000)
    for _ in range(500):
        settle(place, place.lease("a"), used(0, 500))
    place.clock.advance(60.0)
    assert sent(place, 9) == 1  # 10 of prompt, 500 of output
    assert sent(place, 9, max_output=20) == 9


def test_a_request_larger_than_the_whole_limit_has_the_minute_to_itself() -> None:
    place = world(tpm=1000)
    assert sent(place, 2, tokens=5000) == 1
    assert why(place, tokens=1) is Reason.TPM
    place.clock.advance(60.0)
    assert sent(place, 1, tokens=1) == 1
    assert why(place, tokens=5000) is Reason.TPM


def test_the_prompt_alone_may_be_too_much_for_what_is_left() -> None:
    place = world(tpm=1000, rpm=10)
    send(place, tokens=700)
    assert why(place, tokens=200) is Reason.TPM
    assert why(place, tokens=100) is None


# What is given back.

FAILED = [
    (FailureKind.CONNECT, Spent.NOTHING),
    (FailureKind.UNSUPPORTED, Spent.NOTHING),
    (FailureKind.DISCONNECTED, Spent.ESTIMATE),
    (FailureKind.PROTOCOL, Spent.ESTIMATE),
    (FailureKind.ATTEMPT_TIMEOUT, Spent.ESTIMATE),
    (FailureKind.FIRST_TOKEN_TIMEOUT, Spent.ESTIMATE),
    (FailureKind.IDLE_TIMEOUT, Spent.ESTIMATE),
    (FailureKind.SERVER_ERROR, Spent.REQUEST),
    (FailureKind.RATE_LIMITED, Spent.REQUEST),
    (FailureKind.QUOTA, Spent.REQUEST),
    (FailureKind.AUTH, Spent.REQUEST),
    (FailureKind.NOT_FOUND, Spent.REQUEST),
    (FailureKind.CONTEXT_WINDOW, Spent.REQUEST),
    (FailureKind.CONTENT_POLICY, Spent.REQUEST),
    (FailureKind.REJECTED, Spent.REQUEST),
    (FailureKind.BAD_REPLY, Spent.ESTIMATE),
    (FailureKind.BROKEN_STREAM, Spent.ESTIMATE),
]


@pytest.mark.parametrize(("kind", "spent"), FAILED)
def test_what_a_failure_has_used_up(kind: FailureKind, spent: Spent) -> None:
    assert spent_by(kind) is spent


def test_every_kind_of_failure_is_in_the_table() -> None:
    assert {kind for kind, _ in FAILED} == set(FailureKind)


LEFT = {Spent.NOTHING: (10, 1000), Spent.REQUEST: (9, 1000), Spent.ESTIMATE: (9, 890)}


@pytest.mark.parametrize(
    ("outcome", "spent"),
    [
        (Outcome(kind=FailureKind.CONNECT), Spent.NOTHING),
        (Outcome(kind=FailureKind.SERVER_ERROR), Spent.REQUEST),
        (Outcome(kind=FailureKind.SERVER_ERROR, spent=Spent.ESTIMATE), Spent.ESTIMATE),
        (Outcome(kind=FailureKind.ATTEMPT_TIMEOUT), Spent.ESTIMATE),
        (CLIENT_GONE, Spent.ESTIMATE),
        (SUCCESS, Spent.ESTIMATE),
        (Outcome(served=Served(1.0, None, None)), Spent.ESTIMATE),
    ],
)
def test_what_was_not_sent_or_not_answered_is_given_back(outcome: Outcome, spent: Spent) -> None:
    place = world(rpm=10, tpm=1000)
    settle(place, send(place), outcome)
    meter = place.load("a").meter
    assert meter is not None
    left = meter.left(Limits(rpm=10, tpm=1000), START)
    assert left.requests is not None
    assert left.tokens is not None
    assert (left.requests.remaining, left.tokens.remaining) == LEFT[spent]


def test_a_reservation_is_settled_once() -> None:
    meter = Meter()
    meter.cover(Limits(rpm=5))
    reservation = meter.reserve(START, 10)
    reservation.settle(Spent.NOTHING, None)
    with pytest.raises(RuntimeError, match="settled already"):
        reservation.settle(Spent.NOTHING, None)
    assert (meter.in_flight, meter.requests and meter.requests.total(START)) == (0, 0)


# When it frees, and how much is free.


def test_it_frees_when_the_last_of_its_limits_does() -> None:
    place = world(rpm=2, tpm=1000)
    send(place, tokens=500)
    place.clock.advance(10.0)
    send(place, tokens=10)
    candidate = place.candidate("a")
    assert candidate.frees_at(place.clock.now, 100) == START + 60.0
    assert candidate.frees_at(place.clock.now, 900) == START + 70.0
    assert candidate.frees_at(place.clock.now, 5000) == START + 70.0
    assert candidate.frees_at(START + 70.0, 5000) == START + 70.0


def test_headroom_is_the_smaller_share_and_one_without_limits() -> None:
    place = world(rpm=10, tpm=1000)
    assert headroom(place.candidate("a"), START) == 1.0
    send(place)
    assert headroom(place.candidate("a"), START) == pytest.approx(0.89)
    for _ in range(5):
        settle(place, send(place, max_output=0, tokens=0), used(0, 0))
    assert headroom(place.candidate("a"), START) == pytest.approx(0.4)
    free = world()
    free.lease("a")
    assert headroom(free.candidate("a"), START) == 1.0


def test_headroom_is_never_negative() -> None:
    place = world(tpm=100)
    settle(place, send(place), used(500, 500))
    assert headroom(place.candidate("a"), START) == 0.0


def test_upstreams_word_lowers_the_headroom_and_never_raises_it() -> None:
    place = world(rpm=10)
    lease = send(place)
    assert lease is not None
    place.store.heard(lease, Allowances(Allowance(100, 30, 60.0)))
    assert headroom(place.candidate("a"), START) == pytest.approx(0.3)
    place.store.heard(lease, Allowances(Allowance(100, 99, 60.0)))
    assert headroom(place.candidate("a"), START) == pytest.approx(0.9)


# The filter, and what costs nothing.


def test_the_filter_names_the_first_limit_in_the_way() -> None:
    place = world(rpm=1, tpm=100, max_parallel_requests=1)
    lease = send(place)
    assert why(place) is Reason.PARALLEL
    settle(place, lease)
    assert why(place) is Reason.RPM


def test_without_limits_nothing_is_counted() -> None:
    place = World(group(tier("a") + tier("b", rpm=5)))
    lease = place.lease("a")
    assert place.load("a").meter is None
    assert lease.reservation is None
    assert place.load("b").meter is not None


def test_windows_exist_for_what_is_limited_only() -> None:
    requests, tokens = (place.load("a").meter for place in (world(rpm=5), world(tpm=5)))
    assert requests is not None
    assert tokens is not None
    assert (requests.tokens, tokens.requests) == (None, None)


def test_a_candidate_nobody_counts_for_is_within_its_limits() -> None:
    place = world()
    bare = Candidate(deployment("a", rpm=1, tpm=1, max_parallel_requests=5), place.load("a"))
    assert shortage(bare, START, 100) is None
    assert bare.frees_at(START, 100) == START


def test_limits_are_asked_for_before_a_keys_rest_so_that_the_better_reason_is_told() -> None:
    names = [filter_.__name__ for filter_ in FILTERS]
    assert names.index("limits") < names.index("cooldown")


def test_counts_survive_a_reload_that_changes_the_limit() -> None:
    place = world(rpm=5)
    sent(place, 5)
    place.configure(group(tier("a", rpm=7, tpm=1000)))
    assert sent(place, 5) == 2


def test_a_lease_outlives_the_limits_it_was_taken_under() -> None:
    place = world(rpm=5, tpm=500)
    lease = send(place)
    place.configure(group(tier("a")))
    settle(place, lease, used(5, 5))
    assert place.load("a").meter is None
