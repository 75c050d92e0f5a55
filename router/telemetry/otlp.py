"""Spans of finished requests, by OpenTelemetry's conventions for generative AI, and their export over OTLP/HTTP.

Needs the extra `otel`, which is imported when the first `OtlpSender` is made and not before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from router import __version__
from router.core.events import Finished
from router.core.trace import AttemptSpan, Trace
from router.telemetry.access_log import MOST_METADATA
from router.telemetry.content import answered, asked

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_OPERATIONS = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
_NANOSECONDS = 1_000_000_000


class OtlpSender:
    """`endpoint` is the collector's address for traces, `headers` are sent along; `timeout` in seconds."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], service_name: str, timeout: float) -> None:
        """Raises ImportError where the extra is missing."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult

        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())  # `Tracing` tells, once, and in JSON
        logging.getLogger("opentelemetry").propagate = False
        self._exporter = OTLPSpanExporter(endpoint, headers=headers, timeout=timeout)
        self._success = SpanExportResult.SUCCESS
        self._resource = Resource({"service.name": service_name, "service.version": __version__})

    def send(self, events: list[Finished]) -> bool:
        spans = [span for event in events for span in spans_of(event, self._resource)]
        return self._exporter.export(spans) is self._success

    def close(self) -> None:
        shutdown: Callable[[], None] = self._exporter.shutdown
        shutdown()


def spans_of(event: Finished, resource: Any) -> Iterator[ReadableSpan]:
    """One span of the request, and below it one of each attempt."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

    trace = event.trace
    if trace is None:
        return
    parent = trace.parent
    state = TraceState.from_header([parent.state] if parent is not None and parent.state else [])
    flags = TraceFlags(TraceFlags.SAMPLED)
    scope = InstrumentationScope("llm-router", __version__)
    own = SpanContext(trace.trace_id, trace.span_id, False, flags, state)
    above = None if parent is None else SpanContext(trace.trace_id, parent.span_id, True, flags, state)

    def status(failure: str) -> Status:
        return Status(StatusCode.ERROR, failure) if failure else Status(StatusCode.UNSET)

    def moment(seconds: float) -> int:
        """Of the request's start, in nanoseconds since 1970."""
        return int((event.received + seconds - trace.began) * _NANOSECONDS)

    for place, attempt in enumerate(trace.attempts, start=1):
        yield ReadableSpan(
            f"{_operation(event)} {attempt.model}",
            SpanContext(trace.trace_id, attempt.span_id, False, flags, state),
            own,
            resource,
            _of_attempt(event, attempt, place),
            kind=SpanKind.CLIENT,
            status=status("" if attempt.outcome == "ok" else attempt.outcome),
            start_time=moment(attempt.began),
            end_time=moment(attempt.ended),
            instrumentation_scope=scope,
        )
    yield ReadableSpan(
        f"{_operation(event)} {event.model}",
        own,
        above,
        resource,
        _of_request(event, trace),
        kind=SpanKind.SERVER,
        status=status("" if event.outcome == "ok" else event.error or event.outcome),
        start_time=moment(trace.began),
        end_time=moment(trace.began + event.duration),
        instrumentation_scope=scope,
    )


def _operation(event: Finished) -> str:
    return _OPERATIONS.get(event.kind, event.kind)


def _of_attempt(event: Finished, attempt: AttemptSpan, place: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "gen_ai.operation.name": _operation(event),
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": attempt.model,
        "router.model": attempt.group,
        "router.deployment": attempt.deployment,
        "router.attempt": place,
    }
    host = urlsplit(attempt.api_base).hostname
    if host:
        told["server.address"] = host
    if attempt.outcome != "ok":
        told["error.type"] = attempt.outcome
    return told


def _of_request(event: Finished, trace: Trace) -> dict[str, Any]:
    told: dict[str, Any] = {
        "gen_ai.operation.name": _operation(event),
        "gen_ai.provider.name": event.provider or "none",
        "gen_ai.request.model": event.model,
        "http.response.status_code": event.status,
        "router.request_id": event.request_id,
        "router.outcome": event.outcome,
        "router.attempts": event.attempts,
        "router.stream": event.stream,
    }
    optional = {
        "router.key": event.key,
        "router.team": event.team,
        "router.served_by": event.served_by,
        "router.deployment": event.deployment,
        "error.type": event.error,
    }
    told.update({name: value for name, value in optional.items() if value})
    if event.usage is not None:
        told["gen_ai.usage.input_tokens"] = event.usage.prompt_tokens
        told["gen_ai.usage.output_tokens"] = event.usage.completion_tokens
    if event.cost is not None:
        told["router.cost_usd"] = event.cost
    if event.first_token is not None:
        told["router.time_to_first_token"] = event.first_token
    if event.metadata is not None:
        text = orjson.dumps(event.metadata)
        told["router.metadata"] = text.decode() if len(text) <= MOST_METADATA else f"{len(text)} bytes"
    if trace.attempts and trace.attempts[-1].outcome == "ok":
        told["gen_ai.response.model"] = trace.attempts[-1].model
    if trace.content:
        told["gen_ai.input.messages"] = asked(trace.asked)
        told["gen_ai.output.messages"] = answered(trace.answered)
    return told
