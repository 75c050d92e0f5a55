"""Response header fields: who served the request, at what price, and under which id.

A block of fields is one text of `name: value` lines, each with its line break: the hot routes write it as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from router.core.events import Finished
from router.core.quota import Allowances
from router.dialects.base import Headers

JSON = "content-type: application/json\r\n"
EVENT_STREAM = "content-type: text/event-stream\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_PASSED_ON = (b"openai-processing-ms", b"openai-version", b"openai-model")
_ID_BYTES = 128


def request_id(headers: Mapping[str, str], fresh: str) -> str:
    """The client's own `x-request-id` where it is sane (printable ASCII, at most 128), else `fresh`."""
    given = headers.get("X-Request-Id")
    if given and len(given) <= _ID_BYTES and given.isascii() and given.isprintable():
        return given
    return fresh


def pairs(fields: str) -> dict[str, str]:
    """The same as a mapping."""
    return dict(line.split(": ", 1) for line in fields.split("\r\n")[:-1])


def id_fields(record: Finished) -> str:
    """What every response tells. The id by both names: the openai client reads the one, the anthropic client the
    other; and what is left of the limits of the client's key, where it has any."""
    fields = f"x-request-id: {record.request_id}\r\nrequest-id: {record.request_id}\r\n"
    return fields if record.allowances is None else fields + limit_fields(record.allowances)


def limit_fields(left: Allowances) -> str:
    """`x-ratelimit-*` in OpenAI's form."""
    fields = ""
    for what, allowance in (("requests", left.requests), ("tokens", left.tokens)):
        if allowance is not None:
            fields += (
                f"x-ratelimit-limit-{what}: {allowance.limit}\r\n"
                f"x-ratelimit-remaining-{what}: {allowance.remaining}\r\n"
                f"x-ratelimit-reset-{what}: {span(allowance.reset or 0.0)}\r\n"
            )
    return fields


def span(seconds: float) -> str:
    """`120ms`, `1.5s`, `6m0s`: how OpenAI writes a time span. Rounded up to milliseconds."""
    milliseconds = ceil(seconds * 1000.0 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"


def served_fields(record: Finished, upstream: Headers) -> str:
    """The fields of a response that a deployment has served."""
    fields = (
        f"{id_fields(record)}x-router-model: {record.model}\r\nx-router-deployment: {record.deployment}\r\n"
        f"x-router-attempts: {record.attempts}\r\n"
    )
    if record.served_by != record.model:
        fields += f"x-router-fallback: {record.served_by}\r\n"
    if record.cost is not None:
        cost = f"{record.cost:.10f}".rstrip("0").rstrip(".")
        fields += f"x-router-cost: {cost}\r\n"
    for name in _PASSED_ON:
        if name in upstream:
            fields += f"{name.decode()}: {upstream[name].decode('latin-1')}\r\n"
    return fields
