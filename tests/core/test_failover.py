"""What becomes of a request whose attempts fail, as transcripts."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.events import Cooled
from router.core.failover import Failover, FallbackKind, Stop, Try, Wait
from router.core.filters import Reason
from router.core.keys import TRIAL
from router.core.plan import plan
from router.core.types import CooldownPolicy, Kind, ModelGroup, RouteRequest
from router.state.base import Outcome
from tests.core.making import START, World, deployment, group, request, tier
from tests.core.playing import FACTS, Middle, Play, failure, play, steps

ROUND_ROBIN: dict[str, Any] = {"strategy": "round-robin"}


def world_of(*names: str, **policy: Any) -> World:
    return World(group(tier(*names), **(ROUND_ROBIN | policy)))


def with_backup(*names: str, **policy: Any) -> World:
    """The group, and `backup` with one deployment `z` to fall back to."""
    return World(
        group(tier(*names), **({"fallbacks": ("backup",)} | ROUND_ROBIN | policy)),
        group(tier("z", group="backup"), name="backup"),
    )


# Within one group.


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({}, "a ok"),
        ({"a": "500"}, "a 500, b ok"),
        ({"a": "connect"}, "a connect, b ok"),
        ({"a": "timeout"}, "a timeout, b ok"),
        ({"a": "429"}, "a 429, b ok"),
        ({"a": "429:60"}, "a 429:60, b ok"),
        ({"a": "401"}, "a 401, b ok"),
        ({"a": "quota"}, "a quota, b ok"),
        ({"a": "404"}, "a 404, b ok"),
        ({"a": "junk"}, "a junk, b ok"),
        ({"a": "500", "b": "connect"}, "a 500, b connect, c ok"),
        ({"a": "500", "b": "500", "c": "500"}, "a 500, b 500, c 500, stop 502 upstream_error"),
        ({"a": "500", "b": "timeout", "c": "connect"}, "a 500, b timeout, c connect, stop 502 upstream_unreachable"),
        ({"a": "400"}, "a 400, stop 400 invalid_request_error"),
        ({"a": "500", "b": "400"}, "a 500, b 400, stop 400 invalid_request_error"),
        ({"a": "window"}, "a window, stop 400 context_length_exceeded"),
        ({"a": "policy"}, "a policy, stop 400 content_policy_violation"),
        ({"a": "broken"}, "a broken, stop 502 upstream_unreachable"),
    ],
)
def test_a_failed_attempt_is_made_elsewhere_at_once_or_not_at_all(script: dict[str, str], expected: str) -> None:
    assert play(world_of("a", "b", "c"), script) == steps(expected)


@pytest.mark.parametrize(
    ("num_retries", "expected"),
    [
        (0, "a 500, stop 502 upstream_error"),
        (1, "a 500, b 500, stop 502 upstream_error"),
        (3, "a 500, b 500, c 500, d 500, stop 502 upstream_error"),
    ],
)
def test_num_retries_bounds_the_retries(num_retries: int, expected: str) -> None:
    script = dict.fromkeys("abcde", "500")
    assert play(world_of(*"abcde", num_retries=num_retries), script) == steps(expected)
    assert play(world_of(*"abcde"), script, request(num_retries=num_retries)) == steps(expected)


def test_a_requests_own_num_retries_stand_in_place_of_the_configured_ones() -> None:
    world = world_of("a", "b", num_retries=5)
    assert play(world, {"a": "500"}, request(num_retries=0)) == steps("a 500, stop 502 upstream_error")


def test_num_retries_are_counted_for_each_group_by_its_own_policy() -> None:
    world = World(
        group(tier("a", "b", "c"), fallbacks=("backup",), num_retries=1, **ROUND_ROBIN),
        group(tier("x", "y", "z", group="backup"), name="backup", num_retries=2, **ROUND_ROBIN),
    )
    assert play(world, dict.fromkeys("abcxyz", "500")) == steps(
        "a 500, b 500, to backup: general, x 500, y 500, z 500, stop 502 upstream_error"
    )


def test_a_requests_own_num_retries_hold_in_every_group() -> None:
    world = with_backup("a", "b")
    assert play(world, dict.fromkeys("abz", "500"), request(num_retries=0)) == steps(
        "a 500, to backup: general, z 500, stop 502 upstream_error"
    )


def test_max_attempts_hold_over_all_groups_together() -> None:
    world = World(
        group(tier("a", "b", "c"), fallbacks=("two", "three"), max_attempts=5, **ROUND_ROBIN),
        group(tier("d", "e", "f", group="two"), name="two", max_attempts=99, **ROUND_ROBIN),
        group(tier("g", group="three"), name="three"),
    )
    assert play(world, dict.fromkeys("abcdefg", "500")) == steps(
        "a 500, b 500, c 500, to two: general, d 500, e 500, stop 502 upstream_error"
    )


def test_num_retries_beyond_max_attempts_change_nothing() -> None:
    world = world_of(*"abcdefgh", max_attempts=3)
    lines = play(world, dict.fromkeys("abcdefgh", "500"), request(num_retries=100))
    assert lines == steps("a 500, b 500, c 500, stop 502 upstream_error")


def test_with_nobody_else_left_the_same_one_is_asked_again_after_a_doubling_backoff() -> None:
    world = world_of("a", num_retries=4)
    assert play(world, {"a": "500 500 500 500 ok"}) == steps(
        "a 500, wait 0.1, a 500, wait 0.2, a 500, wait 0.4, a 500, wait 0.8, a ok"
    )


def test_the_same_one_is_asked_again_only_when_none_is_left() -> None:
    assert play(world_of("a", "b", num_retries=3), {"a": "500 ok", "b": "500"}) == steps("a 500, b 500, wait 0.1, a ok")


def test_a_lower_tier_is_asked_before_anyone_a_second_time() -> None:
    world = World(group(tier("a"), tier("b"), **ROUND_ROBIN))
    assert play(world, {"a": "500", "b": "500 ok"}) == steps("a 500, b 500, wait 0.1, a 500, stop 502 upstream_error")


def test_one_backend_under_two_ids_is_one_to_ask() -> None:
    twins = [deployment("a", backend="same"), deployment("b", backend="same")]
    world = World(group(twins, num_retries=1, **ROUND_ROBIN))
    first, second, *_ = play(world, {"a": "500", "b": "500"})
    assert first in ("a 500", "b 500")
    assert second == "wait 0.1"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("429:3 ok", "a 429:3, wait 3.1, a ok"),
        ("429 ok", "a 429, wait 5.1, a ok"),
        ("503:2 ok", "a 503:2, wait 2.1, a ok"),
        ("503:2 503:2 ok", "a 503:2, wait 2.1, a 503:2, wait 2.2, a ok"),
        ("429:3 429:4 ok", "a 429:3, wait 3.1, a 429:4, wait 4.2, a ok"),
        ("503:0 ok", "a 503:0, wait 0.1, a ok"),
    ],
)
def test_a_repeat_waits_for_upstreams_retry_after(answers: str, expected: str) -> None:
    assert play(world_of("a"), {"a": answers}) == steps(expected)


def test_a_wait_is_the_shortest_of_those_who_can_be_asked_again() -> None:
    world = world_of("a", "b", num_retries=3)
    assert play(world, {"a": "429:30", "b": "429:4 ok"}) == steps("a 429:30, b 429:4, wait 4.1, b ok")


@pytest.mark.parametrize("seconds", [2.0, 3.0, 3.1])
def test_a_wait_that_does_not_fit_the_deadline_is_not_begun(seconds: float) -> None:
    world = world_of("a")
    asked = request(deadline=START + seconds)
    assert play(world, {"a": "429:3"}, asked) == steps("a 429:3, stop 429 rate_limit_exceeded")
    assert world.clock.now == START


def test_a_deployment_freed_during_a_wait_comes_before_the_one_waited_for() -> None:
    world = world_of("a", "b")
    world.load("b").keys[0].cool(START, 2.0, 300.0)
    assert play(world, {"a": "429:3", "b": "ok"}) == steps("a 429:3, wait 3.1, b ok")


def limited(world: World) -> Failover:
    """One request to `a` that has met a 429 there and has waited until its key comes back."""
    failover = Failover(request(), world.group(), world.catalogue, Middle(), lambda found: None)
    step = failover.next(world.store.view())
    assert isinstance(step, Try)
    lease = world.lease("a")
    told = failure("429:3")
    world.store.settle(lease, Outcome(failover.failed(step, told).health, told.kind, told.retry_after))
    step = failover.next(world.store.view())
    assert isinstance(step, Wait)
    assert step.seconds == pytest.approx(3.1)
    world.clock.advance(3.1)
    return failover


def test_who_finds_the_key_on_trial_after_a_wait_waits_for_that() -> None:
    world = world_of("a", num_retries=2)
    failover = limited(world)
    world.lease("a")
    step = failover.next(world.store.view())
    assert isinstance(step, Wait)
    assert step.seconds == pytest.approx(TRIAL + 0.2)
    world.clock.advance(TRIAL + 0.2)
    assert isinstance(failover.next(world.store.view()), Try)


def test_a_key_that_somebody_else_tries_is_waited_for_after_any_failure() -> None:
    world = world_of("a", num_retries=2)
    failover = Failover(request(), world.group(), world.catalogue, Middle(), lambda found: None)
    step = failover.next(world.store.view())
    assert isinstance(step, Try)
    lease = world.lease("a")
    world.load("a").keys[0].cool(START, 1.0, 300.0)
    world.clock.advance(1.0)
    assert world.lease("a").key_trial == START + 1.0 + TRIAL
    told = failure("500")
    world.store.settle(lease, Outcome(failover.failed(step, told).health, told.kind))
    step = failover.next(world.store.view())
    assert isinstance(step, Wait)
    assert step.seconds == pytest.approx(TRIAL + 0.1)


def test_a_wait_in_vain_is_a_retry() -> None:
    world = world_of("a", num_retries=2)
    failover = limited(world)
    world.lease("a")
    assert isinstance(failover.next(world.store.view()), Wait)
    world.clock.advance(TRIAL + 0.2)
    world.lease("a")
    step = failover.next(world.store.view())
    assert isinstance(step, Stop)
    assert (step.error.status, failover.attempts) == (429, 1)


def test_no_attempt_starts_after_the_deadline() -> None:
    world = world_of("a", "b", "c")
    played = Play(world, dict.fromkeys("abc", "500"), seconds=2.0)
    assert played.run(request(deadline=START + 3.0)) == steps("a 500, b 500, stop 504 timeout")


def test_a_request_that_comes_too_late_is_not_sent_at_all() -> None:
    world = world_of("a")
    assert play(world, {}, request(deadline=START)) == steps("stop 504 timeout")
    assert world.load("a").turns["gpt"] < 1.0, "no lease was taken"


def test_a_breaker_that_opened_is_not_waited_for() -> None:
    world = world_of("a", cooldown=CooldownPolicy(allowed_fails=1), num_retries=5)
    assert play(world, {"a": "connect"}) == steps("a connect, stop 502 upstream_unreachable")


@pytest.mark.parametrize("answer", ["401", "quota", "404", "401:1", "quota:1"])
def test_one_that_refused_is_never_asked_again(answer: str) -> None:
    world = world_of("a", num_retries=5)
    world.configure(group([deployment("a", mode="chat")], num_retries=5))
    lines = play(world, {"a": answer})
    assert lines[0] == f"a {answer}"
    assert lines[1].startswith("stop 502"), lines


def test_one_that_refused_is_left_out_when_others_are_asked_again() -> None:
    world = world_of("a", "b", num_retries=3)
    assert play(world, {"a": "401", "b": "500 500 ok"}) == steps("a 401, b 500, wait 0.1, b 500, wait 0.2, b ok")


def test_a_refused_key_leaves_the_deployments_other_key() -> None:
    world = World(group([deployment("a", api_keys=("bad", "good"))]))
    assert play(world, {"a": "401 ok"}) == steps("a 401, wait 0.1, a ok")
    assert world.load("a").keys[0].until > world.clock.now
    assert world.load("a").keys[1].until <= world.clock.now


def test_everyone_passed_over_is_told_with_a_reason() -> None:
    world = World(group([*tier("a", "b"), deployment("c", enabled=False)], **ROUND_ROBIN))
    played = Play(world, {"a": "500"})
    played.run()
    assert played.rejections == [
        ("c", Reason.DISABLED),
        ("a", Reason.ALREADY_TRIED),
        ("c", Reason.DISABLED),
    ]


# What counts against a deployment.


def test_a_poison_request_counts_one_failure_in_each_group() -> None:
    world = World(
        group(tier("a", "b", "c"), fallbacks=("backup",), **ROUND_ROBIN),
        group(tier("x", "y", "z", group="backup"), name="backup", **ROUND_ROBIN),
    )
    played = Play(world, dict.fromkeys("abcxyz", "500"))
    played.run()
    assert played.counted == [("gpt", "a"), ("backup", "x")]


def test_poison_requests_cannot_open_every_breaker() -> None:
    world = world_of("a", "b", "c", cooldown=CooldownPolicy(allowed_fails=1))
    play(world, dict.fromkeys("abc", "connect"))
    assert [world.load(name).breaker.open_until is None for name in "abc"] == [False, True, True]


def test_what_is_no_breakers_failure_uses_up_no_count() -> None:
    played = Play(world_of("a", "b", "c"), {"a": "429", "b": "401", "c": "500"})
    played.run()
    assert played.counted == [("gpt", "c")]


@pytest.mark.parametrize(("mode", "cooled"), [("chat", True), (None, False)])
def test_a_kind_of_request_that_is_not_found_cools_only_where_the_operator_promised_it(
    mode: Kind | None, cooled: bool
) -> None:
    world = World(group([deployment("a", mode=mode), deployment("b", mode=mode)], **ROUND_ROBIN))
    assert play(world, {"a": "404"}) == steps("a 404, b ok")
    assert any(isinstance(event, Cooled) for event in world.events) == cooled
    assert (world.load("a").breaker.open_until is None) != cooled


def test_a_model_not_found_that_the_client_named_through_a_wildcard_cools_nothing() -> None:
    any_model = group([deployment("a", "open/*", model="*", mode="chat")], name="open/*")
    world = World(wildcards=[any_model])
    for _ in range(20):
        assert Play(world, {"a": "404"}).run(model="open/no-such") == steps("a 404, stop 404 model_not_found")
    assert world.events == []
    assert world.load("a", "open/*").breaker.admits(world.clock.now)


# From group to group.


def test_an_exhausted_group_falls_back() -> None:
    assert play(with_backup("a", "b"), {"a": "500", "b": "500 500"}) == steps(
        "a 500, b 500, wait 0.1, a 500, to backup: general, z ok"
    )


@pytest.mark.parametrize("answer", ["429:3", "429:120", "429", "503:5"])
def test_a_retry_after_is_not_waited_for_while_a_fallback_can_serve(answer: str) -> None:
    assert play(with_backup("a"), {"a": answer}) == steps(f"a {answer}, to backup: general, z ok")


def test_a_group_that_nobody_can_serve_falls_back_at_once() -> None:
    world = with_backup("a")
    world.load("a").breaker.cool(START, START + 60.0, CooldownPolicy())
    assert play(world, {}) == steps("to backup: general, z ok")


def chain(*fallbacks: str, **policy: Any) -> World:
    """`gpt` with `a`, and groups `one`, `two`, `three` with one deployment each, named `1`, `2`, `3`."""
    rest = [group(tier(str(n), group=name), name=name, num_retries=0) for n, name in enumerate(NAMES, 1)]
    return World(group(tier("a"), fallbacks=fallbacks, num_retries=0, max_attempts=9, **policy), *rest)


NAMES = ("one", "two", "three")


def test_fallbacks_follow_in_order() -> None:
    assert play(chain("two", "three", "one"), dict.fromkeys("a123", "500")) == steps(
        "a 500, to two: general, 2 500, to three: general, 3 500, to one: general, 1 500, stop 502 upstream_error"
    )


def test_a_requests_own_fallbacks_stand_in_place_of_the_configured_ones() -> None:
    assert play(chain("one"), {"a": "500"}, request(fallbacks=("three",))) == steps("a 500, to three: general, 3 ok")


def test_an_empty_list_turns_fallbacks_off() -> None:
    assert play(chain("one"), {"a": "500"}, request(fallbacks=())) == steps("a 500, stop 502 upstream_error")


def test_an_unknown_fallback_is_skipped() -> None:
    assert play(chain(), {"a": "500"}, request(fallbacks=("no-such", "two"))) == steps("a 500, to two: general, 2 ok")


def test_a_fallback_to_itself_is_no_fallback() -> None:
    assert play(chain("gpt"), {"a": "500"}) == steps("a 500, stop 502 upstream_error")


def test_a_group_that_was_visited_is_skipped_under_whatever_name() -> None:
    world = World(
        group(tier("a"), fallbacks=("alias", "one", "also-one"), num_retries=0),
        group(tier("1", group="one"), name="one", num_retries=0),
        aliases={"alias": "gpt", "also-one": "one"},
    )
    assert play(world, {"a": "500", "1": "500"}) == steps("a 500, to one: general, 1 500, stop 502 upstream_error")


def test_what_the_client_caused_does_not_fall_back() -> None:
    assert play(chain("one"), {"a": "400"}) == steps("a 400, stop 400 invalid_request_error")
    assert play(chain("one"), {"a": "broken"}) == steps("a broken, stop 502 upstream_unreachable")


def test_a_rejection_by_a_fallback_is_the_answer() -> None:
    assert play(chain("one", "two"), {"a": "500", "1": "400"}) == steps(
        "a 500, to one: general, 1 400, stop 400 invalid_request_error"
    )


def test_a_backend_that_failed_is_not_asked_again_under_its_other_name() -> None:
    world = World(
        group([deployment("a", backend="same")], fallbacks=("backup",), num_retries=0),
        group([deployment("b", "backup", backend="same"), deployment("c", "backup")], name="backup", num_retries=0),
    )
    assert play(world, {"a": "500"}) == steps("a 500, to backup: general, c ok")


@pytest.mark.parametrize(
    ("answer", "kind", "to"),
    [
        ("window", FallbackKind.CONTEXT_WINDOW, "one"),
        ("policy", FallbackKind.CONTENT_POLICY, "two"),
        ("500", FallbackKind.GENERAL, "three"),
    ],
)
def test_each_kind_of_failure_has_its_own_list(answer: str, kind: FallbackKind, to: str) -> None:
    world = chain("three", context_window_fallbacks=("one",), content_policy_fallbacks=("two",))
    assert play(world, {"a": answer}) == steps(f"a {answer}, to {to}: {kind}, {NAMES.index(to) + 1} ok")


@pytest.mark.parametrize("answer", ["window", "policy"])
def test_after_the_special_list_comes_the_general_one(answer: str) -> None:
    world = chain("three", context_window_fallbacks=("one",), content_policy_fallbacks=("one",))
    lines = play(world, dict.fromkeys("a1", answer))
    assert [line for line in lines if not line.startswith("to")] == steps(f"a {answer}, 1 {answer}, 3 ok")


@pytest.mark.parametrize("answer", ["window", "policy"])
def test_a_special_list_goes_on_when_one_of_its_groups_is_down(answer: str) -> None:
    world = chain(context_window_fallbacks=("one", "two"), content_policy_fallbacks=("one", "two"))
    lines = play(world, {"a": answer, "1": "500"})
    assert [line for line in lines if not line.startswith("to")] == steps(f"a {answer}, 1 500, 2 ok")


def test_a_requests_own_context_window_list_stands_in_place_of_the_configured_one() -> None:
    world = chain(context_window_fallbacks=("one",))
    asked = request(context_window_fallbacks=("two",))
    assert play(world, {"a": "window"}, asked) == steps("a window, to two: context_window, 2 ok")


def test_an_ordinary_failure_opens_no_special_list() -> None:
    world = chain(context_window_fallbacks=("one",), content_policy_fallbacks=("two",))
    assert play(world, {"a": "500"}) == steps("a 500, stop 502 upstream_error")


# Prompts that look too large.


def sized(fallback_window: int | None = None, **policy: Any) -> World:
    return World(
        group(tier("small", context_window=1000), **policy),
        group(tier("large", group="long", context_window=fallback_window), name="long"),
    )


LARGE = request(tokens=5000)


def test_a_prompt_too_large_by_the_estimate_moves_before_anything_is_sent() -> None:
    world = sized(context_window_fallbacks=("long",))
    assert play(world, {}, LARGE) == steps("to long: context_window, large ok")
    assert world.load("small").turns["gpt"] < 1.0, "no lease was taken"


def test_a_requests_own_list_moves_it_too() -> None:
    asked = request(tokens=5000, context_window_fallbacks=("long",))
    assert play(sized(), {}, asked) == steps("to long: context_window, large ok")


def test_without_a_window_list_the_general_one_moves_it() -> None:
    assert play(sized(fallbacks=("long",)), {}, LARGE) == steps("to long: context_window, large ok")


def test_it_moves_also_where_only_some_of_the_group_are_too_small() -> None:
    world = World(
        group([*tier("small", context_window=1000), *tier("off", enabled=False)], context_window_fallbacks=("long",)),
        group(tier("large", group="long"), name="long"),
    )
    assert play(world, {}, LARGE) == steps("to long: context_window, large ok")


def test_a_prompt_is_not_refused_on_the_estimate_alone() -> None:
    assert play(sized(), {}, LARGE) == steps("small ok")


def test_upstreams_word_does_refuse_it() -> None:
    assert play(sized(), {"small": "window"}, LARGE) == steps("small window, stop 400 context_length_exceeded")


def test_a_doubtful_prompt_goes_upstream_first() -> None:
    world = sized(context_window_fallbacks=("long",))
    assert play(world, {"small": "window"}, request(tokens=1400)) == steps(
        "small window, to long: context_window, large ok"
    )


def test_too_large_for_every_fallback_too_it_goes_to_the_last_of_them() -> None:
    world = sized(2000, context_window_fallbacks=("long",))
    assert play(world, {}, LARGE) == steps("to long: context_window, large ok")


def test_with_the_larger_group_down_it_goes_back_to_the_one_passed_over() -> None:
    world = sized(context_window_fallbacks=("long",))
    world.load("large", "long").breaker.cool(START, START + 60.0, CooldownPolicy())
    assert play(world, {}, LARGE) == steps("small ok")


def test_within_a_group_the_larger_deployment_takes_it() -> None:
    world = World(group([deployment("small", context_window=1000), deployment("large", context_window=9000)]))
    assert play(world, {}, LARGE) == steps("large ok")


# What other routers got wrong.


def test_litellm_fallback_a_special_list_without_an_entry_does_not_disable_the_general_one() -> None:
    assert play(chain("one", content_policy_fallbacks=("two",)), {"a": "window"}) == steps(
        "a window, to one: context_window, 1 ok"
    )


@pytest.mark.parametrize("answer", ["500", "connect", "429", "window", "policy"])
def test_litellm_fallback_a_cycle_does_not_turn_one_request_into_thousands(answer: str) -> None:
    lists = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
    world = World(
        group(tier("a"), name="gpt", num_retries=0, **dict.fromkeys(lists, ("other",))),
        group(tier("b", group="other"), name="other", num_retries=0, **dict.fromkeys(lists, ("gpt",))),
    )
    lines = play(world, {"a": answer, "b": answer})
    assert [line for line in lines if line[0] in "ab"] == [f"a {answer}", f"b {answer}"]
    assert lines[-1].startswith("stop")


def test_fallback_lists_are_not_transitive() -> None:
    world = World(
        group(tier("a"), fallbacks=("one",), num_retries=0),
        group(tier("1", group="one"), name="one", fallbacks=("two",), num_retries=0),
        group(tier("2", group="two"), name="two"),
    )
    assert play(world, {"a": "500", "1": "500"}) == steps("a 500, to one: general, 1 500, stop 502 upstream_error")


def test_litellm_fallback_a_hop_does_not_start_the_attempts_anew() -> None:
    names = [f"g{index}" for index in range(20)]
    groups = [group(tier(f"{name}-1", f"{name}-2", group=name), name=name) for name in names]
    world = World(group(tier("a", "b"), fallbacks=tuple(names)), *groups)
    played = Play(world, {each.deployment.id: "500" for each in world.store.candidates()})
    played.run()
    assert played.failover is not None
    assert played.failover.attempts == 6


def test_litellm_fallback_a_smaller_window_on_the_way_does_not_end_the_chain() -> None:
    world = World(
        group(tier("a"), context_window_fallbacks=("small", "large"), num_retries=0),
        group(tier("s", group="small", context_window=10), name="small"),
        group(tier("l", group="large"), name="large"),
    )
    assert play(world, {"a": "window"}, request(tokens=5000)) == steps("a window, to large: context_window, l ok")
    assert play(world, {"a": "window", "s": "window"}) == steps(
        "a window, to small: context_window, s window, to large: context_window, l ok"
    )


def test_litellm_cooldown_clients_do_not_see_a_dead_backend_being_found_out() -> None:
    world = world_of("dead", "alive")
    lines = [play(world, {"dead": "connect"}) for _ in range(10)]
    assert all(each[-1] == "alive ok" for each in lines)
    assert sum("dead connect" in each for each in lines) == 3


def test_litellm_cooldown_a_dead_backend_gets_one_trial_and_not_the_traffic() -> None:
    world = world_of("dead", "alive")
    for _ in range(10):
        play(world, {"dead": "connect"})
    world.clock.advance(5.0)
    lines = [play(world, {"dead": "connect"}) for _ in range(10)]
    assert sum("dead connect" in each for each in lines) == 1


# Whatever the configuration and the weather.

WORDS = st.sampled_from([*sorted(FACTS), "ok", "503:1", "429:2", "429:9999", "quota:3"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, dict[str, str]]:
    names = ["gpt", "g1", "g2", "g3"][: draw(st.integers(1, 4))]
    backends = st.sampled_from([None, None, "shared-1", "shared-2"])
    lists = st.lists(st.sampled_from(names), max_size=4).map(tuple)
    groups: list[ModelGroup] = []
    script: dict[str, str] = {}
    for name in names:
        tiers = []
        for number in range(draw(st.integers(1, 2))):
            places = []
            for index in range(draw(st.integers(0 if number else 1, 4))):
                id_ = f"{name}-{number}-{index}"
                backend = draw(backends)
                fields = {"backend": backend} if backend else {}
                places.append(
                    deployment(
                        id_,
                        name,
                        enabled=draw(st.booleans()) or draw(st.booleans()),
                        context_window=draw(st.sampled_from([None, None, 10, 10_000])),
                        mode=draw(st.sampled_from([None, "chat", "embedding"])),
                        **fields,
                    )
                )
                script[id_] = " ".join(draw(st.lists(WORDS, min_size=1, max_size=4)))
            tiers.append(places)
        groups.append(
            group(
                *tiers,
                name=name,
                strategy=draw(st.sampled_from(["weighted", "round-robin", "least-busy"])),
                num_retries=draw(st.integers(0, 4)),
                max_attempts=draw(st.integers(1, 8)),
                fallbacks=draw(lists),
                context_window_fallbacks=draw(lists),
                content_policy_fallbacks=draw(lists),
                cooldown=CooldownPolicy(allowed_fails=draw(st.integers(1, 3)), min_requests=draw(st.integers(1, 3))),
            )
        )
    return World(*groups), script


ASKED = st.builds(
    request,
    tokens=st.sampled_from([1, 12, 100, 10**6]),
    deadline=st.sampled_from([START + 0.5, START + 30.0, START + 600.0]),
    num_retries=st.none() | st.integers(0, 10),
    fallbacks=st.none() | st.lists(st.sampled_from(["gpt", "g1", "g2", "g3", "no"]), max_size=3).map(tuple),
)


@given(worlds(), ASKED, st.integers(), st.sampled_from([0.0, 0.1, 20.0]))
def test_every_request_ends_within_its_limits(
    made: tuple[World, dict[str, str]], asked: RouteRequest, seed: int, seconds: float
) -> None:
    world, script = made
    played = Play(world, script, Random(seed), seconds)
    lines = played.run(asked)
    assert played.failover is not None
    tries = [line for line in lines if not line.startswith(("wait", "to ", "stop"))]
    policy = world.group().policy
    assert len(tries) == played.failover.attempts <= policy.max_attempts
    assert world.in_flight == 0
    assert world.clock.now < asked.deadline + max(seconds, 1e-9), "no wait reaches beyond the deadline"
    entered = [line for line in lines if line.startswith("to ")]
    assert len(set(entered)) == len(entered), "each group is visited once"
    assert len({name for name, _ in played.counted}) == len(played.counted), "one counted failure in each group"
    assert (played.error is None) == (bool(lines) and lines[-1].endswith(" ok"))
    assert not any(first.startswith("wait") and second.startswith("wait") for first, second in pairwise(lines))


@given(worlds(), ASKED, st.integers())
def test_nobody_is_asked_twice_while_somebody_else_is_left(
    made: tuple[World, dict[str, str]], asked: RouteRequest, seed: int
) -> None:
    world, script = made
    backends = {each.deployment.id: each.deployment.backend for each in world.store.candidates()}

    class Watched(Play):
        def attempt(self, step: Try, failover: Failover) -> bool:
            names = (line.split()[0] for line in self.lines)
            before = {backends[name] for name in names if name in backends}
            if step.candidate.deployment.backend in before:
                left = plan(asked, step.group, world.store.view(), before).candidates
                assert left == [], f"{step.candidate.deployment.id} again after {self.lines}"
            return super().attempt(step, failover)

    Watched(world, script, Random(seed)).run(asked)
