"""The schema of the section `telemetry`: the access log's files, and traces."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from router.config.fields import Count, FilledText, Name, OrNone, Seconds, Secret, Section, Share, Switch, without_nulls


class AccessLogSettings(Section):
    """How many files the access log has, where `server.access_log` is a file."""

    max_bytes: Count = 104_857_600
    """Size in bytes from which a file is put aside and another begun; 0: never."""
    files: Count = 5
    """How many of those put aside are kept, the newest as `NAME.1`."""


class TracingSettings(Section):
    """Traces, sent to an OpenTelemetry collector. Needs the extra `otel`."""

    endpoint: Annotated[FilledText | None, OrNone] = None
    """Where to: OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; null: nothing is traced."""
    headers: dict[Name, Secret] = Field(default_factory=dict)
    """Sent along, such as an authorization."""
    service_name: Name = "llm-router"
    """What the traces call this router."""
    sample_ratio: Share = 1.0
    """Share of requests that are traced, 0 to 1; a caller that sends a `traceparent` decides for its own."""
    content: Switch = False
    """Put prompts and replies into the spans."""
    timeout: Seconds = 10.0
    """Seconds for one delivery."""

    @field_validator("endpoint")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address such as http://127.0.0.1:4318/v1/traces")
        return value


class TelemetrySettings(Section):
    """What the router tells of itself."""

    access_log: AccessLogSettings = AccessLogSettings()
    """How many files the access log has."""
    tracing: TracingSettings = TracingSettings()
    """Traces."""

    _empty = model_validator(mode="before")(without_nulls)
