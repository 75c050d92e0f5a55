"""Response header fields: who served the request, at what price, and under which id."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from router.core.events import Finished
from router.core.quota import Allowances
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
    """What every response tells. The id by both names: the openai client reads the one, the anthropic client the
    other; and what is left of the limits of the client's key, where it has any."""
    fields = [("x-request-id", record.request_id), ("request-id", record.request_id)]
    if record.allowances is not None:
        fields += limit_fields(record.allowances)
    return fields


def limit_fields(left: Allowances) -> Fields:
    """`x-ratelimit-*` in OpenAI's form."""
    fields = []
    for what, allowance in (("requests", left.requests), ("tokens", left.tokens)):
        if allowance is not None:
            fields.append((f"x-ratelimit-limit-{what}", str(allowance.limit)))
            fields.append((f"x-ratelimit-remaining-{what}", str(allowance.remaining)))
            fields.append((f"x-ratelimit-reset-{what}", span(allowance.reset or 0.0)))
    return fields


def span(seconds: float) -> str:
    """`120ms`, `1.5s`, `6m0s`: how OpenAI writes a time span. Rounded up to milliseconds."""
    milliseconds = ceil(seconds * 1000.0 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"


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
