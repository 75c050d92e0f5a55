"""Every mistake that LiteLLM's router was found to make in routing, cooldowns and fallbacks, and the test that shows
the right behaviour here. What stands in the table is looked up, so that no row names a test that is gone."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from router.core.retry import judge
from router.state.base import Outcome
from tests.config.loading import MODELS, loaded
from tests.core.making import World, group, tier
from tests.core.playing import Play, failure, play, steps

HERE = "tests.core.test_peers"
ROUTING = "tests.core.test_peers_routing"
FAILOVER = "tests.core.test_failover"
LIMITS = "tests.core.test_limits"
SHARING = "tests.state.test_sharing"

MISTAKES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        # Routing
        "ties always go to the first listed": (ROUTING, "test_ties_do_not_all_go_to_the_first_listed"),
        "a dead pod's in-flight count stays up to an hour": (
            SHARING, "test_a_dead_replicas_requests_are_gone_with_its_lease"),
        "a live in-flight count is reset by the hour": (
            ROUTING, "test_a_live_in_flight_count_is_not_reset_by_the_hour"),
        "an in-flight count goes down that never went up": (
            ROUTING, "test_nothing_is_given_back_that_was_never_taken"),
        "an in-flight count gets stuck": (ROUTING, "test_no_in_flight_count_is_stuck_however_an_attempt_ends"),
        "one backend under two names is counted twice": (ROUTING, "test_one_backend_under_two_names_is_one_load"),
        "Redis is called synchronously on the event loop": (ROUTING, "test_no_part_of_a_decision_waits_for_anything"),
        "seconds are mixed with seconds per token": (ROUTING, "test_seconds_and_seconds_per_token_are_never_mixed"),
        "a deployment that timed out once is never tried again": (
            ROUTING, "test_a_deployment_that_timed_out_once_is_retried_later"),
        "each pod overwrites the others' data": (SHARING, "test_each_replica_sees_what_the_others_have_under_way"),
        "a price of 0 counts as unset": (ROUTING, "test_a_price_of_zero_is_a_price"),
        "the length of the output is ignored": (ROUTING, "test_cost_counts_the_length_of_the_output"),
        "prices of cached prompts are ignored": (
            ROUTING, "test_cost_counts_the_prompts_that_upstream_has_in_its_cache"),
        "rpm limits are off by one": (LIMITS, "test_rpm_is_not_off_by_one"),
        "rpm: 60 also means 60 at once": (LIMITS, "test_rpm_60_does_not_also_mean_60_at_once"),
        "a filter pass is O(n²)": (
            ROUTING, "test_a_filter_pass_looks_at_each_candidate_a_fixed_number_of_times"),
        # Cooldown
        "a setting equal to the default is ignored": (HERE, "test_a_setting_equal_to_the_default_is_a_setting"),
        "a later, longer cooldown is dropped for the earlier one": (HERE, "test_the_longer_of_two_cooldowns_holds"),
        "siblings see a cooldown seconds late": (
            "tests.state.test_medium_contract", "test_a_published_cooldown_is_heard_by_the_others_and_kept"),
        "clients see five failures before a dead backend is left alone": (
            FAILOVER, "test_litellm_cooldown_clients_do_not_see_a_dead_backend_being_found_out"),
        "there is no half-open trial": (
            FAILOVER, "test_litellm_cooldown_a_dead_backend_gets_one_trial_and_not_the_traffic"),
        # Fallback
        "a specific list without an entry disables the general one": (
            FAILOVER, "test_litellm_fallback_a_special_list_without_an_entry_does_not_disable_the_general_one"),
        "a cycle turns one bad request into 79,858 calls": (
            FAILOVER, "test_litellm_fallback_a_cycle_does_not_turn_one_request_into_thousands"),
        "each hop restarts the retry count": (
            FAILOVER, "test_litellm_fallback_a_hop_does_not_start_the_attempts_anew"),
        "falling back to a smaller window ends the chain": (
            FAILOVER, "test_litellm_fallback_a_smaller_window_on_the_way_does_not_end_the_chain"),
        "fallback in the middle of a stream ignores its switch": (
            HERE, "test_nothing_falls_back_once_the_client_has_had_bytes"),
    }
)  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_has_a_test(mistake: str) -> None:
    module, name = MISTAKES[mistake]
    assert callable(getattr(importlib.import_module(module), name, None)), f"{module} has no {name}"


def test_a_setting_equal_to_the_default_is_a_setting() -> None:
    text = "routing: {cooldown: {base: 60, allowed_fails: 9}}\nmodels: {small: {cooldown: {base: 5}}}\n" + MODELS
    groups = loaded(text).catalogue.groups
    assert groups["small"].policy.cooldown.base == 5.0
    assert groups["small"].policy.cooldown.allowed_fails == 9
    assert groups["large"].policy.cooldown.base == 60.0


@pytest.mark.parametrize("answers", ["503:5 503:60", "503:60 503:5", "429:5 429:60"])
def test_the_longer_of_two_cooldowns_holds(answers: str) -> None:
    world = World(group(tier("a", "b"), strategy="round-robin"))
    both = [world.lease("a"), world.lease("a")]  # sent before anything was known
    for answer, lease in zip(answers.split(), both, strict=True):
        told = failure(answer)
        world.store.settle(lease, Outcome(judge(told).health, told.kind, told.retry_after))
    world.clock.advance(59.9)
    assert play(world, {}) == steps("b ok")
    world.clock.advance(0.2)
    picked = {play(world, {})[0] for _ in range(4)}
    assert picked == {"a ok", "b ok"}


def test_nothing_falls_back_once_the_client_has_had_bytes() -> None:
    world = World(
        group(tier("a", "b"), fallbacks=("f",), strategy="round-robin"), group(tier("c", group="f"), name="f")
    )
    played = Play(world, {"a": "broken"})
    assert played.run()[:1] == ["a broken"]
    assert [line for line in played.lines if line.startswith(("b", "c", "to"))] == []
