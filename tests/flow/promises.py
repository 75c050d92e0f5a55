"""The invariants I1 to I6 and I10 of the design: what must be true of every story, however it went."""

from __future__ import annotations

import re
from collections import Counter

from router.core.errors import FailureKind
from router.core.events import Attempted, Cooled, FellBack, Finished, Hedged, Recovered, Rejected
from router.core.failover import FallbackKind
from router.core.filters import Reason
from tests.flow.scripted import Sent
from tests.flow.stories import START, Played, Told, content, header

SLACK = 1e-6  # seconds: what adding floats costs


def broken(played: Played, invariant: str) -> list[str]:
    return [what for what in played.store.broken if what.startswith(f"{invariant}:")]


def served_by(played: Played, told: Told) -> Sent:
    """The last request to the deployment that the record names."""
    hosts = {deployment.id: f"{deployment.api_base[7:-3]}" for deployment in played.deployments}
    return [sent for sent in told.sent if sent.wire.origin.host == hosts[told.record.deployment]][-1]


def i1_every_lease_is_settled_exactly_once_and_in_flight_returns_to_zero(played: Played) -> None:
    assert broken(played, "I1") == []
    assert Counter(id(lease) for lease, _ in played.store.settled) == Counter(map(id, played.store.leases))
    assert set(played.in_flight) <= {0}
    assert [sent.wire.head for sent in played.upstream.sent if sent.open] == []
    assert not any(candidate.load.breaker.trial for candidate in played.store.candidates())


def i2_no_backend_is_tried_twice_while_another_candidate_is_left(played: Played) -> None:
    assert broken(played, "I2") == []


def i3_attempts_and_time_are_bounded(played: Played) -> None:
    assert broken(played, "I3") == []
    for told in played.told:
        group = played.story.catalogue.resolve(told.asks.model)
        assert group is not None
        assert len(told.client.leases) == told.record.attempts <= group.policy.max_attempts
        for asked, attempts in Counter(lease.group for lease in told.client.leases).items():
            retries = asked.policy.num_retries if told.asks.num_retries is None else told.asks.num_retries
            assert attempts <= 1 + retries + (asked.policy.hedging is not None)
        assert told.finished <= told.client.route.deadline + SLACK


def i4_a_client_gets_one_answer_and_nothing_is_retried_after_its_first_byte(played: Played) -> None:
    assert broken(played, "I4") == []
    for told in played.told:
        transcript = told.exchange.transcript
        if told.cancelled:
            assert re.fullmatch("r|sw*[ef]?|", transcript)
        elif told.error is not None:
            assert transcript == ""
        else:
            assert re.fullmatch("r|sw*[ef]", transcript)
            assert told.record.outcome == ("broken" if transcript.endswith("f") else "ok")


def i4_a_clean_end_is_only_told_where_upstream_has_come_to_its_end(played: Played) -> None:
    for told in played.told:
        body, ended = told.exchange.body, told.exchange.transcript.endswith(("r", "e"))
        assert served_by(played, told).script.whole if ended else b"data: [DONE]" not in body
        text = content(body)
        if ended:
            assert text == content(served_by(played, told).script.body)
            assert not told.asks.stream or body.endswith(b"data: [DONE]\n\n")
        elif text:
            assert content(served_by(played, told).script.body).startswith(text)


def i5_keys_and_headers_of_a_deployment_go_to_its_own_host_only(played: Played) -> None:
    for sent in played.upstream.sent:
        wire = sent.wire
        owners = [d for d in played.deployments if d.api_base == f"http://{wire.origin.host}/v1"]
        assert header(wire, "host") == [wire.origin.host]
        assert header(wire, "x-account") == [owners[0].headers["x-account"]]
        own = {f"Bearer {key}" for key in owners[0].api_keys}
        assert set(header(wire, "authorization")) <= own
        assert bool(header(wire, "authorization")) == bool(own)
    for told in played.told:
        for sent, lease in zip(told.sent, told.client.leases, strict=False):  # cancelled early, nothing was sent
            assert lease.deployment.api_base == f"http://{sent.wire.origin.host}/v1"
            assert header(sent.wire, "authorization") == ([f"Bearer {lease.key}"] if lease.key else [])


def i6_labels_come_from_the_configuration(played: Played) -> None:
    groups = {*played.story.catalogue.groups, *(group.name for group in played.story.catalogue.wildcards)}
    ids = {deployment.id for deployment in played.deployments}
    outcomes = {"ok", "client_gone", "outrun", *map(str, FailureKind)}
    for event in played.events:
        match event:
            case Attempted(group, deployment, provider, outcome, duration, _):
                assert group in groups
                assert deployment in ids
                assert provider == "openai"
                assert outcome in outcomes
                assert duration >= 0.0
            case Rejected(group, reason):
                assert group in groups
                assert reason in Reason
            case Hedged(group, outcome, deployment, _):
                assert group in groups
                assert deployment in {"", *ids}
                assert outcome in ("won", "lost", "failed", "client_gone")
            case FellBack(group, to, kind):
                assert {group, to} <= groups
                assert kind in FallbackKind
            case Cooled(deployment, reason, seconds, _):
                assert deployment in ids
                assert reason in FailureKind
                assert seconds > 0.0
            case Recovered(deployment):
                assert deployment in ids
            case Finished():
                raise AssertionError("the edge's event, not the flow's")
    for told in played.told:
        record = told.record
        assert record.served_by in {"", *groups}
        assert record.deployment in {"", *ids}
    assert sum(isinstance(event, Attempted) for event in played.events) == len(played.store.leases)


def i10_clients_change_no_health_and_count_one_failure_a_group_at_most(played: Played) -> None:
    assert broken(played, "I10") == []


def a_client_that_goes_away_leaves_no_call_open_and_is_let_go_at_once(played: Played) -> None:
    for told in played.told:
        if told.cancelled and not told.exchange.transcript.endswith("e"):
            assert told.open_at_end == 0
        if told.cancelled and told.asks.leaves is not None and told.asks.hangs_up_at is None:
            assert told.finished == START + told.asks.at + told.asks.leaves


PROMISES = (
    i1_every_lease_is_settled_exactly_once_and_in_flight_returns_to_zero,
    i2_no_backend_is_tried_twice_while_another_candidate_is_left,
    i3_attempts_and_time_are_bounded,
    i4_a_client_gets_one_answer_and_nothing_is_retried_after_its_first_byte,
    i4_a_clean_end_is_only_told_where_upstream_has_come_to_its_end,
    i5_keys_and_headers_of_a_deployment_go_to_its_own_host_only,
    i6_labels_come_from_the_configuration,
    i10_clients_change_no_health_and_count_one_failure_a_group_at_most,
    a_client_that_goes_away_leaves_no_call_open_and_is_let_go_at_once,
)


def assert_all_kept(played: Played) -> None:
    assert played.accidents == []
    for promise in PROMISES:
        promise(played)
