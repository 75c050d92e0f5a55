from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.core.errors import FailureKind
from router.core.events import (
    Attempted,
    Cooled,
    Event,
    FellBack,
    Finished,
    Hedged,
    Queued,
    Recovered,
    Rejected,
    RetryDenied,
)
from router.core.failover import FallbackKind
from router.core.filters import Reason
from router.core.types import Kind, Usage
from router.telemetry import cells
from router.telemetry import metrics as metrics_module
from router.telemetry.metrics import Metrics
from tests.telemetry.records import record_of
from tests.telemetry.scraping import Samples, listening, of, scraped, value


def after(*events: Event) -> Samples:
    metrics, _ = listening(*events)
    return of({name: family.cells for name, family in metrics._families.items()})


def finished(**fields: object) -> Finished:
    record = record_of("req-1", "chat", key="search", team="web", model="gpt", served_by="gpt", deployment="east",
                      provider="openai", status=200, attempts=1)  # fmt: skip
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
        finished(kind=kind, duration=1.5, first_token=0.3, usage=Usage(100, 21), last_attempt=1.3),
        finished(kind=kind, duration=0.5),
    )
    labels = {
        "gen_ai_operation_name": operation,
        "gen_ai_provider_name": "openai",
        "gen_ai_request_model": "gpt",
    }
    assert value(found, "gen_ai_server_request_duration_seconds_sum", **labels) == 2.0
    assert value(found, "gen_ai_server_request_duration_seconds_count", **labels) == 2
    assert value(found, "gen_ai_server_request_duration_seconds_bucket", le="0.5", **labels) == 1
    assert value(found, "gen_ai_server_request_duration_seconds_bucket", le="2.5", **labels) == 2
    assert value(found, "gen_ai_server_time_to_first_token_seconds_count", **labels) == 1
    assert value(found, "gen_ai_server_time_to_first_token_seconds_sum", **labels) == 0.3
    assert value(found, "gen_ai_server_time_per_output_token_seconds_sum", **labels) == pytest.approx(1.0 / 20)
    for type_, tokens in (("input", 100), ("output", 21)):
        assert value(found, "gen_ai_client_token_usage_sum", gen_ai_token_type=type_, **labels) == tokens
        assert value(found, "gen_ai_client_token_usage_count", gen_ai_token_type=type_, **labels) == 1


def test_a_stream_of_one_token_has_no_time_between_tokens() -> None:
    found = after(finished(first_token=0.3, usage=Usage(100, 1), last_attempt=1.3))
    assert not any(count for (name, _), count in found.items() if "per_output_token" in name)


def test_nobodys_requests_have_no_provider() -> None:
    found = after(record_of("req-1", "chat", status=404, outcome="error"))
    name = "gen_ai_server_request_duration_seconds_count"
    labels = {"gen_ai_operation_name": "chat", "gen_ai_request_model": "other"}
    assert value(found, name, gen_ai_provider_name="none", **labels) == 1


def test_tokens_and_cost_are_booked_on_whoever_served_and_on_whoever_asked() -> None:
    found = after(
        finished(served_by="backup", deployment="west", usage=Usage(100, 20), cost=0.25),
        finished(served_by="backup", deployment="west", usage=Usage(1, 2), cost=0.5),
        finished(usage=Usage(7, 0), cost=0.0, key="batch", team=""),
    )
    assert value(found, "router_tokens_total", model="backup", deployment="west", type="input") == 101
    assert value(found, "router_tokens_total", model="backup", deployment="west", type="output") == 22
    assert value(found, "router_cost_usd_total", model="backup", deployment="west") == 0.75
    assert value(found, "router_cost_usd_total", model="gpt", deployment="east") == 0.0, "free is a cost, too"
    assert value(found, "router_key_tokens_total", key="search", team="web", type="input") == 101
    assert value(found, "router_key_tokens_total", key="search", team="web", type="output") == 22
    assert value(found, "router_key_cost_usd_total", key="search", team="web") == 0.75
    assert value(found, "router_key_cost_usd_total", key="batch", team="") == 0.0
    assert value(found, "router_key_requests_total", key="search", team="web", outcome="ok") == 2


def test_whoever_has_not_shown_a_key_is_on_nobodys_account() -> None:
    found = after(record_of("req-1", "chat", status=401, outcome="error"))
    assert not any(name.startswith("router_key_") for name, _ in found)


def test_parts_of_the_tokens_estimates_and_unknown_costs_are_counted_apart() -> None:
    found = after(
        finished(usage=Usage(100, 20, cached_tokens=60, reasoning_tokens=5, audio_prompt_tokens=3), cost=0.5),
        finished(usage=Usage(100, 20, estimated=True), cost=0.5),
        finished(usage=Usage(100, 20)),
    )
    place = {"model": "gpt", "deployment": "east"}
    for type_, tokens in (("input", 300), ("cached", 60), ("reasoning", 5), ("input_audio", 3)):
        assert value(found, "router_tokens_total", type=type_, **place) == tokens
    assert value(found, "router_usage_estimated_total", **place) == 1
    assert value(found, "router_cost_unknown_total", **place) == 1


def test_what_is_unknown_is_not_counted_as_nothing() -> None:
    names = {name for name, _ in after(finished(usage=None, cost=None, first_token=None))}
    assert not any(name.startswith(("router_tokens", "router_cost", "router_key_cost", "gen_ai_client_token",
                                    "gen_ai_server_time")) for name in names)  # fmt: skip


