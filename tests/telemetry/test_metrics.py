from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.core.errors import FailureKind
from router.core.events import Attempted, Cooled, Event, FellBack, Finished, Recovered, Rejected, RetryDenied
from router.core.failover import FallbackKind
from router.core.filters import Reason
from router.core.load import Candidate
from router.core.types import Kind, Usage
from router.telemetry.metrics import SECONDS, TOKENS, Metrics
from tests.core.making import POLICY, START, candidate
from tests.telemetry.scraping import Samples, samples, value


def metrics(*candidates: Candidate, dropped: int = 0) -> Metrics:
    return Metrics(lambda: iter(candidates), lambda: dropped)


def after(*events: Event) -> Samples:
    observer = metrics()
    for event in events:
        observer(event)
    return samples(observer.expose())


def finished(**fields: object) -> Finished:
    record = Finished("req-1", "chat", model="gpt", served_by="gpt", deployment="east", provider="openai", status=200)
    for name, field in fields.items():
        setattr(record, name, field)
    return record


def test_a_request_is_counted_by_how_it_was_answered() -> None:
    found = after(
        finished(),
        finished(),
        finished(status=503, outcome="error"),
        finished(status=499, outcome="client_gone"),
        finished(outcome="broken"),
    )
    total = "router_requests_total"
    assert value(found, total, model="gpt", kind="chat", status="200", outcome="ok") == 2
    assert value(found, total, model="gpt", kind="chat", status="503", outcome="error") == 1
    assert value(found, total, model="gpt", kind="chat", status="499", outcome="client_gone") == 1
    assert value(found, total, model="gpt", kind="chat", status="200", outcome="broken") == 1


@pytest.mark.parametrize(
    ("kind", "operation"), [("chat", "chat"), ("completion", "text_completion"), ("embedding", "embeddings")]
)
def test_durations_and_tokens_go_by_opentelemetrys_names(kind: Kind, operation: str) -> None:
    found = after(
        finished(kind=kind, duration=1.5, first_token=0.3, usage=Usage(100, 20)),
        finished(kind=kind, duration=0.5),
    )
    labels = {"gen_ai_operation_name": operation, "gen_ai_request_model": "gpt"}
    assert value(found, "gen_ai_server_request_duration_seconds_sum", **labels) == 2.0
    assert value(found, "gen_ai_server_request_duration_seconds_count", **labels) == 2
    assert value(found, "gen_ai_server_request_duration_seconds_bucket", le="0.5", **labels) == 1
    assert value(found, "gen_ai_server_request_duration_seconds_bucket", le="2.5", **labels) == 2
    assert value(found, "gen_ai_server_time_to_first_token_seconds_count", **labels) == 1
    assert value(found, "gen_ai_server_time_to_first_token_seconds_sum", **labels) == 0.3
    for type_, tokens in (("input", 100), ("output", 20)):
        assert value(found, "gen_ai_client_token_usage_sum", gen_ai_token_type=type_, **labels) == tokens
        assert value(found, "gen_ai_client_token_usage_count", gen_ai_token_type=type_, **labels) == 1


def test_tokens_and_cost_are_booked_on_whoever_served() -> None:
    found = after(
        finished(served_by="backup", deployment="west", usage=Usage(100, 20), cost=0.25),
        finished(served_by="backup", deployment="west", usage=Usage(1, 2), cost=0.5),
        finished(usage=Usage(7, 0), cost=0.0),
    )
    assert value(found, "router_tokens_total", model="backup", deployment="west", type="input") == 101
    assert value(found, "router_tokens_total", model="backup", deployment="west", type="output") == 22
    assert value(found, "router_cost_usd_total", model="backup", deployment="west") == 0.75
    assert value(found, "router_cost_usd_total", model="gpt", deployment="east") == 0.0, "free is a cost, too"


def test_what_is_unknown_is_not_counted_as_nothing() -> None:
    names = {name for name, _ in after(finished(usage=None, cost=None, first_token=None))}
    assert not any(name.startswith(("router_tokens", "router_cost", "gen_ai_client_token", "gen_ai_server_time_to_f"))
                   for name in names)  # fmt: skip


def test_attempts_are_counted_by_their_outcome_and_the_failed_ones_once_more() -> None:
    found = after(
        Attempted("gpt", "east", "openai", "ok", 1.0),
        Attempted("gpt", "east", "openai", FailureKind.SERVER_ERROR.value, 1.0),
        Attempted("gpt", "east", "openai", FailureKind.SERVER_ERROR.value, 1.0),
        Attempted("gpt", "east", "openai", "client_gone", 1.0),
    )
    place = {"model": "gpt", "deployment": "east"}
    assert value(found, "router_attempts_total", outcome="ok", **place) == 1
    assert value(found, "router_attempts_total", outcome="server_error", **place) == 2
    assert value(found, "router_attempts_total", outcome="client_gone", **place) == 1
    assert value(found, "router_attempt_failures_total", reason="server_error", **place) == 2
    assert value(found, "router_attempt_failures_total", reason="client_gone", **place) is None
    assert value(found, "router_attempt_failures_total", reason="ok", **place) is None


