"""Response header fields: who served the request, at what price, and under which id."""

from __future__ import annotations

from collections.abc import Mapping

from router.core.events import Finished
from router.dialects.base import Headers

Fields = list[tuple[str, str]]

JSON = ("content-type", "application/json")
EVENT_STREAM: Fields = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]
_PASSED_ON = (b"openai-processing-ms", b"openai-version", b"openai-model")
_ID_BYTES = 128


def request_id(headers: Mapping[str, str], fresh: str) -> str:
    """The client's own `x-request-id` where it is sane (printable ASCII, at most 128), else `fresh`."""
    given = headers.get("X-Request-Id")
    if given and len(given) <= _ID_BYTES and given.isascii() and given.isprintable():
        return given
    return fresh


def id_fields(record: Finished) -> Fields:
    """Both names: the openai client reads the one, the anthropic client the other."""
    return [("x-request-id", record.request_id), ("request-id", record.request_id)]


def served_fields(record: Finished, upstream: Headers) -> Fields:
    """The fields of a response that a deployment has served."""
    fields = id_fields(record)
    fields.append(("x-router-model", record.model))
    fields.append(("x-router-deployment", record.deployment))
    fields.append(("x-router-attempts", str(record.attempts)))
    if record.served_by != record.model:
        fields.append(("x-router-fallback", record.served_by))
    if record.cost is not None:
        fields.append(("x-router-cost", f"{record.cost:.10f}".rstrip("0").rstrip(".")))
    for name in _PASSED_ON:
        if name in upstream:
            fields.append((name.decode(), upstream[name].decode("latin-1")))
    return fields