def test_the_routers_own_time_is_what_it_waited_for_nobody() -> None:
    found = after(
        finished(duration=2.0, upstream=1.5, waited=0.25),
        record_of("req-2", "chat", model="gpt", status=408, outcome="error", duration=60.0),
    )
    assert value(found, "router_overhead_seconds_sum", model="gpt") == 0.25
    assert value(found, "router_overhead_seconds_count", model="gpt") == 1, "only of requests that were sent somewhere"


def test_attempts_are_counted_by_their_outcome_and_timed() -> None:
    found = after(
        Attempted("gpt", "east", "openai", "ok", 1.0, 0.00002),
        Attempted("gpt", "east", "openai", FailureKind.SERVER_ERROR.value, 2.0, 0.00004),
        Attempted("gpt", "east", "openai", FailureKind.SERVER_ERROR.value, 3.0, 0.00004),
        Attempted("gpt", "east", "openai", "client_gone", 4.0, 0.00004),
    )
    place = {"model": "gpt", "deployment": "east"}
    assert value(found, "router_attempts_total", outcome="ok", **place) == 1
    assert value(found, "router_attempts_total", outcome="server_error", **place) == 2
    assert value(found, "router_attempts_total", outcome="client_gone", **place) == 1
    assert value(found, "router_attempt_duration_seconds_sum", **place) == 10.0
    assert value(found, "router_selection_seconds_count", model="gpt") == 4
    assert value(found, "router_selection_seconds_bucket", model="gpt", le="2.5e-05") == 1


def test_the_routers_other_decisions_are_counted() -> None:
    found = after(
        Rejected("gpt", Reason.COOLDOWN),
        Rejected("gpt", Reason.COOLDOWN),
        RetryDenied("gpt"),
        FellBack("gpt", "backup", FallbackKind.CONTEXT_WINDOW),
        Cooled("east", FailureKind.RATE_LIMITED, 5.0, 1),
        Cooled("east", FailureKind.CONNECT, 5.0, None),
        Recovered("east"),
        Queued("gpt", "served", 0.2),
    )
    assert value(found, "router_candidates_rejected_total", model="gpt", reason="cooldown") == 2
    assert value(found, "router_retries_denied_total", model="gpt") == 1
    assert value(found, "router_fallbacks_total", model="gpt", to="backup", kind="context_window") == 1
    assert value(found, "router_cooldowns_total", deployment="east", reason="rate_limited") == 1
    assert value(found, "router_cooldowns_total", deployment="east", reason="connect") == 1
    assert value(found, "router_recoveries_total", deployment="east") == 1
    assert value(found, "router_queue_left_total", model="gpt", outcome="served") == 1
    assert value(found, "router_queue_wait_seconds_sum", model="gpt") == 0.2


async def test_numbers_that_others_keep_are_read_at_every_scrape() -> None:
    metrics, kept = Metrics(), [1.0]
    metrics.read(lambda: [("router_in_flight_requests", (), kept[0])])
    assert value(await scraped(metrics), "router_in_flight_requests") == 1.0
    kept[0] = 2.0
    assert value(await scraped(metrics), "router_in_flight_requests") == 2.0


async def test_nothing_has_happened_yet_is_an_exposition_too() -> None:
    assert await scraped(Metrics()) == {}


HOSTILE = ["../../etc/passwd", 'x"} 1\nrouter_up{a="', "m" * 10_000, "gpt-9000"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_that_nobody_configured_is_counted_as_other(name: str) -> None:
    """`Finished.model` is `other` until the model is known; what the client wrote is in none of the labels."""
    found = after(record_of(name, "chat", status=404, outcome="error", error=name))
    assert not any(name in label for _, labels in found for _, label in labels)
    assert value(found, "router_requests_total", model="other", kind="chat", status="404", outcome="error") == 1


OWN = [200, 400, 401, 403, 404, 408, 409, 413, 422, 429, 499, 500, 502, 503, 504]


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
                request_id=f"r{index}", error=f"e{index}", status=400 + index % 200, duration=index,
                usage=Usage(index, index), cost=index / 7, first_token=index / 3,
            )  # fmt: skip
            yield Attempted("gpt", "east", f"p{index}", "ok", index, index)

    assert set(after(*flood(400))) == set(after(*flood(4000)))


def test_what_is_remembered_of_labels_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should anybody ever let clients name deployments or keys."""
    for module in (cells, metrics_module):
        monkeypatch.setattr(module, "MOST_CELLS", 50)
    metrics, bus = listening()
    for index in range(1000):
        bus(finished(deployment=f"d{index}", key=f"k{index}"))
        bus(Attempted("gpt", f"d{index}", "openai", "ok", 1.0))
    assert max(len(family.cells) for family in metrics._families.values()) <= 51
    assert max(len(metrics._served), len(metrics._tried), len(metrics._clients)) <= 50
    found = of({name: family.cells for name, family in metrics._families.items()})
    assert sum(count for (name, _), count in found.items() if name == "router_attempts_total") == 1000, "none is lost"


def test_a_hedge_is_counted_and_its_slower_attempt_charged_to_the_deployment_that_was_outrun() -> None:
    found = after(
        Hedged("gpt", "won", "west", 0.25), Hedged("gpt", "lost", "", None), finished(cost=1.25, hedge_cost=0.25)
    )
    assert value(found, "router_hedges_total", model="gpt", outcome="won") == 1
    assert value(found, "router_hedges_total", model="gpt", outcome="lost") == 1
    assert value(found, "router_cost_usd_total", model="gpt", deployment="west") == 0.25
    assert value(found, "router_cost_usd_total", model="gpt", deployment="east") == 1.0
