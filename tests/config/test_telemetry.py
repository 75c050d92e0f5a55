from __future__ import annotations

import pytest

from router.config import checks
from tests.config.loading import loaded, problems

MODELS = "model_list: [{model_name: m, provider: mock}]\n"
TRACING = "telemetry: {tracing: {endpoint: 'http://127.0.0.1:4318/v1/traces'}}\n"


def test_nothing_is_traced_and_files_are_bounded_unless_said_otherwise() -> None:
    telemetry = loaded(MODELS).settings.telemetry
    assert telemetry.tracing.endpoint is None
    assert telemetry.tracing.content is False
    assert (telemetry.access_log.max_bytes, telemetry.access_log.files) == (100 * 1024 * 1024, 5)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("{tracing: {endpoint: collector:4317}}", "expected an address such as http://127.0.0.1:4318/v1/traces"),
        ("{tracing: {sample_ratio: 1.5}}", "must be 1 or less"),
        ('{tracing: {headers: {authorization: "a\\nb"}}}', "control character"),
        ("{access_log: {max_bytes: -1}}", "must be 0 or more"),
        ("{traces: {}}", "unknown key"),
    ],
)
def test_what_cannot_be_is_told(given: str, problem: str) -> None:
    (told,) = problems(f"telemetry: {given}\n{MODELS}")
    assert problem in told


def test_tracing_without_its_extra_is_told_before_anything_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(TRACING + MODELS).settings.telemetry.tracing.endpoint
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    (told,) = problems(TRACING + MODELS)
    assert told.endswith("needs the extra otel: pip install 'llm-router[otel]'")


def test_headers_for_the_collector_are_secrets() -> None:
    settings = loaded(
        "telemetry: {tracing: {headers: {authorization: Bearer otlp-secret}}}\n" + MODELS
    ).settings.telemetry
    assert "otlp-secret" not in repr(settings)
