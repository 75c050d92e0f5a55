"""A stream that is slow to begin, and its copy: who serves, who is cancelled, and what is booked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from router.core.catalogue import Catalogue
from router.core.events import Attempted, Hedged
from router.core.types import CooldownPolicy, Deployment, HedgingPolicy, ModelGroup, Prices, RoutingPolicy
from router.flow.hedging import Hedger
from tests.flow.promises import assert_all_kept
from tests.flow.stories import HEDGED_AFTER, START, Asks, Played, Story, content, play

POLICY = RoutingPolicy(
    num_retries=1, max_attempts=4, attempt_timeout=20.0, connect_timeout=5.0, first_token_timeout=8.0,
    stream_idle_timeout=3.0, fallbacks=("beta",), hedging=HedgingPolicy(),
    cooldown=CooldownPolicy(allowed_fails=9, min_requests=99),
)  # fmt: skip
PRICES = Prices(0.5, 2.0)


def deployment(id: str, group: str) -> Deployment:
    return Deployment(id, group, "openai", f"model-of-{id}", f"http://{id}.test/v1", (f"key-of-{id}",),
                      headers={"x-account": id}, prices=PRICES)  # fmt: skip


def catalogue(policy: RoutingPolicy = POLICY) -> Catalogue:
    """The first attempt goes to `first`, and so the copy to `other`."""
    alpha = ModelGroup("alpha", ((deployment("first", "alpha"),), (deployment("other", "alpha"),)), policy)
    beta = ModelGroup("beta", ((deployment("spare", "beta"),),), replace(policy, hedging=None, fallbacks=()))
    return Catalogue({"alpha": alpha, "beta": beta})


def tell(first: str, other: str = "with usage", *asks: Asks, policy: RoutingPolicy = POLICY) -> Played:
    behaviours = {"first.test": (first,), "other.test": (other,), "spare.test": ("ok",)}
    played = play(Story(catalogue(policy), behaviours, asks or (Asks(),)))
    assert_all_kept(played)
    return played


def hedged(played: Played) -> list[Hedged]:
    return [event for event in played.events if isinstance(event, Hedged)]


def outcomes(played: Played) -> list[tuple[str, str]]:
    return [(event.deployment, event.outcome) for event in played.events if isinstance(event, Attempted)]


SLOW_TO_BEGIN = ["hangs", "unreachable", "head only", "stalls before content"]


@pytest.mark.parametrize("first", SLOW_TO_BEGIN)
def test_the_copy_serves_where_it_is_the_first_to_have_a_token(first: str) -> None:
    played = tell(first)
    (told,) = played.told
    assert told.error is None
    assert told.finished == pytest.approx(START + HEDGED_AFTER)
    assert content(told.exchange.body) == "Once upon a time"
    assert (told.record.deployment, told.record.attempts, told.record.outcome) == ("other", 2, "ok")
    assert sorted(outcomes(played)) == [("first", "outrun"), ("other", "ok")]
    assert hedged(played) == [Hedged("alpha", "won", "first", 0.5 * 10)]


def test_the_slower_one_is_cancelled_at_the_others_first_token_and_not_at_its_end() -> None:
    played = tell("hangs", "slow")
    (event,) = [each for each in played.events if isinstance(each, Attempted) and each.outcome == "outrun"]
    assert event.duration == pytest.approx(HEDGED_AFTER + 2.0)
    assert played.told[0].finished == pytest.approx(START + HEDGED_AFTER + 5.5)


def test_the_first_token_of_a_copy_is_measured_like_any() -> None:
    played = tell("hangs", "slow")
    copy = next(lease for lease in played.store.leases if lease.deployment.id == "other" and lease.load.in_flight == 0)
    assert copy.load.latency.usual(10) == pytest.approx(2.0)
    assert copy.load.backlog.waiting == 0


def test_the_first_attempt_serves_where_it_begins_after_all() -> None:
    played = tell("slow", "hangs")
    (told,) = played.told
    assert (told.record.deployment, told.record.attempts) == ("first", 2)
    assert content(told.exchange.body) == "Once upon a time"
    assert outcomes(played) == [("other", "outrun"), ("first", "ok")]
    assert [event.outcome for event in hedged(played)] == ["lost"]


def test_a_stream_that_begins_as_usual_is_not_copied() -> None:
    played = tell("with usage")
    assert outcomes(played) == [("first", "ok")]
    assert hedged(played) == []


def test_no_copy_is_sent_after_the_first_token() -> None:
    played = tell("stalls after content", "ok")
    assert outcomes(played) == [("first", "idle_timeout")]
    assert played.told[0].exchange.transcript.endswith("f")


def test_a_whole_reply_is_never_copied() -> None:
    played = tell("slow", "ok", Asks(stream=False))
    assert outcomes(played) == [("first", "ok")]


def test_where_the_first_attempt_fails_its_copy_goes_on_alone() -> None:
    played = tell("slow 500", "slow")
    assert outcomes(played) == [("first", "server_error"), ("other", "ok")]
    assert [(event.outcome, event.outrun, event.cost) for event in hedged(played)] == [("won", "", None)]


def test_where_the_copy_fails_the_first_attempt_goes_on_alone() -> None:
    played = tell("slow", "503")
    assert outcomes(played) == [("other", "server_error"), ("first", "ok")]
    assert [event.outcome for event in hedged(played)] == ["lost"]


def test_where_both_fail_the_request_goes_on_as_after_any_failure() -> None:
    played = tell("slow 500", "slow 500")
    (told,) = played.told
    assert (told.record.deployment, told.record.attempts, told.error) == ("first", 3, None) or (
        told.record.served_by == "beta" and told.error is None
    )
    assert [event.outcome for event in hedged(played)] == ["failed"]


def test_what_one_deployment_refuses_for_good_is_not_waited_for_at_the_other() -> None:
    played = tell("hangs", "400", policy=replace(POLICY, fallbacks=()))
    (told,) = played.told
    assert told.error is not None
    assert told.error.status == 400
    assert told.finished == pytest.approx(START + HEDGED_AFTER)
    assert ("first", "client_gone") in outcomes(played)


def test_a_copy_is_among_the_attempts_that_a_request_may_have() -> None:
    played = tell("hangs", "ok", policy=replace(POLICY, max_attempts=1))
    assert outcomes(played) == [("first", "first_token_timeout")]
    assert hedged(played) == []


def test_copies_end_where_the_group_has_none_saved_up() -> None:
    asks = [Asks(at=place * 0.5, timeout=5.0) for place in range(40)]
    played = tell("hangs", "ok", *asks)
    assert len(hedged(played)) <= 10 + 0.05 * 40, "ten had been saved up before"
    assert len(hedged(played)) >= 10


def test_the_slower_ones_prompt_is_part_of_the_requests_cost() -> None:
    (told,) = tell("hangs", "with usage").told
    assert told.record.hedge_cost == pytest.approx(0.5 * 10)
    assert told.record.cost == pytest.approx(0.5 * 7 + 2.0 * 4 + 0.5 * 10)


def test_a_request_waits_for_upstream_once_however_many_attempts_there_are() -> None:
    (told,) = tell("hangs", "slow").told
    assert told.record.upstream == pytest.approx(told.finished - START)
    assert told.record.first_token == pytest.approx(2.0), "of the attempt that served"


def test_without_hedging_a_stream_passes_its_room_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Hedger, "serve")
    assert outcomes(tell("slow", policy=replace(POLICY, hedging=None))) == [("first", "ok")]


def moments() -> Iterator[Asks]:
    """Going away at every await of the request itself, and at every turn of the loop around what happens to it."""
    for at in range(6):
        for waking in (False, True):
            yield Asks(interrupted_at=at, waking=waking)
    for leaves in (0.0, HEDGED_AFTER / 2, HEDGED_AFTER, 1.0, HEDGED_AFTER + 1.0, 1.5, 2.0, HEDGED_AFTER + 2.0, 3.0):
        for steps in range(9):
            yield Asks(leaves=leaves, steps=steps)
    for write in range(1, 6):
        yield Asks(hangs_up_at=write)


@pytest.mark.parametrize("first", ["hangs", "slow", "slow 500", "refused after a while", "reset before content"])
@pytest.mark.parametrize("other", ["ok", "slow", "503", "hangs", "reset after content", "error before content"])
def test_both_leases_are_settled_once_whenever_the_client_goes_away(first: str, other: str) -> None:
    cancelled = 0
    for asks in moments():
        played = tell(first, other, asks)
        cancelled += played.told[0].cancelled
        assert len(played.store.settled) == len(played.store.leases)
        assert not any(candidate.load.outstanding for candidate in played.store.candidates())
    assert cancelled >= 25
