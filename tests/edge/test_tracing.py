"""Traces, from the client's `traceparent` to what a collector has of it, and to what upstream is handed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from router.core.types import Prices
from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, inside, remote
from tests.edge.wire import CHAT, HI, STREAM
from tests.telemetry.collector import Collector, collecting

CALLER = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: vendor=abc\r\n"
UNSAMPLED = CALLER.replace("-01\r\n", "-00\r\n")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KEYS = [{"name": "search", "key": "sk-client-secret", "team": "web"}]
AUTH = "authorization: Bearer sk-client-secret\r\n"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def tracing(collector: Collector, **more: Any) -> dict[str, Any]:
    return {"tracing": {"endpoint": collector.url, **more}}


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_a_request_is_one_span_with_a_child_for_every_attempt(
    house: Open, collector: Collector, body: dict[str, object]
) -> None:
    groups = group(
        inside("down", Behaviour(script=("503",)), weight=1_000_000.0, prices=Prices(1.0, 1.0)),
        inside("up", weight=0.000001, prices=Prices(1.0, 1.0)),
        strategy="weighted",
    )
    async with house(groups, keys=KEYS, telemetry=tracing(collector)) as router:
        await router.ask(CHAT, body, headers=AUTH + CALLER + "x-request-id: r-1\r\n")
        (line,) = await router.log_lines()
    request, (first, second) = collector.request(), collector.attempts()
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)
    assert {first.trace_id, second.trace_id} == {TRACE}
    assert {first.parent_id, second.parent_id} == {request.span_id}
    assert len({request.span_id, first.span_id, second.span_id, PARENT}) == 4
    assert (line["trace_id"], line["span_id"], line["request_id"]) == (TRACE, request.span_id, "r-1")
    assert (request.name, request.error) == ("chat m", "")
    facts = request.attributes
    assert facts.pop("router.cost_usd") == line["cost"]
    assert facts.pop("gen_ai.usage.input_tokens") == line["prompt_tokens"]
    assert facts.pop("gen_ai.usage.output_tokens") == line["completion_tokens"]
    assert (facts.pop("router.time_to_first_token", None) is not None) == (body is STREAM)
    assert facts == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mock",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "up-model",
        "http.response.status_code": 200,
        "router.request_id": "r-1",
        "router.outcome": "ok",
        "router.attempts": 2,
        "router.stream": body is STREAM,
        "router.key": "search",
        "router.team": "web",
        "router.served_by": "m",
        "router.deployment": "up",
    }
    assert [attempt.error for attempt in (first, second)] == ["server_error", ""]
    assert [attempt.attributes["router.deployment"] for attempt in (first, second)] == ["down", "up"]
    assert [attempt.attributes["router.attempt"] for attempt in (first, second)] == [1, 2]
    assert first.attributes["error.type"] == "server_error"
    assert request.began <= first.began <= first.ended <= second.began <= second.ended <= request.ended
    assert request.resource["service.name"] == "llm-router"


async def test_a_request_without_a_caller_begins_a_trace_of_its_own(house: Open, collector: Collector) -> None:
    async with house(telemetry=tracing(collector)) as router:
        await router.ask(CHAT, HI)
        (line,) = await router.log_lines()
    request = collector.request()
    assert request.parent_id == ""
    assert line["trace_id"] == request.trace_id != TRACE


async def test_upstream_is_handed_the_attempts_own_span(house: Open, collector: Collector) -> None:
    async with (
        MockServer() as server,
        house(group(remote("east", server)), telemetry=tracing(collector)) as router,
    ):
        await router.ask(CHAT, HI, headers=CALLER)
        await router.stop()
    (seen,) = server.requests
    (attempt,) = collector.attempts()
    assert seen.headers["traceparent"] == f"00-{TRACE}-{attempt.span_id}-01"
    assert seen.headers["tracestate"] == "vendor=abc"
    assert attempt.attributes["server.address"] == "127.0.0.1"


async def test_what_the_caller_does_not_sample_is_handed_on_and_not_sent(house: Open, collector: Collector) -> None:
    async with house(telemetry=tracing(collector)) as router:
        await router.ask(CHAT, HI, headers=UNSAMPLED)
        (line,) = await router.log_lines()
    assert line["trace_id"] == TRACE
    assert collector.spans == []


async def test_a_ratio_of_nothing_traces_only_what_callers_do(house: Open, collector: Collector) -> None:
    async with house(telemetry=tracing(collector, sample_ratio=0.0)) as router:
        await router.ask(CHAT, HI)
        await router.ask(CHAT, HI, headers=CALLER)
        await router.stop()
    assert collector.request().trace_id == TRACE


async def test_a_refused_request_is_a_span_with_its_error(house: Open, collector: Collector) -> None:
    async with house(telemetry=tracing(collector)) as router:
        await router.ask(CHAT, HI | {"model": "no-such-model"})
        await router.stop()
    request = collector.request()
    assert (request.name, request.error) == ("chat other", "model_not_found")
    assert request.attributes["http.response.status_code"] == 404
    assert collector.attempts() == []
    assert "no-such-model" not in str(collector.spans)


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_no_content_leaves_the_house_unless_it_is_asked_for(
    house: Open, collector: Collector, body: dict[str, object]
) -> None:
    secret = body | {"messages": [{"role": "user", "content": "the launch code is 0000"}]}
    said = group(inside("d", Behaviour(reply="never tell anybody")))
    async with house(said, keys=KEYS, telemetry=tracing(collector)) as router:
        await router.ask(CHAT, secret, headers=AUTH)
        await router.stop()
    assert "launch" not in str(collector.spans)
    assert "anybody" not in str(collector.spans)
    assert "sk-client-secret" not in str(collector.spans)
    collector.spans.clear()
    async with house(said, keys=KEYS, telemetry=tracing(collector, content=True)) as router:
        await router.ask(CHAT, secret, headers=AUTH)
        await router.stop()
    facts = collector.request().attributes
    asked, answered = orjson.loads(facts["gen_ai.input.messages"]), orjson.loads(facts["gen_ai.output.messages"])
    assert asked == [{"role": "user", "parts": [{"type": "text", "content": "the launch code is 0000"}]}]
    assert answered == [{"role": "assistant", "parts": [{"type": "text", "content": "never tell anybody"}]}]
    assert "sk-client-secret" not in str(collector.spans)


async def test_a_clients_metadata_is_on_the_span(house: Open, collector: Collector) -> None:
    async with house(telemetry=tracing(collector)) as router:
        await router.ask(CHAT, HI | {"metadata": {"feature": "search", "tier": "gold"}})
        await router.stop()
    assert orjson.loads(collector.request().attributes["router.metadata"]) == {"feature": "search", "tier": "gold"}


async def test_headers_of_the_configuration_go_to_the_collector(house: Open, collector: Collector) -> None:
    async with house(telemetry=tracing(collector, headers={"authorization": "Bearer otlp"})) as router:
        await router.ask(CHAT, HI)
        await router.stop()
    assert collector.headers["authorization"] == "Bearer otlp"


async def test_a_collector_that_refuses_costs_the_spans_and_is_told_of_once(
    house: Open, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    collector.status = 400
    async with house(telemetry=tracing(collector)) as router:
        for _ in range(3):
            assert (await router.ask(CHAT, HI)).status == 200
        await router.stop()
    lines = [orjson.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["level"] for line in lines if "traces" in line["event"]] == ["warning"]
    assert collector.deliveries >= 1


async def test_without_tracing_nothing_is_handed_on_or_noted(house: Open) -> None:
    async with MockServer() as server, house(group(remote("east", server))) as router:
        await router.ask(CHAT, HI, headers=CALLER)
        (line,) = await router.log_lines()
    (seen,) = server.requests
    assert "traceparent" not in seen.headers
    assert "trace_id" not in line