def test_the_routers_other_decisions_are_counted() -> None:
    found = after(
        Rejected("gpt", Reason.COOLDOWN),
        Rejected("gpt", Reason.COOLDOWN),
        FellBack("gpt", "backup", FallbackKind.CONTEXT_WINDOW),
        Cooled("east", FailureKind.RATE_LIMITED, 5.0, 1),
        Cooled("east", FailureKind.CONNECT, 5.0, None),
        Recovered("east"),
    )
    assert value(found, "router_candidates_rejected_total", model="gpt", reason="cooldown") == 2
    assert value(found, "router_fallbacks_total", model="gpt", to="backup", kind="context_window") == 1
    assert value(found, "router_cooldowns_total", deployment="east", reason="rate_limited") == 1
    assert value(found, "router_cooldowns_total", deployment="east", reason="connect") == 1
    assert value(found, "router_recoveries_total", deployment="east") == 1


def test_gauges_show_every_deployment_as_it_is_when_scraped() -> None:
    east, west = candidate("east", in_flight=3), candidate("west")
    observer = metrics(east, west)
    observer.in_flight = lambda: 5
    west.load.breaker.cool(START, START + 5.0, POLICY)
    found = samples(observer.expose())
    assert value(found, "router_in_flight_requests") == 5
    assert value(found, "router_deployment_in_flight", model="gpt", deployment="east") == 3
    assert value(found, "router_deployment_in_flight", model="gpt", deployment="west") == 0
    assert value(found, "router_deployment_breaker_closed", model="gpt", deployment="east") == 1
    assert value(found, "router_deployment_breaker_closed", model="gpt", deployment="west") == 0
    east.load.in_flight = 0
    assert value(samples(observer.expose()), "router_deployment_in_flight", model="gpt", deployment="east") == 0


def test_dropped_log_lines_are_told() -> None:
    found = samples(metrics(dropped=7).expose())
    assert value(found, "router_access_log_dropped_lines_total") == 7


def test_nothing_has_happened_yet_is_an_exposition_too() -> None:
    assert value(samples(metrics().expose()), "router_in_flight_requests") == 0


HOSTILE = ["../../etc/passwd", 'x"} 1\nrouter_up{a="', "m" * 10_000, "gpt-9000"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_that_nobody_configured_is_counted_as_other(name: str) -> None:
    """`Finished.model` is `other` until the model is known; what the client wrote is in none of the events."""
    observer = metrics()
    observer(Finished(request_id=name, kind="chat", key=name, status=404, outcome="error", error=name))
    text = observer.expose().decode()
    assert name not in text
    assert "gpt-9000" not in text
    found = samples(observer.expose())
    assert value(found, "router_requests_total", model="other", kind="chat", status="404", outcome="error") == 1


OWN = [200, 400, 401, 403, 404, 408, 413, 422, 429, 499, 500, 502, 503, 504]


@pytest.mark.parametrize(
    ("status", "label"), [*((each, str(each)) for each in OWN), (402, "4xx"), (418, "4xx"), (599, "5xx"), (0, "0xx")]
)
def test_a_status_that_upstream_made_up_makes_no_series_of_its_own(status: int, label: str) -> None:
    found = after(finished(status=status))
    assert value(found, "router_requests_total", model="gpt", kind="chat", status=label, outcome="ok") == 1


def test_series_are_bounded_whatever_comes() -> None:
    def flood(count: int) -> Iterator[Event]:
        for index in range(count):
            yield finished(
                request_id=f"r{index}", key=f"k{index}", error=f"e{index}", status=400 + index % 200,
                duration=index, usage=Usage(index, index), cost=index / 7, first_token=index / 3,
            )  # fmt: skip
            yield Attempted("gpt", "east", f"p{index}", "ok", index)

    few, many = after(*flood(400)), after(*flood(4000))
    assert set(few) == set(many)


def test_every_name_is_the_routers_own_or_opentelemetrys() -> None:
    observer = metrics(candidate("east"))
    observer(finished(usage=Usage(1, 1), cost=0.1, first_token=0.1))
    observer(Attempted("gpt", "east", "openai", "connect", 1.0))
    names = {name for name, _ in samples(observer.expose())}
    assert len(names) > 10
    assert all(name.startswith(("router_", "gen_ai_")) for name in names)


def test_buckets_reach_as_far_as_a_request_may_take() -> None:
    assert SECONDS[-1] >= 600.0
    assert list(SECONDS) == sorted(SECONDS)
    assert list(TOKENS) == sorted(TOKENS)


def test_a_retry_that_the_budget_does_not_cover_is_counted_for_its_model() -> None:
    found = after(RetryDenied("gpt"), RetryDenied("gpt"), RetryDenied("other"))
    assert value(found, "router_retries_denied_total", model="gpt") == 2
    assert value(found, "router_retries_denied_total", model="other") == 1
