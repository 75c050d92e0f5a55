"""Single decisions of the runner, each in the smallest story that shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.breaker import BreakerState
from router.core.catalogue import Catalogue
from router.core.events import Attempted, Cooled, FellBack, Recovered, Rejected
from router.core.failover import FallbackKind
from router.core.filters import Reason
from router.core.override import Override
from router.core.types import CooldownPolicy, Deployment, ModelGroup, Prices, QueuePolicy, RoutingPolicy, Usage
from tests.flow.behaviours import REPLY, WORDS
from tests.flow.promises import assert_all_kept
from tests.flow.stories import KEEPALIVE, START, Asks, Played, Story, Told, body_of, content, header, play

QUICK = CooldownPolicy(allowed_fails=1, base=5.0)
POLICY = RoutingPolicy(
    num_retries=2, attempt_timeout=10.0, first_token_timeout=4.0, stream_idle_timeout=3.0, cooldown=QUICK
)


def deployment(id: str, group: str = "alpha", keys: int = 1) -> Deployment:
    """Reached at `http://{id}.test`, for 1 and 2 dollars a token."""
    return Deployment(
        id, group, "openai", f"model-of-{id}", f"http://{id}.test/v1", tuple(f"key-{n}" for n in range(keys)),
        headers={"x-account": id}, prices=Prices(1.0, 2.0),
    )  # fmt: skip


def group(name: str, *ids: str, policy: RoutingPolicy = POLICY, keys: int = 1) -> ModelGroup:
    """One tier for each deployment, so that they are tried in their order."""
    return ModelGroup(name, tuple((deployment(id, name, keys),) for id in ids), policy)


def happens(behaviours: dict[str, str], *asks: Asks, groups: tuple[ModelGroup, ...] = (), early: float = 0.0) -> Played:
    """`behaviours` by deployment, `503 | ok` being first the one, then the other; all in `alpha` without `groups`."""
    groups = groups or (group("alpha", *behaviours),)
    scripts = {f"{id}.test": tuple(text.split(" | ")) for id, text in behaviours.items()}
    story = Story(Catalogue({item.name: item for item in groups}), scripts, asks or (Asks(),), early=early)
    played = play(story)
    assert_all_kept(played)
    return played


def only(played: Played) -> Told:
    (told,) = played.told
    return told


def tried(told: Told) -> list[str]:
    return [lease.deployment.id for lease in told.client.leases]


def attempts(played: Played) -> list[tuple[str, str, float]]:
    found = [event for event in played.events if isinstance(event, Attempted)]
    return [(event.deployment, event.outcome, round(event.duration, 3)) for event in found]


def test_a_failed_attempt_is_made_good_by_the_next_deployment() -> None:
    played = happens({"a": "slow 500", "b": "slow"})
    told = only(played)
    assert (told.record.outcome, told.record.attempts, told.record.deployment) == ("ok", 2, "b")
    assert content(told.exchange.body) == "".join(WORDS)
    assert attempts(played) == [("a", "server_error", 1.5), ("b", "ok", 5.5)]
    assert told.record.upstream == pytest.approx(7.0)
    assert told.record.first_token == pytest.approx(2.0)


def test_a_whole_reply_travels_on_untouched_with_its_usage_and_its_cost_noted() -> None:
    told = only(happens({"a": "ok"}, Asks(stream=False)))
    assert told.exchange.body == REPLY
    assert told.record.usage == Usage(7, 4)
    assert told.record.cost == 7 * 1.0 + 4 * 2.0


def test_the_usage_of_a_stream_is_asked_for_noted_and_kept_from_a_client_that_did_not_ask() -> None:
    told = only(happens({"a": "with usage"}))
    assert body_of(told.sent[0].wire)["stream_options"] == {"include_usage": True}
    assert (told.record.usage, told.record.cost) == (Usage(7, 4), 15.0)
    assert b"usage" not in told.exchange.body


def test_what_a_failed_attempt_cost_is_not_told_of_the_one_that_served() -> None:
    told = only(happens({"a": "usage without content", "b": "ok"}))
    assert told.record.deployment == "b"
    assert told.record.usage is not None
    assert told.record.usage.estimated
    assert told.record.usage.completion_tokens == told.exchange.body.count(b"data: {")


def test_a_broken_stream_ends_with_the_error_in_band() -> None:
    told = only(happens({"a": "reset after content", "b": "ok"}))
    assert tried(told) == ["a"]
    assert (told.record.outcome, told.record.error) == ("broken", "stream_broken")
    message = b"the stream broke: 1 attempt: a closed in the middle of a response"
    error = b'data: {"error":{"message":"%b","type":"api_error","param":null,"code":"stream_broken"}}\n\n' % message
    assert told.exchange.writes[-1][1] == error
    assert content(told.exchange.body) == "Once upon "


def test_every_failed_attempt_is_named_in_the_answer() -> None:
    told = only(happens({"a": "503", "b": "refused", "c": "429"}))
    assert told.error is not None
    assert (told.error.status, told.error.code) == (429, "rate_limit_exceeded")
    assert told.error.message == "alpha: 3 attempts: a 503, b refused the connection, c 429"


def test_what_upstream_says_of_the_request_itself_is_passed_on_and_asked_only_once() -> None:
    told = only(happens({"a": "422", "b": "ok"}))
    assert tried(told) == ["a"]
    assert told.error is not None
    assert (told.error.status, told.error.body) == (422, told.sent[0].script.body)


def test_the_deadline_is_over_all_attempts_together() -> None:
    told = only(happens({"a": "hangs", "b": "hangs", "c": "hangs"}, Asks(stream=False, timeout=25.0)))
    assert tried(told) == ["a", "b", "c"]
    assert told.finished == pytest.approx(START + 25.0)
    assert told.error is not None
    assert (told.error.status, told.error.code) == (504, "timeout")


def test_a_stream_has_to_bring_its_first_token_in_time_and_then_never_to_stand_still_for_long() -> None:
    played = happens({"a": "stalls before content", "b": "stalls after content"})
    assert attempts(played) == [("a", "first_token_timeout", 4.0), ("b", "idle_timeout", 3.0)]
    assert only(played).record.outcome == "broken"


def test_a_stream_that_has_begun_is_kept_awake() -> None:
    told = only(happens({"a": "stalls after content"}))
    assert (START + KEEPALIVE, b": keep-alive\n\n") in told.exchange.writes


@pytest.mark.parametrize("early", [0.0, 0.0005], ids=["on time", "half a millisecond early"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_clients_own_short_deadline_is_not_held_against_the_deployment(stream: bool, early: float) -> None:
    impatient = Asks(stream=stream, timeout=1.0)
    asks = [replace(impatient, at=float(at)) for at in range(5)]
    played = happens({"a": "hangs"}, *asks, groups=(group("alpha", "a", policy=replace(POLICY, num_retries=0)),),
                     early=early)  # fmt: skip
    assert [told.error.code for told in played.told if told.error] == ["timeout"] * 5
    assert not any(isinstance(event, Cooled) for event in played.events)


def test_a_deployment_that_hangs_is_cooled() -> None:
    played = happens({"a": "hangs", "b": "ok"}, Asks(stream=False))
    assert [event.deployment for event in played.events if isinstance(event, Cooled)] == ["a"]


def test_a_client_that_reads_too_slowly_is_not_held_against_the_deployment() -> None:
    touchy = replace(POLICY, cooldown=CooldownPolicy(min_requests=1))
    sleepy = Asks(rest=100.0)
    played = happens({"a": "slow"}, sleepy, replace(sleepy, at=20.0), groups=(group("alpha", "a", "b", policy=touchy),))
    assert [told.record.outcome for told in played.told] == ["broken", "broken"]
    assert [outcome for _, outcome, _ in attempts(played)] == ["attempt_timeout", "attempt_timeout"]
    assert not any(isinstance(event, Cooled) for event in played.events)


def test_a_client_that_leaves_in_a_half_open_trial_gives_the_trial_back() -> None:
    once = group("alpha", "a", policy=replace(POLICY, num_retries=0))
    asks = (Asks(), Asks(at=6.0, leaves=0.5), Asks(at=7.0))
    played = happens({"a": "refused | slow | slow"}, *asks, groups=(once,))
    assert [told.cancelled for told in played.told] == [False, True, False]
    assert [lease.trial for lease in played.store.leases] == [False, True, True]
    assert [event.deployment for event in played.events if isinstance(event, Recovered)] == ["a"]


def test_a_poison_request_opens_one_breaker_at_most() -> None:
    played = happens({"a": "reset", "b": "reset", "c": "reset"})
    assert tried(only(played)) == ["a", "b", "c"]
    assert [event.deployment for event in played.events if isinstance(event, Cooled)] == ["a"]
    states = [candidate.load.breaker.state(START) for candidate in played.store.candidates()]
    assert states == [BreakerState.OPEN, BreakerState.CLOSED, BreakerState.CLOSED]


def test_another_key_of_the_same_deployment_serves_where_the_first_is_at_its_limit() -> None:
    told = only(happens({"a": "429, come back tomorrow | ok"}, groups=(group("alpha", "a", keys=2),)))
    assert [header(sent.wire, "authorization") for sent in told.sent] == [["Bearer key-0"], ["Bearer key-1"]]
    assert told.record.outcome == "ok"


def test_the_keys_of_a_deployment_take_turns() -> None:
    played = happens({"a": "ok"}, Asks(), Asks(at=1.0), Asks(at=2.0), groups=(group("alpha", "a", keys=2),))
    keys = [header(sent.wire, "authorization")[0] for sent in played.upstream.sent]
    assert keys == ["Bearer key-0", "Bearer key-1", "Bearer key-0"]


def test_a_half_open_trial_that_meets_a_429_is_given_back() -> None:
    once = group("alpha", "a", policy=replace(POLICY, num_retries=0))
    asks = (Asks(), Asks(at=6.0), Asks(at=9.0))
    played = happens({"a": "refused | 429, come back | ok"}, *asks, groups=(once,))
    assert [lease.trial for lease in played.store.leases] == [False, True, True]
    assert played.told[2].record.outcome == "ok"


def test_what_comes_back_from_a_429_is_tried_by_one_request_until_the_head_of_its_answer() -> None:
    asks = (Asks(), Asks(at=2.5), Asks(at=2.6), Asks(at=2.9), Asks(at=3.1))
    played = happens({"a": "429, come back | slow head | ok", "b": "ok"}, *asks)
    assert [tried(told)[-1] for told in played.told] == ["b", "a", "b", "b", "a"]
    assert [told.record.attempts for told in played.told] == [2, 1, 1, 1, 1]


@pytest.mark.parametrize(("override", "freed_at"), [(None, 3.0), (Override(headers={"x-team": "theirs"}), 2.6)])
def test_whoever_waits_for_a_key_on_trial_goes_once_it_is_free(override: Override | None, freed_at: float) -> None:
    once = group("alpha", "a", policy=replace(POLICY, num_retries=0, queue=QueuePolicy(5)))
    asks = (Asks(), Asks(at=2.5, override=override), Asks(at=2.6))
    played = play(Story(Catalogue({"alpha": once}), {"a.test": ("429, come back", "slow head", "ok")}, asks))
    assert [round(told.finished - START, 3) for told in played.told] == [0.0, 4.0, freed_at]
    assert [told.record.outcome for told in played.told[1:]] == ["ok", "ok"]


def test_an_attempt_with_a_clients_own_headers_neither_teaches_nor_tries_anything() -> None:
    once = group("alpha", "a", policy=replace(POLICY, num_retries=0))
    asks = (Asks(), Asks(at=2.5, override=Override(headers={"x-team": "theirs"})), Asks(at=2.6, stream=False))
    played = happens({"a": "429, come back | slow | ok"}, *asks, groups=(once,))
    assert header(played.told[1].sent[0].wire, "x-team") == ["theirs"]
    assert [told.record.outcome for told in played.told[1:]] == ["ok", "ok"], "the deployment's own key is free"
    (load,) = [candidate.load for candidate in played.store.candidates()]
    assert load.latency.usual(10) == 0.0, "no stream has been measured"
    assert (load.backlog.waiting, load.backlog.pace, load.backlog.room) == (0, 0.0, 1.0)


def test_an_attempt_with_a_clients_own_headers_is_not_the_trial_of_a_backend_that_may_be_well_again() -> None:
    once = group("alpha", "a", policy=replace(POLICY, num_retries=0))
    asks = (Asks(), Asks(at=6.0, override=Override(headers={"x-team": "theirs"})), Asks(at=6.1, stream=False))
    played = happens({"a": "refused | slow | ok"}, *asks, groups=(once,))
    assert [told.record.outcome for told in played.told[1:]] == ["ok", "ok"]
    assert [event for event in played.events if isinstance(event, Recovered)] == [Recovered("a")]
    assert played.told[2].finished < played.told[1].finished


def test_a_fallback_is_told_of_once_and_only_when_it_is_sent_to() -> None:
    falls_back = replace(POLICY, fallbacks=("beta", "gamma"))
    groups = (group("alpha", "a", policy=falls_back), group("beta", "b", "b2"), group("gamma", "c"))
    played = happens({"a": "404", "b": "404", "b2": "404", "c": "ok"}, groups=groups)
    fell = [event for event in played.events if isinstance(event, FellBack)]
    assert fell == [FellBack("alpha", "beta", FallbackKind.GENERAL), FellBack("alpha", "gamma", FallbackKind.GENERAL)]
    assert (only(played).record.served_by, only(played).record.attempts) == ("gamma", 4)


def test_whom_a_filter_passes_over_is_told_under_the_group_it_was_in() -> None:
    falls_back = replace(POLICY, fallbacks=("beta",))
    small = replace(deployment("b", "beta"), context_window=1)
    groups = (group("alpha", "a", policy=falls_back), ModelGroup("beta", ((small, deployment("c", "beta")),), POLICY))
    played = happens({"a": "404", "c": "ok"}, groups=groups)
    assert Rejected("beta", Reason.CONTEXT_WINDOW) in played.events
    assert Rejected("alpha", Reason.ALREADY_TRIED) in played.events


def test_a_key_whose_trial_told_nothing_has_not_failed() -> None:
    """Its trial is given back; the request's one failure that counts was another's."""
    asks = (Asks(stream=False, num_retries=1), Asks(stream=False, num_retries=1, at=6.0))
    played = happens({"a": "refused", "b": "429, come back | refused"}, *asks)
    assert [tried(told) for told in played.told] == [["a", "b"], ["a", "b"]]
    (key,) = played.told[1].client.leases[1].load.keys
    assert (key.streak, key.until) == (1, START + 6.0), "the next request may try it"
